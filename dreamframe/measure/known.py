"""What is known of the rows while a cascade is certified: their labels, which of them the proxy answers, and the tests so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dreamframe.measure.certificate import Certificate, Outcome, Test
from dreamframe.measure.promise import Promise
from dreamframe.measure.ranked import Ranked

UNKNOWN, FALSE, TRUE, UNUSABLE = -1, 0, 1, 2  # a label; UNUSABLE where the strong model failed


class Known:
    """Labels by place (see `Ranked`), and three borders that only ever move towards more rows for the proxy."""

    def __init__(self, scores: Sequence[float | None], order: Sequence[int], promise: Promise) -> None:
        import numpy as np

        self.promise, self.rows = promise, len(scores)
        self.ranked = Ranked(scores, order)
        self.labels: Any = np.full(len(self.ranked), UNKNOWN, np.int8)  # (places,)
        self.own = self.yes = 0  # places before it keep the proxy's own answer, are answered yes
        self.no = len(self.ranked)  # places from it on are answered no
        self.tests: list[Test] = []

    @property
    def still(self) -> float:
        """How many labels may still be asked for."""
        return float("inf") if self.promise.labels is None else self.promise.labels - int((self.labels != UNKNOWN).sum())

    def learn(self, place: int, label: bool | None) -> None:
        self.labels[place] = UNUSABLE if label is None else TRUE if label else FALSE

    def count(self, label: int, start: int = 0, stop: int | None = None) -> int:
        """How many places from `start` to before `stop` have this label."""
        return int((self.labels[start:stop] == label).sum())

    def unknown(self, start: int, stop: int) -> Any:
        """The places from `start` to before `stop` that have no label."""
        return start + (self.labels[start:stop] == UNKNOWN).nonzero()[0]

    def chances(self, start: int = 0) -> Any:
        """(places from `start`,) the scores as probabilities, for plans: nothing that is promised rests on them."""
        return self.ranked.score[start:].clip(0.0, 1.0)

    def from_score(self, cut: int) -> float | None:
        """The lowest score before a cut; None where no row is before it."""
        return float(self.ranked.score[cut - 1]) if cut else None

    def below_score(self, cut: int) -> float | None:
        """The score that all rows from a cut on stay below; None where there are none."""
        return None if cut == len(self.ranked) else float(self.ranked.score[cut - 1]) if cut else float("inf")

    def outcome(self) -> Outcome:
        import numpy as np

        places, unknown = np.arange(len(self.ranked)), self.labels == UNKNOWN
        by_proxy = [unknown & (places < self.own), unknown & (places < self.yes), unknown & (places >= self.no)]
        failed = np.ones(self.rows, np.bool_)
        failed[self.ranked.position] = False
        own, yes, no, labelled, left = (
            np.sort(self.ranked.position[mask]).tolist() for mask in (*by_proxy, ~unknown, unknown & ~np.logical_or.reduce(by_proxy))
        )
        decided = len(own) + len(yes) + len(no)
        certificate = Certificate(
            promise=self.promise, rows=self.rows, scored=len(self.ranked), labels=len(labelled), decided=decided, strong=self.rows - decided,
            own_from=self.from_score(self.own), yes_from=self.from_score(self.yes),
            no_below=self.below_score(self.no), tests=tuple(self.tests),
        )  # fmt: skip
        return Outcome(certificate, own, yes, no, labelled, sorted([*left, *np.flatnonzero(failed).tolist()]))
