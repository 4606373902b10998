"""Equal steps have one name, and a key is made only where two steps could be equal."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from benchmarks.deep_plans import linked
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.names import Names
from dreamframe.plan.optimizer.rules import optimise
from dreamframe.plan.step import Memo, Step
from dreamframe.plan.steps.source import LeftOut


def keyed() -> tuple[Callable[[Step], str], list[str], Memo]:
    """What makes keys, the labels of the steps that it was asked for, and the keys."""
    asked: list[str] = []
    memo: Memo = {}

    def key(step: Step) -> str:
        asked.append(step.label)
        return step.key(memo)

    return key, asked, memo


@pytest.mark.parametrize("shape", ["filters of prompts", "branches", "mixed"])
def test_a_long_plan_needs_no_key(shape: str) -> None:
    key, asked, _ = keyed()
    optimise([linked(shape, 40).step], Facts(name=key))
    assert asked == []


def test_steps_have_one_name_where_they_have_one_key() -> None:
    key, _, memo = keyed()
    name = Names(key)
    plans = [dr.frame({"a": [1, 2], "b": [i % 2, 3]}).filter(pl.col("a") > j).prompt(dr.testing.Echo(), "{b}").head(j) for i in range(4) for j in range(3)]
    plans += [plan.join(plans[0], on="a", how="semi") for plan in plans] + [dr.concat(plans[:3]), dr.concat(plans[6:9]), dr.concat(plans[2::-1])]
    steps = [step for plan in plans for step in plan.step.walk()]
    by_name, by_key = ([[i for i, other in enumerate(steps) if of(other) == of(step)] for step in steps] for of in (name, lambda step: step.key(memo)))
    assert by_name == by_key
    assert len({name(step) for step in steps}) < len(set(map(id, steps)))


def test_a_source_of_another_kind_may_have_the_same_key() -> None:
    key, _, memo = keyed()
    name = Names(key)
    table = dr.frame({"a": [1]}).step
    left_out = LeftOut(columns=(("a", pl.Int64()),), kept_key=table.key(memo))
    assert name(table) == name(left_out)
    assert name(dr.Frame(table).head(1).step) == name(dr.Frame(left_out).head(1).step)


def test_filters_of_equal_plans_that_are_other_objects_are_shared() -> None:
    def asked() -> dr.Frame:
        return dr.frame({"t": ["tea", "jam"], "v": [1, 2]}).prompt(dr.testing.Echo(), "{t}", into="said")

    memo: Memo = {}
    plans = [asked().head(1).step, asked().step]
    assert [optimise(plans, facts).trace == () for facts in (Facts(name=lambda step: step.key(memo)), Facts())] == [True, False]
