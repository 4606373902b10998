"""Typed verbs of polars: rules tell them apart, and keys, records and plans as JSON do not."""

from __future__ import annotations

import json

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.compare import on_record
from dreamframe.plan.step import step
from dreamframe.plan.steps.algebra import VERBS, Filter, Limit, relational
from dreamframe.plan.steps.relational import Relational
from tests.laws.cases import table
from tests.laws.test_traits import VERBS as WRITTEN


def written(name: str) -> Relational:
    made = WRITTEN[name](dr.Frame(table())).step
    assert isinstance(made, Relational)
    return made


NAMES = [n for n in WRITTEN if isinstance(WRITTEN[n](dr.Frame(table())).step, Relational)]


@pytest.mark.parametrize("name", NAMES)
def test_a_typed_verb_has_the_key_and_the_record_of_an_untyped_one(name: str):
    typed = written(name)
    plain = Relational(inputs=typed.inputs, verb=typed.verb, args=typed.args, options=typed.options)
    assert type(typed) is VERBS[typed.verb]
    assert typed.key({}) == plain.key({})
    assert typed.key_parts() == plain.key_parts()
    assert on_record(typed, {}) == on_record(plain, {})


@pytest.mark.parametrize("name", [n for n in NAMES if "function" not in n])
def test_a_plan_as_json_names_the_verb_alone_and_is_read_with_its_type(name: str):
    frame = dr.Frame(written(name))
    held = json.loads(frame.to_json())["steps"][-1]
    assert held["step"] == "Relational"
    again = dr.from_json(frame.to_json()).step
    assert type(again) is type(frame.step)
    assert again.key({}) == frame.step.key({})


def test_a_verb_of_the_users_own_is_another():
    @step
    class Wanted(Filter):
        """A special case with code of its own."""

    below = table()
    own, plain = (cls(inputs=(below,), verb="filter", args=(pl.col("v") > 1,)) for cls in (Wanted, Filter))
    assert own.key({}) != plain.key({})
    assert on_record(own, {})[-1]["step"] == "Wanted"


@pytest.mark.parametrize(
    ("verb", "args", "n_in", "n"),
    [
        *(("head", (), 9, 5), ("head", (2,), 9, 2), ("head", (2,), 1, 1), ("tail", (2,), 9, 2), ("tail", (2,), 1, 1), ("slice", (1, 2), 9, 2)),
        *(("slice", (1, 2), 2, 1), ("slice", (3, 2), 2, 0), ("slice", (1, None), 4, 3), ("slice", (-2, 1), 4, None), ("head", (2,), None, None)),
    ],
)
def test_a_limit_knows_how_many_rows_it_leaves(verb: str, args: tuple[int, ...], n_in: int | None, n: int | None):
    limit = relational(verb, inputs=(table(),), args=args)
    assert isinstance(limit, Limit)
    assert limit.n_out(n_in) == n
