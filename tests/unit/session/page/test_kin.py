"""From a row to those that it was made of and into, and back."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.run.why.calls import Looking
from dreamframe.session.page.kin import kin, kin_of
from dreamframe.session.page.routes import ROUTES
from dreamframe.testing import Echo
from tests.sessions import held


def test_a_row_leads_to_its_parents_and_they_lead_back(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        said = dr.frame({"id": [1, 2, 3], "k": ["a", "b", "a"]}).prompt(Echo(), "Say {id}", into="said", name="said")
        said.collect()
        kept = said.filter(pl.col("id") > 1).sort("id", descending=True).prompt(Echo(), "So {said}", into="so", name="so")
        kept.group_by("k").agg(pl.col("so").str.join("; ")).prompt(Echo(), "Sum up {so}", into="sum", name="sum").collect()
        kept.collect()
    session = held(tmp_path)
    names = {o.label: o.name for o in session.outputs()}
    told = kin(session, names["sum"], 0)
    assert [(k["label"], k["rows"]) for k in told["from"]] == [("so", [0]), ("said", [2])], "nearest first; not the steps of polars between them"
    assert told["into"] == []
    assert [(k["label"], k["rows"], k["n"]) for k in ROUTES["kin"](session, {"output": names["said"], "row": "2"})["into"]] == [("so", [0], 1), ("sum", [0], 1)]
    assert kin(session, names["said"], 0) == {"from": [], "into": []}
    assert set(kin_of(session, names["said"], pl.col("row") < 2)) == {1}


def test_rows_of_a_plan_that_is_not_whole_have_parents_too(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        said = dr.frame({"t": ["1", "tea", "3"]}).prompt(Echo(), "{t}", into="said", name="said")
        said.collect()
        said.filter(pl.col("t") != "1").prompt(Echo(), "{said}", schema=int, into="n", on_error="null").collect()
    session = held(tmp_path)
    (name,) = [s["output"] for p in ROUTES["overview"](session, {})["plans"] for s in p["steps"] if str(s["output"]).startswith("plan ")]
    assert [(k["label"], k["rows"]) for k in kin(session, name, 0)["from"]] == [("said", [1])]


def test_a_row_leads_to_those_of_a_plan_that_ran_in_another_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = dr.frame({"k": ["a"], "name": ["Ann"]})
    with dr.Session(tmp_path):
        said = dr.frame({"id": [1, 2, 3], "k": ["a", "b", "a"]}).prompt(Echo(), "Say {id}", into="said", name="said")
        said.collect()
        said.join(names.prompt(Echo(), "Who is {name}?", into="who"), on="k").collect()
        said.prompt(Echo(), "Shorten {said}", into="short").filter(pl.col("id") > 1).sort("id", descending=True).collect()
    session = held(tmp_path)
    outputs = {o.label: o.name for o in session.outputs()}
    monkeypatch.setattr(Looking, "ask", lambda *_: pytest.fail("answers were looked up that decide nothing"))
    assert sorted((k["label"], k["rows"]) for k in kin(session, outputs["said"], 2)["into"]) == [("join", [1]), ("sort", [0])]
    assert [(k["label"], k["rows"]) for k in kin(session, outputs["sort"], 1)["from"]] == [("short", [1]), ("said", [1])]
