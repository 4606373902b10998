"""How many rows of each batch were left after each step of a segment, kept with an output whose rows are not those that fed it: so a row of it is found
among a few that it may have come from, whatever the answers were."""

from __future__ import annotations

import itertools
from array import array
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from dreamframe.plan.step import Step

MOST = 8_192  # batches that are told apart; neighbours of more are counted together


class Walk:
    """The rows of a segment, batch by batch in input order: those that fed it, and those that left each step."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = steps
        self.is_known = True  # False where steps were asked in another order
        self._counts = [array("Q") for _ in range(len(steps) + 1)]

    def add(self, counts: Sequence[tuple[int, int]]) -> None:
        """One batch more: for each step, rows that entered it and rows that left it."""
        if self.is_known and counts:
            self._counts[0].append(counts[0][0])
            for held, (_, n_out) in zip(self._counts[1:], counts, strict=True):
                held.append(n_out)

    def record(self, key: Callable[[Step], str]) -> dict[str, Any] | None:
        """What a manifest says of it; None where all rows that enter leave, or nobody knows."""
        if not self.is_known or all(held == self._counts[0] for held in self._counts):
            return None
        each = -(-len(self._counts[0]) // MOST)
        counts = [[sum(held[at : at + each]) for at in range(0, len(held), each)] if each > 1 else held.tolist() for held in self._counts]
        rows: list[list[int]] = []
        steps: dict[str, int] = {}
        for step, held in zip((self.steps[0].inputs[0], *self.steps), counts, strict=True):
            if not rows or rows[-1] != held:
                rows.append(held)
            steps[key(step)] = len(rows) - 1
        return {"steps": steps, "rows": rows}


class Batch(NamedTuple):
    """Rows that walked together, as positions among all rows of a step."""

    number: int
    start: int
    stop: int


class Walked:
    """What a manifest says of a walk."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        self._steps: Mapping[str, int] = record["steps"]
        self._ends = [list(itertools.accumulate(held, initial=0)) for held in record["rows"]]

    def __contains__(self, key: str) -> bool:
        return key in self._steps

    def height(self, key: str) -> int:
        """All rows of a step."""
        return int(self._ends[self._steps[key]][-1])

    def batch_of(self, key: str, row: int) -> Batch:
        """The batch in which a row left a step."""
        return self.batch(key, bisect_right(self._ends[self._steps[key]], row) - 1)

    def batch(self, key: str, number: int) -> Batch:
        """A batch as it left a step."""
        ends = self._ends[self._steps[key]]
        return Batch(number, ends[number], ends[number + 1])
