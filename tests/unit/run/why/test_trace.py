"""The story of a row where something is missing, went wrong or was asked twice; which rows it is told of, and what it costs to tell."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, SettingError
from dreamframe.store.answers import Answers
from dreamframe.testing import Echo, Failing, Scripted
from tests.loopback.faults import FAULTS
from tests.loopback.server import Loopback
from tests.micro import micro_classifier

ROWS = dr.frame({"t": ["tea", "jam", None, "rye"], "n": [3, 1, 2, 4]})


def test_a_row_is_named_by_its_position_from_either_end_or_by_a_condition(session: dr.Session):
    plan = ROWS.prompt(Echo(), "Say {t}", into="said")
    plan.collect()
    assert (plan.why().row, plan.why(-1).row, plan.why(-1).values["said"]) == (0, 3, "Say rye")
    found = plan.why(pl.col("n") > 2)
    assert (found.row, found.found, found.calls[0].answer) == (0, (0, 3), "Say tea")
    assert "the first of 2 that the condition finds" in str(found)
    for row, message in ((4, "has 4 rows, and no row 4"), (-5, "no row -5"), (pl.col("n") > 9, "no row of the frame"), ("x", "neither a position")):
        with pytest.raises(SettingError, match=message):
            plan.why(row)  # type: ignore[arg-type]
    with pytest.raises(ColumnNotFoundError):
        plan.why(pl.col("m") > 2)


def test_nothing_was_asked_of_a_null_and_that_is_no_failure(session: dr.Session):
    plan = ROWS.prompt(Echo(), "Say {t}", into="said")
    plan.collect()
    story = plan.why(2)
    assert (story.calls, [row.error for row in story.steps[-1].rows], story.values["said"]) == ((), [None], None)


@pytest.mark.parametrize("on_error", ["null", "raise"])
def test_a_call_that_failed_says_why(on_error: Any, tmp_path: Path):
    plan = ROWS.prompt(Failing(when=lambda p: "jam" in p), "Ask {t}", into="said", on_error=on_error)
    with dr.Session(tmp_path):
        try:
            plan.collect()
        except dr.errors.RowsFailedError:
            assert on_error == "raise"
        (call,) = plan.why(1).calls
    assert (call.is_kept, call.answer, call.note) == (False, None, "BadRequestError: refused by the testing model")
    with dr.Session.existing(tmp_path):
        assert plan.why(1).steps[-1].rows[0].error == call.note, "also later, and where nothing may be written"


def test_where_failed_rows_are_left_out_the_others_are_found(session: dr.Session):
    plan = ROWS.prompt(Failing(when=lambda p: "tea" in p), "Ask {t}", into="said", on_error="drop").prompt(Echo(), "So {said}", into="so")
    rows = plan.collect()
    assert [plan.why(i).values for i in range(3)] == rows.to_dicts()
    assert [call.answer for call in plan.why(2).calls] == ["Ask rye", "So Ask rye"]


def test_every_turn_of_a_repair_is_told_and_an_answer_that_was_asked_anew_is_the_one_that_counts(session: dr.Session):
    mood = ROWS.head(1).prompt(Scripted(["no", '"good"']), "Is {t}?", schema=Literal["good", "bad"], into="mood")
    mood.collect()
    assert [(c.answer, len(c.messages)) for c in mood.why(0).calls] == [("no", 1), ('"good"', 3)]
    rate = ROWS.head(1).prompt(Scripted(["no idea", "7"]), "Rate {t}", parse=int, schema=int, on_error="null")
    rate.collect()
    assert (rate.why(0).steps[-1].rows[0].error or "").startswith("ParseError")
    rate.retry()
    assert ([c.answer for c in rate.why(0).calls], rate.why(0).values["answer"]) == (["7"], 7)


def test_how_a_call_went_is_told_and_missing_from_answers_of_before(session: dr.Session):
    with Loopback(fault=lambda call: FAULTS["503 with Retry-After"] if call.ordinal == 0 else None) as server:
        plan = ROWS.head(1).prompt(dr.OpenAI("gpt-4o-mini", base_url=server.url), "{t}")
        plan.collect()
        (call,) = plan.why(0).calls
    assert (call.attempts, call.note, call.at is not None) == (2, None, True)
    old = ROWS.head(1).prompt(Echo(), "Old {t}", into="old")
    old.collect()
    key = bytes.fromhex(old.why(0).calls[0].key)
    with dr.Session(None) as other:
        other.stores.answers.append(key, "Old tea", None, "stop", 1, 1, 0, 0, "echo", None)
        (call,) = old.why(0).calls
    assert (call.answer, call.attempts, call.seconds) == ("Old tea", None, None)
    assert "not kept" in (call.note or "")


def test_a_column_and_rows_that_nobody_reads_were_not_asked_and_it_says_so(session: dr.Session):
    llm = Echo()
    plan = ROWS.prompt(llm, "Unread {t}", into="unread").prompt(llm, "Say {t}", into="said").select("said")
    plan.collect()
    steps = {step.label: step for step in plan.why(0).steps}
    assert (steps["unread"].note, steps["unread"].rows) == ("not asked: no row or column of it is read", ())
    assert [c.answer for c in steps["said"].rows[0].calls] == ["Say tea"]


def test_of_many_rows_some_are_told(session: dr.Session):
    rows = dr.frame({"t": [f"tea {i}" for i in range(50)], "k": ["a"] * 50})
    plan = rows.prompt(Echo(), "Say {t}", into="said").group_by("k").agg(pl.col("said").str.join(" "))
    plan.collect()
    story = plan.why(0, most=3)
    assert [(step.n_rows, len(step.rows)) for step in story.steps[:2]] == [(50, 3), (50, 3)]
    assert "… and 47 more rows" in str(story)


def test_a_function_is_called_for_the_row_alone(tmp_path: Path):
    seen: list[Any] = []

    def double(row: dict[str, Any]) -> dict[str, int]:
        seen.append(row["n"])
        return {"d": 2 * row["n"]}

    plan = ROWS.map(dr.versioned(double, version=1), schema={"d": pl.Int64}).prompt(Echo(), "{d}", into="said")
    with dr.Session(tmp_path):
        plan.collect()
        seen.clear()
        assert plan.why(3).calls[0].answer == "8"
    assert set(seen) == {4}


def test_a_row_among_many_is_looked_up_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    n = 6_000
    days = [dt.date(2026, 1, 1) + dt.timedelta(i % 50) for i in range(n)]
    enum = pl.Series([["a", "b", None][i % 3] for i in range(n)], dtype=pl.Enum(["a", "b"]))
    rows = dr.frame(pl.DataFrame({"i": range(n), "day": days, "e": enum, "b": [b"x"] * n, "f": [float("nan")] * n}))
    llm = Echo(log=dr.testing.Log(keep=False))
    plan = rows.prompt(llm, "Tea {i}", into="said").filter(pl.col("said").str.ends_with("7")).prompt(llm, "So {said}", into="so").sort("i", descending=True)
    looked: list[int] = []
    lookup = Answers.lookup

    def counted(self: Answers, keys: Sequence[bytes | None]) -> pl.DataFrame:
        looked.append(len(keys))
        return lookup(self, keys)

    with dr.Session(tmp_path):
        made = plan.collect()
        monkeypatch.setattr(Answers, "lookup", counted)
        story = plan.why(10)
    assert (story.values["i"], [c.answer for c in story.calls]) == (made["i"][10], [made["said"][10], made["so"][10]])
    assert sum(looked) <= 10


def test_no_secret_is_told_and_all_of_it_is_json(session: dr.Session):
    llm = dr.OpenAI("gpt-4o-mini", api_key="sk-verysecretkeyofmine123456", base_url="http://127.0.0.1:9/v1")
    plan = dr.frame({"t": ["my key is sk-verysecretkeyofmine123456"], "at": [dt.datetime(2026, 1, 1)]}).prompt(llm, "{t}", on_error="null")
    key = plan.why(0).calls[0].key
    session.stores.answers.append(bytes.fromhex(key), "it is sk-verysecretkeyofmine123456", None, "stop", 1, 1, 0, 0, "m", json.dumps({"reasoning": "hm"}))
    story = plan.why(0)
    assert (story.calls[0].reasoning, story.calls[0].is_kept) == ("hm", True)
    for text in (str(story), story._repr_html_(), json.dumps(story.as_dict())):
        assert "verysecret" not in text
        assert "hm" in text


def test_where_there_is_no_session_it_says_so(tmp_path: Path):
    with pytest.raises(SettingError, match="there is no session"):
        dr.Session(tmp_path / "none").why(ROWS.prompt(Echo(), "{t}"), 0)


def test_it_is_quick(session: dr.Session):
    rows = dr.frame({"i": range(100_000)}).filter(pl.col("i") % 2 == 0)
    plan = rows.prompt(Echo(), "Tea {i}", into="said").head(40_000).tail(1)
    plan.collect()
    plan.why(0)
    began = time.perf_counter()
    assert plan.why(0).calls[0].answer == "Tea 79998"
    assert time.perf_counter() - began < 1.0


@pytest.mark.slow  # torch and transformers are loaded
def test_a_trained_model_is_named_and_not_trained_again(tmp_path: Path):
    labelled = dr.frame({"t": ["tea", "jam", "rye"]}).prompt(Scripted({"tea": "good", "jam": "bad", "rye": "good"}), "{t}", into="label")
    model = labelled.train(dr.Classifier(str(micro_classifier()), steps=1, device="cpu"), text="t", label="label")
    plan = dr.frame({"t": ["oat", "fig"]}).classify(model.classifier(), None, "t")
    with dr.Session(tmp_path) as session:
        with pytest.raises(SettingError, match="is not trained in this session"):
            plan.why(0)
        made = plan.collect()
        story = plan.why(1)
        assert session.usage()["trained"] == 1
        logged = [event["values"] for event in session.stores.log.read() if event["event"] == "logged"]
    assert logged, "its curve is in the log of the run"
    assert logged[0] == {"step": 0}
    assert {"step", "loss"} <= set(logged[1])
    steps = {step.label: step for step in story.steps}
    assert json.loads(story.calls[0].answer or "")["label"] == made["label"][1]
    assert (steps["label"].note, steps["classify"].rows[0].values["label"]) == ("asked about the rows that a model was trained on", made["label"][1])
    assert any((step.note or "").startswith("model ") for step in story.steps)
