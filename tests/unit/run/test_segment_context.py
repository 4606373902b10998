"""What a step finds is put on record: explain, the card, the page and the session's records tell it, in the run that found it and later."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.step import TableStep, step
from dreamframe.session.page.tree import plans
from tests.sessions import held

SAID = "3 of 4 rows are good"


@step
class Finds(TableStep):
    """Finds something about its rows, and hands them on."""

    is_expensive: ClassVar[bool] = True
    warns: bool = False

    def output_schema(self) -> pl.Schema:
        return self.inputs[0].schema

    @property
    def certified(self) -> frozenset[str]:
        return frozenset()

    def told(self, rows: pl.DataFrame) -> dict[str, Any]:
        return {}

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: Any) -> pl.DataFrame:
        ctx.note(SAID, warns=self.warns, good=3)
        return tables[0]


def finding(**settings: Any) -> dr.Frame:
    return dr.Frame(Finds(inputs=(dr.frame({"t": ["a", "b", "c", "d"]}).step,), **settings)).filter(pl.col("t") != "d")


def test_what_a_step_finds_is_on_record(tmp_path: Path):
    with dr.Session(tmp_path) as session:
        assert SAID not in finding().explain()
        finding().collect()
        assert f"FINDS  · {SAID}\n" in finding().explain()
        assert [run.told for run in session.runs()[-1].steps] == [{"said": SAID, "good": 3}]
        assert f"- `finds`: FINDS. {SAID}" in finding().card()
    with dr.Session(tmp_path) as session:  # of another program
        assert SAID in finding().explain()
        finding().collect()  # out of the session
        assert SAID in finding().explain(cost=True)
        assert f"- `finds`: FINDS. {SAID}" in finding().card()


def test_the_page_tells_what_a_step_has_found(tmp_path: Path):
    with dr.Session(tmp_path):
        finding().collect()
    (plan,) = plans(held(tmp_path))
    assert [line["told"] for line in plan["steps"] if line.get("told")] == [SAID]


def test_a_step_may_warn_of_what_it_finds_and_a_look_does_not(tmp_path: Path):
    with dr.Session(tmp_path):
        with pytest.warns(dr.RunWarning, match=f"^finds: {SAID}$"):
            finding(warns=True).collect()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            finding(warns=True).explain(cost=True)
            finding(warns=True).why(0)
