"""How many rows of each stratum go to each part of a split: whole numbers near the fractions, with the sizes of the parts exact."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

ABSENT = 1e6  # what a stratum's absence from a part costs, in squared rows: more than any rounding
SAME = 1e-6  # costs that differ by less are equal


def apportion(total: int, fractions: Sequence[float]) -> list[int]:
    """Whole sizes nearest to the fractions of `total`, the largest remainders first; if the fractions add up to 1, so do the sizes to `total`.

    >>> apportion(10, [0.85, 0.15])
    [9, 1]
    """
    exact = [total * f for f in fractions]
    sizes = [math.floor(e + 1e-9) for e in exact]
    left = min(total, round(sum(exact))) - sum(sizes)
    for i in sorted(range(len(sizes)), key=lambda i: (sizes[i] - exact[i], i))[:left]:
        sizes[i] += 1
    return sizes


def shares(strata: Sequence[int], fractions: Sequence[float], order: Sequence[int] | None = None) -> list[list[int]]:
    """For each stratum, of so many rows, the sizes of its parts: the parts as large as without strata, every stratum in every part where that can be, and
    within this the squared distance to the exact shares least. Ties go to the strata that come first in `order`.

    >>> made = shares([2] * 50, [0.8, 0.2])
    >>> [sum(part) for part in zip(*made)], sorted(set(map(tuple, made)))
    ([80, 20], [(1, 1), (2, 0)])
    """
    parts = len(fractions)
    whole = [*fractions, max(0.0, 1 - sum(fractions))]  # the last: rows that go to no part
    sizes = apportion(sum(strata), fractions)
    table = [_alone(n, whole, parts) for n in strata]
    flow = _Flow(table, [[n * f for f in whole] for n in strata], parts, order or range(len(strata)))
    flow.settle([*sizes, sum(strata) - sum(sizes)])
    return [row[:parts] for row in table]


def _alone(n: int, fractions: Sequence[float], parts: int) -> list[int]:
    """The best sizes of one stratum by itself: where the next row costs least, one row after the other, from the whole shares."""
    exact = [n * f for f in fractions]
    sizes = [max(0, math.floor(e + 1e-9) - parts) for e in exact]
    steps = [(_step(sizes[j], exact[j], j < parts), j) for j in range(len(exact)) if fractions[j] > 0]
    heapq.heapify(steps)
    for _ in range(n - sum(sizes)):
        _, j = heapq.heappop(steps)
        sizes[j] += 1
        heapq.heappush(steps, (_step(sizes[j], exact[j], j < parts), j))
    return sizes


def _step(size: int, exact: float, is_part: bool) -> float:
    """What one row more costs: how much further from the exact share, squared, and what it saves if it is the first."""
    return 2 * (size - exact) + 1 - (ABSENT if is_part and size == 0 else 0.0)


class _Flow:
    """Rows that move between the parts until the sizes are right, along the cheapest ways: each from one part to the next within one stratum."""

    def __init__(self, table: list[list[int]], exact: list[list[float]], parts: int, order: Sequence[int]) -> None:
        self._table, self._exact, self._parts = table, exact, parts
        self._rank = {stratum: place for place, stratum in enumerate(order)}
        self._n = parts + 1
        self._moves: dict[tuple[int, int], list[tuple[float, int, int]]] = {(a, b): [] for a in range(self._n) for b in range(self._n) if a != b}
        for i in range(len(table)):
            self._offer(i)

    def _offer(self, i: int) -> None:
        for (a, b), heap in self._moves.items():
            if self._table[i][a] > 0:
                heapq.heappush(heap, (self._price(i, a, b), self._rank[i], i))

    def _price(self, i: int, a: int, b: int) -> float:
        row, exact = self._table[i], self._exact[i]
        return _step(row[b], exact[b], b < self._parts) - _step(row[a] - 1, exact[a], a < self._parts)

    def _cheapest(self, a: int, b: int) -> tuple[float, int] | None:
        """The price and the stratum of the cheapest move of one row; what the heap holds of rows that moved since is thrown away."""
        heap = self._moves[a, b]
        while heap:
            price, _, i = heap[0]
            if self._table[i][a] > 0 and abs(self._price(i, a, b) - price) < SAME:
                return price, i
            heapq.heappop(heap)
        return None

    def settle(self, sizes: Sequence[int]) -> None:
        excess = [sum(row[j] for row in self._table) - sizes[j] for j in range(self._n)]
        while any(e > 0 for e in excess):
            way = self._way([j for j in range(self._n) if excess[j] > 0], {j for j in range(self._n) if excess[j] < 0})
            for a, b, i in way:
                self._table[i][a] -= 1
                self._table[i][b] += 1
            for i in {i for _, _, i in way}:
                self._offer(i)
            excess[way[0][0]] -= 1
            excess[way[-1][1]] += 1

    def _way(self, starts: Sequence[int], ends: set[int]) -> list[tuple[int, int, int]]:
        """The cheapest chain of moves from a part with too many rows to one with too few (Bellman and Ford, over a handful of parts)."""
        cost = [0.0 if j in starts else math.inf for j in range(self._n)]
        came: dict[int, tuple[int, int]] = {}
        edges = [(a, b, found) for a, b in self._moves if (found := self._cheapest(a, b)) is not None]
        for _ in range(self._n - 1):
            for a, b, (price, i) in edges:
                if cost[a] + price < cost[b] - SAME:
                    cost[b], came[b] = cost[a] + price, (a, i)
        at = min(ends, key=lambda j: cost[j])
        way: list[tuple[int, int, int]] = []
        while at in came:
            a, i = came[at]
            way.append((a, at, i))
            at = a
        return way[::-1]
