"""The best of many items by comparisons: which to ask next, and what the answers say. Numbers alone: nobody is asked here.

Multi-pivot quickselect over a graph of all that is known. A pivot is drawn by rank from a sample of the items (Floyd and Rivest, 1975), all others are
held against it in one batch, and only those that are needed go on. What follows from answers that are there is not asked (BlitzRank, arXiv:2602.05448);
with `window` > 2 one question orders so many items (ListK, arXiv:2603.17223).
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from typing import TypeVar

T = TypeVar("T")
Window = tuple[int, ...]  # items that one question orders
Tiers = list[list[int]]  # items, best first; those of one tier are tied
Asking = Generator[list[Window], Sequence["Sequence[Sequence[int]] | None"], T]

SMALL = 8  # items, below which a sample for the pivot would cost more than it saves
SPREAD = 1.5  # standard deviations that the pivot stands below the last item that is wanted: so rarely is the part above it too small
FULL = 0.85  # of a window is full, where windows end by their items' content
PATIENCE = 2  # pivots in a row that may be blamed where most questions have no answer: then nobody answers, and it is no pivot's fault
LONG = 3  # windows that stay as they are between two marks where others may begin anew: see `_windows`


@dataclass
class Known:
    """Who was placed before whom, each answer an edge."""

    beats: dict[int, set[int]] = field(default_factory=dict)
    loses: dict[int, set[int]] = field(default_factory=dict)

    def add(self, tiers: Sequence[Sequence[int]]) -> None:
        """An answer, best first. Items of one tier are tied: each comes before the other."""
        flat = [item for tier in tiers for item in tier]
        for one, two in pairwise(flat):
            self._edge(one, two)
        for tier in tiers:
            if len(tier) > 1:
                self._edge(tier[-1], tier[0])

    def _edge(self, one: int, two: int) -> None:
        self.beats.setdefault(one, set()).add(two)
        self.loses.setdefault(two, set()).add(one)

    def below(self, item: int) -> set[int]:
        """All that come after an item, as far as is known."""
        return _reached(item, self.beats)

    def above(self, item: int) -> set[int]:
        """All that come before an item, as far as is known."""
        return _reached(item, self.loses)


def _reached(item: int, edges: dict[int, set[int]]) -> set[int]:
    seen: set[int] = set()
    waiting = [item]
    while waiting:
        new = edges.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new & edges.keys()
    return seen


@dataclass
class Contest:
    """The best k of items 0, 1, 2, …, whose numbers are their order where nothing else decides: draw them by content, and the same items ask the same.

    `marks` are numbers drawn from the items' content; `window` items, at most, are ordered by one question.

    >>> asking = Contest(k=1, marks=[5, 3, 8]).rounds()
    >>> next(asking)
    [(0, 1), (0, 2)]
    >>> try:
    ...     asking.send([[[1], [0]], [[0], [2]]])
    ... except StopIteration as done:
    ...     done.value[0]
    [1]
    """

    k: int
    marks: Sequence[int]
    window: int = 2
    known: Known = field(default_factory=Known)
    lost: set[int] = field(default_factory=set)  # items that have no place, since a question about them has no answer

    def rounds(self) -> Asking[Tiers]:
        """Batches of windows to ask, all of one batch at once. What is sent back has for each window its tiers, or None where it has no answer.

        Gives the tiers, best first, until k items are in them or there are no more.
        """
        return (yield from self._ordered(list(range(len(self.marks))), self.k))

    def _ordered(self, group: list[int], wanted: int) -> Asking[Tiers]:
        """The best of a group, tier by tier, until so many items are in them."""
        blamed = 0  # pivots in a row that nearly no answer came about
        while group := [x for x in group if x not in self.lost]:
            if len(group) <= max(1, self.window):
                return (yield from self._window(group))
            pivot = yield from self._pivot(group, wanted)
            parts = yield from self._parted([x for x in group if x not in self.lost], pivot, may_blame=blamed < PATIENCE)
            if parts is None:
                blamed += 1
                continue
            above, tied, below = parts
            if len(above) >= wanted:
                group = above
                continue
            rest = wanted - len(above) - len(tied)
            upper, lower = yield from _both(self._ordered(above, len(above)), self._ordered(below if rest > 0 else [], rest))
            return [*upper, *([tied] if tied else []), *lower]
        return []

    def _window(self, group: list[int]) -> Asking[Tiers]:
        """A group that one question orders, unless its order is known."""
        below = {x: self.known.below(x) for x in group}
        if any(x not in below[y] and y not in below[x] for x, y in combinations(group, 2)):
            (answer,) = yield [tuple(group)]
            if answer is None:
                self.lost.update(group)
                return []
            self.known.add(answer)
            below = {x: self.known.below(x) for x in group}
        tiers: dict[int, list[int]] = {}  # by how many of the group are no better: those of a circle have the same number
        for x in group:
            tiers.setdefault(len(below[x].intersection(group) | {x}), []).append(x)
        return [tiers[n] for n in sorted(tiers, reverse=True)]

    def _pivot(self, group: list[int], wanted: int) -> Asking[int]:
        """The item that parts a group: of a sample, the one whose rank is a little below the last that is wanted; or in the middle, where most are."""
        n = len(group)
        if n < max(SMALL, 2 * self.window):
            return group[0]
        share = min(1.0, wanted / n)
        if share < 0.5:
            size = min(n // 2, max(self.window, 1 << round(math.log2(n) * 2 / 3)))
            rank = round(share * size + SPREAD * math.sqrt(share * (1 - share) * size) + 0.5)
        else:
            size = max(3, self.window, (1 << round(math.log2(n) / 2)) - 1)
            rank = size // 2 + 1
        sample = group[:size]
        tiers = yield from self._ordered(sample, min(rank, size))
        placed = [item for tier in tiers for item in tier]
        if not placed:  # all questions about the sample failed
            return next((item for item in group if item not in self.lost), group[0])
        return placed[min(rank, len(placed)) - 1]

    def _parted(self, group: list[int], pivot: int, *, may_blame: bool) -> Asking[tuple[list[int], list[int], list[int]] | None]:
        """Those above the pivot, those tied with it, and those below. None where most questions had no answer, so that it is the pivot which has no
        place, and the others are held against another one."""
        up, down = self.known.above(pivot), self.known.below(pivot)
        unknown = [x for x in group if x != pivot and x not in up and x not in down]
        windows = [(pivot, *others) for others in self._windows(unknown)]
        answers = (yield windows) if windows else ()
        for answer in answers:
            if answer is not None:
                self.known.add(answer)
        if may_blame and 2 * sum(answer is None for answer in answers) > len(answers):
            self.lost.add(pivot)
            return None
        up, down = self.known.above(pivot), self.known.below(pivot)
        self.lost.update(x for x in group if x not in up and x not in down and x != pivot)
        placed = [x for x in group if x not in self.lost]
        return (
            [x for x in placed if x in up and x not in down],
            [x for x in placed if x == pivot or (x in up and x in down)],
            [x for x in placed if x in down and x not in up],
        )

    def _windows(self, items: list[int]) -> list[list[int]]:
        """Items by as many as are held against the pivot at once. Some windows end early, where an item's own content says so: an item that comes or
        goes changes its window and perhaps the next few, and not all after it."""
        most = self.window - 1
        made: list[list[int]] = []
        is_full = True
        for item in items:
            if is_full:
                made.append([])
            made[-1].append(item)
            is_full = len(made[-1]) == most or (most > 1 and self.marks[item] % (LONG * most) == 0)
        return made


def _both(one: Asking[Tiers], two: Asking[Tiers]) -> Asking[tuple[Tiers, Tiers]]:
    """Two parts in the same rounds: each batch holds what both ask."""
    parts, made = [one, two], [list[list[int]]()] * 2
    batches: list[list[Window] | None] = [None, None]
    answers: list[Sequence[Sequence[Sequence[int]] | None] | None] = [None, None]
    live = [0, 1]
    while True:
        for i in list(live):
            try:
                batches[i] = parts[i].send(answers[i])  # type: ignore[arg-type]  # None begins a generator
            except StopIteration as done:
                made[i], batches[i] = done.value, None
                live.remove(i)
        if not live:
            return made[0], made[1]
        given = yield [window for i in live for window in batches[i] or ()]
        at = 0
        for i in live:
            n = len(batches[i] or ())
            answers[i] = given[at : at + n]
            at += n


def expected(n: int, k: int, window: int = 2) -> int:
    """About how many questions find the best k of n in order: two at a time n, k log2 k, and what the sample costs; of windows so many fewer.

    >>> expected(1, 1), expected(1_000, 10), expected(1_000, 10, window=10)
    (0, 1100, 144)
    """
    if n < 2:
        return 0
    k = min(k, n)
    pairs: float = min(n + k * math.log2(k) + 2 / 3 * math.pow(n, 2 / 3), 0.92 * n * math.log2(n))
    return max(1, round(pairs if window == 2 else pairs / FULL / (window - 1)))
