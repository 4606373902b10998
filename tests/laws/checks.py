"""Examples of the steps that check answers and run programs: as those of `tests.laws.cases`, which holds them to the laws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

import dreamframe as dr
from dreamframe.plan.step import Step
from dreamframe.plan.steps.run_code import RunCode
from dreamframe.plan.steps.verify import Verify

Given = tuple[Callable[[Step], Step], Mapping[str, Any]]  # of a Case


def programs(below: Step) -> Step:
    """A program in each row, and a test of it."""
    code, other = (pl.format("x = {}", pl.col("v") + add) for add in (0, 1))
    return dr.Frame(below).with_columns(code=code, other_code=other, test=pl.lit("assert x > 1"), other_test=pl.lit("assert x > 2")).step


CHANGES: dict[str, Any] = {"name": "other", "on_error": "null", "into": "other"}


def cases() -> dict[str, Given]:
    """Each step over an input, and other values for its fields."""
    verifier = dr.verify.number("t", "v", tolerance=0.5)
    return {"Verify": (lambda below: Verify(inputs=(below,), verifier=dr.verify.exact("t", "k"), into="ok"), {**CHANGES, "verifier": verifier})}


def run_code() -> Given:
    """Apart, for the laws of identity alone: two runs take other times, which are in its rows."""
    changes = {"column": "other_code", "tests": "other_test", "timeout": 61.0, "memory": 10**9, "language": "bash"}
    return (lambda below: RunCode(inputs=(programs(below),), column="code", tests="test", timeout=60.0), {**CHANGES, **changes})
