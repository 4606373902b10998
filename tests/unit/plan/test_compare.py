"""Why a step misses: which part of which step differs from the nearest stored output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.frame.frame import Frame
from dreamframe.plan.compare import why_miss

ROWS = {"t": ["tea", "rain"], "v": [1, 2]}


def rows(**more: list[object]) -> Frame:
    return dr.frame({**ROWS, **more})


def asked(frame: Frame, template: str = "Sum up {t}", model: str = "echo", **settings: Any) -> Frame:
    return frame.prompt(dr.testing.Echo(model=model), template, into="sum", **settings)


def first(row: dict[str, object]) -> dict[str, object]:
    return {"w": 1}


def second(row: dict[str, object]) -> dict[str, object]:
    return {"w": 2}


# Before, after, what differs
EDITS = {
    "the prompt": (
        lambda: asked(rows()),
        lambda: asked(rows(), "Shorten {t}"),
        ["PROMPT sum ← echo 'Shorten {t}': prompt (was: PROMPT sum ← echo 'Sum up {t}')"],
    ),
    "the model": (lambda: asked(rows()), lambda: asked(rows(), model="other"), ["PROMPT sum ← other 'Sum up {t}': llm (was: PROMPT sum ← echo 'Sum up {t}')"]),
    "a setting that the plan does not show": (
        lambda: asked(rows()),
        lambda: asked(rows(), system="Be brief.", seed=1),
        ["PROMPT sum ← echo 'Sum up {t}': system, sampling"],
    ),
    "the rows": (lambda: asked(rows()), lambda: asked(rows(u=[1, 2])), ["TABLE 2 rows: content"]),
    "the rows and the prompt": (
        lambda: asked(rows()),
        lambda: asked(rows(u=[1, 2]), "Shorten {t}"),
        ["PROMPT sum ← echo 'Shorten {t}': prompt (was: PROMPT sum ← echo 'Sum up {t}')", "TABLE 2 rows: content"],
    ),
    "a function": (
        lambda: rows().map(first, schema={"w": int}),
        lambda: rows().map(second, schema={"w": int}),
        ["MAP w ← second: function (was: MAP w ← first)"],
    ),
    "a step put in": (
        lambda: asked(rows()),
        lambda: asked(rows().filter(pl.col("v") > 0)),
        ['put in: FILTER [[(col("v")) > (dyn int: 0)]]'],
    ),
    "two steps put in, and the rows": (
        lambda: asked(rows()),
        lambda: asked(rows(u=[1, 2]).filter(pl.col("v") > 0).select("t")),
        ['put in: SELECT [col("t")]', 'put in: FILTER [[(col("v")) > (dyn int: 0)]]', "TABLE 2 rows: content"],
    ),
    "a step taken out": (
        lambda: asked(rows().filter(pl.col("v") > 0)),
        lambda: asked(rows()),
        ['taken out: FILTER [[(col("v")) > (dyn int: 0)]]'],
    ),
    "another verb": (
        lambda: asked(rows().filter(pl.col("v") > 0)),
        lambda: asked(rows().sort("v")),
        ['SORT [col("v")]: verb, args, options (was: FILTER [[(col("v")) > (dyn int: 0)]])'],
    ),
    "the other side of a join": (
        lambda: asked(rows()).join(dr.frame({"v": [1]}), on="v"),
        lambda: asked(rows()).join(dr.frame({"v": [2]}), on="v"),
        ["TABLE 1 rows: content"],
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_what_differs_is_named(edit: str, tmp_path: Path):
    before, after, differs = EDITS[edit]
    with dr.Session(tmp_path / "s") as session:
        before().collect()
        said = session.why_miss(after())
    head, *lines = said.splitlines()
    assert " is not stored. The nearest stored output is " in head
    assert [line.strip() for line in lines] == differs


def test_what_is_stored_is_said_to_be(tmp_path: Path):
    with dr.Session(tmp_path / "s") as session:
        asked(rows()).collect()
        assert session.why_miss(asked(rows())) == "sum is stored: it does not run again."


def test_a_rename_and_a_runtime_setting_are_no_miss(tmp_path: Path):
    with dr.Session(tmp_path / "s") as session:
        asked(rows()).collect()
        assert session.why_miss(asked(rows(), name="another")) == "another is stored: it does not run again."


def test_the_nearest_is_the_one_that_has_most_in_common(tmp_path: Path):
    with dr.Session(tmp_path / "s") as session:
        asked(rows(), "First {t}").collect()
        asked(rows(u=[1, 2]), "Second {t}").collect()
        asked(rows(z=["a", "b"]).filter(pl.col("v") > 0), "Third {t}").collect()
        said = session.why_miss(asked(rows(u=[1, 2]), "Other {t}"))
    assert "was: PROMPT sum ← echo 'Second {t}'" in said


def test_an_edited_file_is_named(tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("t,v\ntea,1\n")
    with dr.Session(tmp_path / "s") as session:
        asked(dr.scan_csv(str(file))).collect()
        file.write_text("t,v\nsun,1\n")
        assert session.why_miss(asked(dr.scan_csv(str(file)))).splitlines()[1:] == ["  SCAN csv rows.csv [2 columns]: content"]


def test_nothing_is_run_or_asked(tmp_path: Path):
    with dr.Session(tmp_path / "s") as session:
        session.why_miss(asked(rows()))
        assert session.usage()["calls"] == 0
        assert session.steps() == []


def test_what_is_never_stored_is_said_to_be(tmp_path: Path):
    with dr.Session(tmp_path / "s") as session:
        assert session.why_miss(asked(rows())) == "sum is not stored, and no earlier output of this session is like it."
        assert session.why_miss(rows().filter(pl.col("v") > 1)).startswith("This plan is never stored")
        model = dr.frame({"p": ["a"], "c": ["b"]}).train(dr.SFT("base", steps=1), prompt="p", completion="c")
        assert session.why_miss(model).startswith("A model is found by its settings")
    with dr.Session(None) as session:
        assert session.why_miss(asked(rows())).startswith("A session in memory")


def node(**changed: object) -> dict[str, object]:
    return {"key": "0", "step": "PromptStep", "describe": "x", "parts": {}, "inputs": [], **changed}


BROKEN = [None, [], "x", [{}], [node(key=1)], [node(inputs=[0])], [node(inputs=[-1])], [node(parts=[])], [node(parts={"a": 1})]]


@pytest.mark.parametrize("plan", BROKEN, ids=str)
def test_records_of_another_version_are_passed_over(plan: object):
    assert "no earlier output" in why_miss(asked(rows()).step, {}, [{"key": "0", "plan": plan}])
