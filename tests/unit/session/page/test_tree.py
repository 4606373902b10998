"""Plans as they are drawn: in the order of their writing, each step once, with what runs did in it."""

from __future__ import annotations

import json
from pathlib import Path

import dreamframe as dr
from dreamframe.session.page.overview import failures, overview
from dreamframe.session.page.tree import drawn, plans
from dreamframe.testing import Echo
from tests.sessions import failing, held, said


def node(key: str, *inputs: int) -> dict[str, object]:
    return {"key": key, "step": "S", "describe": key, "parts": {}, "inputs": list(inputs)}


def test_a_table_that_two_steps_read_is_drawn_once_and_a_second_input_stands_deeper() -> None:
    nodes = [node("a"), node("b", 0), node("c"), node("d", 2), node("e", 1, 3, 0)]
    assert [(n["key"], depth) for n, depth in drawn(nodes)] == [("a", 0), ("b", 0), ("c", 1), ("d", 1), ("e", 0)]


def test_a_plan_of_ten_thousand_steps_is_drawn() -> None:
    nodes = [node("0"), *(node(str(i), i - 1) for i in range(1, 10_000))]
    assert [n["key"] for n, _ in drawn(nodes)] == [str(i) for i in range(10_000)]


def test_a_record_that_is_not_a_plan_is_drawn_as_nothing() -> None:
    assert [list(drawn(nodes)) for nodes in ([], [{"key": 1}], [node("a", 0)])] == [[], [], []]


def test_steps_say_what_was_asked_kept_and_paid(tmp_path: Path) -> None:
    (plan,) = plans(said(tmp_path))
    table, prompt, kept = plan["steps"]
    assert (plan["label"], table["describe"], table["runs"]) == ("filter", "TABLE 5 rows", 0)
    assert (prompt["state"], prompt["asked"], prompt["last"]["skipped"], prompt["model"]) == ("kept", 2, 1, "echo")
    assert prompt["cost"] > 0
    assert kept["output"] in {p.name for p in (tmp_path / "steps").iterdir()}


def test_failed_rows_are_told_and_a_plan_of_functions_is_drawn_as_its_run_told(tmp_path: Path) -> None:
    session = failing(tmp_path)
    (plan,) = plans(session)
    assert [(s["describe"].split(" ←")[0], s["state"], s["last"]["failed"], s["errors"]) for s in plan["steps"]] == [
        ("PROMPT said", "failed", 2, {"BadRequestError": 2})
    ]
    told = overview(session)
    assert (told["spent"]["failed"], told["live"], len(told["outputs"])) == (2, [], 0)
    assert [(f["row"], f["error"], f["message"]) for f in failures(session)["failures"]] == [(i, "BadRequestError", "no <b>such</b> tea") for i in (1, 4)]


def test_a_step_that_ran_well_afterwards_has_no_failures_any_more(tmp_path: Path) -> None:
    failing(tmp_path)
    again = held(tmp_path)
    log = next((tmp_path / "runs").iterdir())
    later = tmp_path / "runs" / f"2099{log.name[4:]}"
    later.write_text(log.read_text().replace('"failed": 2', '"failed": 0'))
    assert overview(again)["spent"]["failed"] == 0


def test_a_run_that_goes_on_is_live_and_its_steps_are_drawn_before_its_plan_is_kept(tmp_path: Path) -> None:
    session = said(tmp_path)
    line = {"event": "progress", "label": "more", "key": "0" * 32, "model": "echo", "rows_in": 9, "rows": 3, "asked": 3, "cost": 0.5}
    (tmp_path / "runs" / "20990101T000000-1-abcdef01.jsonl").write_text(json.dumps({"event": "begin", "plans": ["more"]}) + "\n" + json.dumps(line) + "\n")
    told = overview(session)
    assert told["live"] == ["20990101T000000-1-abcdef01.jsonl"]
    assert [(p["label"], p["kind"]) for p in told["plans"]] == [("more", "run"), ("filter", "frame")]
    assert [(s["state"], s["done"], s["last"]["rows_in"]) for s in told["plans"][0]["steps"]] == [("asked", 3, 9)]


def test_a_price_that_is_not_known_is_not_nothing(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        dr.frame({"t": ["tea"]}).prompt(Echo(), "{t}").collect()
    log = next((tmp_path / "runs").iterdir())
    log.write_text(log.read_text().replace('"cost": 0.0', '"cost": null'))
    assert overview(held(tmp_path))["spent"]["cost"] is None
