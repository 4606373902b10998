"""Examples of the steps that measure: as those of `tests.laws.cases`, which holds them to the laws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

import dreamframe as dr
from dreamframe.plan.step import Step
from dreamframe.plan.steps.calibrate import Calibrate
from dreamframe.plan.steps.evaluate import Compare, Evaluate
from dreamframe.plan.steps.strengths import Strengths

Given = tuple[Callable[[Step], Step], Mapping[str, Any]]  # of a Case
ACCURACY, FIGURES = dr.metrics.accuracy("t", "k"), {"name": "other", "confidence": 0.9, "seed": 1, "draws": 20}


def cases(beside: Callable[..., Any]) -> dict[str, Given]:
    """Each step over an input, and other values for its fields; `beside` makes a value that goes with others."""
    return {
        "Calibrate": (
            lambda below: Calibrate(
                inputs=(dr.Frame(below).repeat_to(40).with_columns(p=pl.col("v") / 5, q=pl.col("v") / 9, b=pl.col("k"), c=pl.col("t")).step,),
                probability="p", answer="k", gold="b", into="p",
            ),
            {"name": "other", "probability": beside("q", {"into": "fitted"}), "answer": "t", "gold": "c", "into": "fitted", "method": "isotonic"},
        ),
        "Strengths": (
            lambda below: Strengths(inputs=(dr.Frame(below).with_columns(u="t").step,), a="k", b="t", winner="t", draws=20),
            {"name": "other", "a": "u", "b": "u", "winner": "u", "prior": 1.0, "confidence": 0.9, "draws": 30, "seed": 1},
        ),
        "Evaluate": (
            lambda below: Evaluate(inputs=(below,), metrics=(("accuracy", ACCURACY),), draws=10),
            {**FIGURES, "metrics": (("f1", dr.metrics.f1("t", "k", average="macro")),), "by": ("k",)},
        ),
        "Compare": (
            lambda below: Compare(inputs=2 * (dr.Frame(below).with_row_index("i").step,), metric=ACCURACY, on=("i",), draws=10),
            {**FIGURES, "metric": dr.metrics.pearson("v", "v"), "on": ("i", "v"), "names": ("small", "large")},
        ),
    }
