"""Take candidates in rounds until enough rows are left, and no more candidates than that needs."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from dreamframe.errors import SettingError, TooFewRowsError
from dreamframe.plan.step import RoundsStep, Rows, Step, kept_columns, step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.relational import RepeatTo

SPARE = 1.1  # candidates of a round beside what the rate so far calls for: fewer rounds, a little more to ask
LEAST = 8  # candidates of a round: the last rows would come one by one otherwise


@step
class Until(RoundsStep):
    """The first n rows of the input: the rows of `head(n)`, but the row steps below are only run for as many candidates as it takes."""

    n: int
    max_candidates: int  # rows below; the input's plan holds no more

    def check(self) -> None:
        if self.n < 1 or self.max_candidates < self.n:
            raise SettingError(f"{self.label}: n={self.n} rows of max_candidates={self.max_candidates}; give 1 <= n <= max_candidates.")

    def output_schema(self) -> pl.Schema:
        return self.inputs[0].schema

    def reads(self) -> frozenset[str]:
        return frozenset()

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def rows(self) -> Rows:
        return "fewer"

    def n_out(self, *n_in: int | None) -> int | None:  # noqa: ARG002
        return self.n

    def describe(self) -> str:
        return f"UNTIL {self.n} rows of at most {self.max_candidates} candidates"

    def next_round(self, seen: int, kept: int) -> int:
        """As many candidates as the rate so far calls for, but never more than were seen: a first guess may be far off."""
        missing = self.n - kept
        if missing <= 0:
            return 0
        if seen == 0:
            return min(self.n, self.max_candidates)
        wanted = math.ceil(SPARE * missing * (seen + 1) / (kept + 1))
        return min(max(LEAST, min(wanted, seen)), self.max_candidates - seen)

    def enough(self, rows: pl.DataFrame, seen: int | None) -> pl.DataFrame:
        if rows.height >= self.n:
            return rows.head(self.n)
        among = "" if seen is None else f" among {seen} candidates"
        if seen is not None and seen < self.max_candidates:
            what = "and there are no more. Give more candidates, or loosen where=."
        else:
            rate = math.ceil(self.n * self.max_candidates / rows.height) if rows.height else None
            more = f" (at this rate, {self.n} rows take about {rate})" if rate else ""
            what = f"and max_candidates={self.max_candidates} is reached. Raise it{more}, or loosen where=."
        raise TooFewRowsError(f"{self.label}: {rows.height} of {self.n} rows passed{among}, {what} Every answer is kept: running again asks for new ones only.")


def with_candidates(plan: Step, n: int, *, label: str) -> Step:
    """The plan over n candidates: the source below its row-wise steps grows to n rows if it repeats (`generate`, `repeat_to`), and is cut at n if not."""
    streamed: list[Step] = []
    while plan.is_streamed:
        streamed.append(plan)
        plan = plan.inputs[0]
    made: Step = RepeatTo(inputs=plan.inputs, n=n, name=plan.name) if isinstance(plan, RepeatTo) else relational("head", inputs=(plan,), args=(n,), name=label)
    for above in reversed(streamed):
        made = above.with_inputs([made, *above.inputs[1:]])
    return made
