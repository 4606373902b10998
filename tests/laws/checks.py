"""Examples of the steps that check answers and run programs: as those of `tests.laws.cases`, which holds them to the laws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

import dreamframe as dr
from dreamframe.plan.step import Step
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.run_code import RunCode
from dreamframe.plan.steps.until_right import PromptUntilRight
from dreamframe.plan.steps.verify import Verify
from dreamframe.prompts.base import Prompt
from tests.laws.ordinal import Ordinal

Given = tuple[Callable[[Step], Step], Mapping[str, Any]]  # of a Case


def programs(below: Step) -> Step:
    """A program in each row, and a test of it."""
    code, other = (pl.format("x = {}", pl.col("v") + add) for add in (0, 1))
    return dr.Frame(below).with_columns(code=code, other_code=other, test=pl.lit("assert x > 1"), other_test=pl.lit("assert x > 2")).step


CHANGES: dict[str, Any] = {"name": "other", "on_error": "null", "into": "other"}


def n_tries(rows: pl.DataFrame) -> int:
    """How many samples are asked for: of the first row of a prompt two, of the second one, of the others all three."""
    return sum((2, 1, 3)[min(k, 2)] for k in rows.drop_nulls("t").select(pl.int_range(pl.len()).over("t")).to_series())


def cases(changes: Mapping[str, Any], beside: Callable[[Any, Mapping[str, Any]], Any]) -> dict[str, tuple[Any, ...]]:
    """Each step over an input, and other values for its fields; of a prompt they are `changes`. `beside` is another value that needs one of another field."""
    verifier, llm = dr.verify.number("t", "v", tolerance=0.5), Ordinal(max_tokens=5)
    prompt = Prompt.of("Say {t}", step="prompt")
    tries = {name: value for name, value in changes.items() if name != "probability"}
    tries |= {"n": 4, "into": beside("other", {"verifier": dr.verify.regex("other", "1")}), "verifier": dr.verify.regex("said", "#[23]$")}

    def until_right(below: Step) -> Step:
        return PromptUntilRight.of(PromptStep.over(below, llm, prompt, into="said", n=3), dr.verify.regex("said", "#[13]$"))

    return {
        "Verify": (lambda below: Verify(inputs=(below,), verifier=dr.verify.exact("t", "k"), into="ok"), {**CHANGES, "verifier": verifier}),
        "PromptUntilRight": (until_right, tries, True, n_tries),
    }


def run_code() -> Given:
    """Apart, for the laws of identity alone: two runs take other times, which are in its rows."""
    changes = {"column": "other_code", "tests": "other_test", "timeout": 61.0, "memory": 10**9, "language": "bash"}
    return (lambda below: RunCode(inputs=(programs(below),), column="code", tests="test", timeout=60.0), {**CHANGES, **changes})
