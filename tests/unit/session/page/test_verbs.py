"""The steps of a verb are one line that unfolds."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.frame.frame import Frame
from dreamframe.session.page.verbs import fold
from dreamframe.testing import Echo

LLM = Echo()
ROWS = dr.frame({"t": ["a"], "u": ["b"]})
PLANS: dict[str, tuple[Frame, list[tuple[str | None, int]]]] = {
    "a filter by a model": (ROWS.filter_by(LLM, "Is {t} x?").prompt(LLM, "{t}", into="z"), [(None, 1), ("filter_by", 3), (None, 1)]),
    "two of them": (ROWS.filter_by(LLM, "Is {t} x?").filter_by(LLM, "Is {u} x?"), [(None, 1), ("filter_by", 3), ("filter_by", 3)]),
    "a judge": (ROWS.judge(LLM, a="t", b="u"), [(None, 1), ("judge", 3)]),
    "expressions": (ROWS.with_columns(x=dr.prompt(LLM, "A {t}") + "!").filter(pl.col("x") == "y"), [(None, 1), ("with_columns", 3), (None, 1)]),
    "a recipe": (dr.recipes.evolve(ROWS, LLM, "t"), [(None, 1), ("evolve", 11), (None, 1)]),
    "single steps": (ROWS.prompt(LLM, "{t}", into="a", name="mine").filter(pl.col("a") == "x").prompt(LLM, "{a}", into="b"), [(None, 4)]),
}


@pytest.mark.parametrize(("frame", "expected"), PLANS.values(), ids=PLANS.keys())
def test_the_steps_of_a_verb_are_together(frame: Frame, expected: list[tuple[str | None, int]]) -> None:
    steps = frame.step.walk()
    lines: list[dict[str, Any]] = [{} for _ in steps]
    fold(lines, steps)
    found: list[tuple[str | None, int]] = []
    at: Any = -1
    for line in lines:
        if line.get("fold") == at:
            found[-1] = found[-1][0], found[-1][1] + 1
        else:
            found.append((line.get("verb"), 1))
        at = line.get("fold")
    assert found == expected
