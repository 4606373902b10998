"""Certified cascades: which rows a cheap model may decide, found by asking the strong model about a few of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dreamframe.errors import SettingError
from dreamframe.measure.accuracy import own_answers
from dreamframe.measure.certificate import Outcome
from dreamframe.measure.known import UNKNOWN, Known
from dreamframe.measure.precision import within_reach, yes_side
from dreamframe.measure.promise import Promise
from dreamframe.measure.recall import no_side

LEAST_ROWS = 20  # with fewer scores, a sample that could say anything is nearly all of them
WORTH_HALF = 0.1  # of all rows could be answered yes: with fewer, all of delta goes to recall, and the strong model answers whatever is not answered no


class Certifier:
    """Says whose labels it wants, is told them, and ends with who answers which row. It asks no model, and reads neither clock nor random numbers.

    `scores`, one per row, higher is surer: the proxy's confidence in its own answer under `accuracy`, else its probability of yes; None or NaN where the
    proxy failed. `order`: all positions, in an order that the labels and scores do not know, such as by a hash of each row's content, its occurrence and a
    seed; `second`: another such order, independent of the first (another seed), for a promise of both: without it all of delta goes to recall, and the
    strong model answers whatever is not answered no. A label is whether the strong model gives the proxy's answer (accuracy), else whether it says yes;
    None where it failed, which counts against us. Scores must be fixed before the first label is asked for, and the strong model must answer a row alike
    whenever it is asked. Raises SettingError for an infinite score, and for an order that is not one.

    >>> from random import Random
    >>> scores = [i / 1000 for i in range(1000)]
    >>> certifier = Certifier(scores, Random(0).sample(range(1000), 1000), Promise(recall=0.9))
    >>> while positions := certifier.wanted():
    ...     certifier.tell({position: scores[position] > 0.6 for position in positions})
    >>> outcome = certifier.outcome()
    >>> outcome.certificate.no_below < 0.65, outcome.certificate.strong < 1000
    (True, True)
    """

    def __init__(self, scores: Sequence[float | None], order: Sequence[int], promise: Promise, second: Sequence[int] | None = None) -> None:
        import numpy as np

        self._known = Known(scores, order, promise)
        self._phases = _phases(self._known, second)
        self._place: Any = np.full(len(scores), -1, np.int64)  # (positions,) where the row stands in the order of scores
        self._place[self._known.ranked.position] = np.arange(len(self._known.ranked))
        self._wanted: list[int] = []
        self._go_on()

    def wanted(self) -> list[int]:
        """The positions whose labels are wanted now, each once; empty when the thresholds are found."""
        return list(self._wanted)

    def tell(self, labels: Mapping[int, bool | None]) -> None:
        """Labels of all positions that are wanted. Raises SettingError where one is missing or was not asked for."""
        if set(labels) != set(self._wanted):
            missing, more = set(self._wanted) - set(labels), set(labels) - set(self._wanted)
            raise SettingError(f"tell() takes the labels of the positions in wanted(): {len(missing)} are missing, {len(more)} were not asked for")
        for position, label in labels.items():
            self._known.learn(self._place[position], label)
        self._go_on()

    def outcome(self) -> Outcome:
        """Who answers which rows. Before wanted() is empty: what is certain so far; rows that the proxy answers then stay the proxy's."""
        return self._known.outcome()

    def _go_on(self) -> None:
        """Run until labels are wanted that are not known."""
        places: list[int] = []
        while not places and (wanted := next(self._phases, None)) is not None:
            places = [place for place in wanted if self._known.labels[place] == UNKNOWN]
        self._wanted = self._known.ranked.position[places].tolist() if places else []


def _phases(known: Known, second: Sequence[int] | None) -> Iterator[Sequence[int]]:
    promise, alpha = known.promise, known.promise.delta
    if len(known.ranked) < LEAST_ROWS:
        return
    if promise.accuracy is not None:
        yield from own_answers(known, promise.accuracy, alpha)
    elif promise.recall is None and promise.precision is not None:
        yield from yes_side(known, promise.precision, alpha)
    elif promise.precision is not None and second is not None and within_reach(known, promise.precision) >= WORTH_HALF * known.rows:
        alpha = promise.side_delta
        yield from yes_side(known, promise.precision, alpha)
        known.ranked.sample_by(second, known.rows)  # the rows below the yes side were chosen by labels of the first
    if promise.recall is not None:
        yield from no_side(known, promise.recall, alpha)
