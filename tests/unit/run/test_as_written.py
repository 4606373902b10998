"""What is told of a run speaks of the plan as it was written, whatever the rules made of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.step import TableStep, step
from tests.loopback.server import Loopback
from tests.unit.adding.counter import Counter


def asked(llm: dr.testing.Echo) -> dr.Frame:
    return dr.frame({"t": [f"tea {i}" for i in range(9)]}).prompt(llm, "{t}", into="said")


@pytest.mark.parametrize("kept", [True, False], ids=["in a folder", "in memory"])
def test_the_card_of_the_first_rows_has_their_numbers(kept: bool, tmp_path: Path) -> None:
    first = asked(dr.testing.Echo()).head(5)
    with dr.Session(tmp_path if kept else None):
        first.collect()
        card = first.card()
    assert "5 rows of 2 columns" in card
    assert "Together: 5 model calls" in card
    assert "| 2 | `PROMPT said ← echo '{t}'` | 1 | 5 | 5 | 0 | 5 |" in card


def test_the_card_of_a_plan_that_has_not_run_counts_nothing() -> None:
    with dr.Session(None):
        asked(dr.testing.Echo()).collect()
        again = asked(dr.testing.Echo()).prompt(dr.testing.Echo(), "{said}", into="again")
        assert "Planned, not run yet: rows" in again.card()


def test_statistics_are_those_of_the_steps_as_they_were_written(tmp_path: Path) -> None:
    first = asked(dr.testing.Echo()).head(5)
    with dr.Session(tmp_path) as session:
        first.collect()
        (stats,) = session.runs()[-1].steps
        assert (stats.label, stats.key, stats.rows) == ("said", first.step.inputs[0].key({}), 5)
        (record,) = session.steps()
    assert [line.key for line in record.ran] == [stats.key]


def test_failures_are_those_of_the_frame_that_was_written() -> None:
    llm = dr.testing.Failing(when=lambda p: p == "tea 1")
    first = dr.frame({"t": [f"tea {i}" for i in range(9)]}).prompt(llm, "{t}", into="said", on_error="null").head(3)
    with dr.Session(None):
        assert first.collect().height == 3
        assert first.failures().select("step", "row").rows() == [("said", 1)]


def test_a_plan_whose_edge_is_moved_finds_the_model_it_waits_for() -> None:
    """A limit above a lazy model's rows moves down: the model that another step names is the one as it was written."""
    from dreamframe.plan.optimizer.rules import optimise

    trained = asked(dr.testing.Echo()).head(2).train(dr.SFT("base", steps=1), prompt="t", completion="said")
    plan = dr.frame({"t": ["x"]}).prompt(trained.llm(), "{t}").step
    made = optimise([plan])
    assert {made.as_written(node) for node in made.plans[0].walk()} == set(plan.walk())
    (edge,) = (node for node in made.plans[0].walk() if node.label == trained.step.label)
    assert edge.inputs[0].label == "said"
    assert made.as_written(edge) is trained.step


def test_a_table_step_finds_the_model_whose_rows_a_rule_has_cut(tmp_path: Path) -> None:
    """The key of a training moves with a rule that works below it; the step above reads it as it runs."""
    trained = asked(dr.testing.Echo()).head(2).train(Counter(), prompt="said")

    with dr.Session(tmp_path):
        rows = dr.Frame(Told(inputs=(dr.frame({"t": ["x"]}).step, trained.step))).collect()
        assert rows.to_dicts() == [{"t": "2"}]


@step
class Told(TableStep):
    """What was trained."""

    is_expensive: ClassVar[bool] = True

    def output_schema(self) -> pl.Schema:
        return self.inputs[0].schema

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: Any) -> pl.DataFrame:
        made = ctx._lent.artefact(self.inputs[1])
        return tables[0].with_columns(t=pl.lit((Path(made.path) / "n_rows.txt").read_text()))


def test_a_price_that_is_not_known_is_no_sum() -> None:
    with Loopback(lambda body: "yes") as server, dr.Session(None):
        llm = dr.OpenAI("mine", base_url=server.url)
        rows = dr.frame({"t": ["tea"]}).prompt(llm, "{t}", into="said")
        rows.collect()
        assert " out, at a price that is not known." in rows.card()
