"""What there is to see of a run at a moment, a line a step or a verb: pure numbers, which terminals, notebooks and logs show each in their way."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from dreamframe.redaction.visible import in_line
from dreamframe.run.options import Purse
from dreamframe.run.stats import RunStats, StepStats

LAST_S = 10.0  # over which the speed is taken that is shown
LONG_S = 30.0  # over which that is taken which says how long it goes on


@dataclass(frozen=True)
class Line:
    """A step, or the steps of one verb."""

    name: str
    model: str
    unit: str  # "rows", or a training's "steps"
    done: int
    total: int | None  # None: not known
    is_about: bool  # the total is what the filters above have left so far, over all rows
    speed: float | None  # units a second, of the last seconds
    asked: int
    kept: int
    failed: int
    tokens: int
    cost: float | None  # US dollars so far; None where a price is not known
    cost_whole: float | None  # what it will be once all rows are through, as far as one can tell
    left_s: float | None
    waits: bool  # calls were tried again, and none was answered since
    said: str  # a training's loss

    @property
    def has_begun(self) -> bool:
        return bool(self.done or self.asked or self.kept or self.failed or self.said)

    @property
    def is_over(self) -> bool:
        return self.total is not None and not self.is_about and self.done >= self.total


@dataclass(frozen=True)
class Moment:
    """A run as it stands."""

    lines: tuple[Line, ...]
    took_s: float
    cost: float | None
    cost_whole: float | None
    budget: float | None
    left_s: float | None
    notes: tuple[str, ...] = ()


class Board:
    """Looks at a run again and again, and knows from look to look how fast it goes. `notes` is read at each look."""

    def __init__(self, stats: RunStats, purse: Purse | None = None, notes: Sequence[str] = (), *, began: float | None = None) -> None:
        self._stats, self._purse, self._notes = stats, purse, notes
        self._began = time.monotonic() if began is None else began
        self._seen: dict[int, deque[tuple[float, int, int, int]]] = {}  # id of a step's counts → when, units done, calls answered, calls tried again

    def look(self, now: float) -> Moment:
        """The moment; `now` is the monotonic clock."""
        lines = tuple(self._line(verb, now) for verb in verbs(list(self._stats.steps)))
        costs = [one.cost for one in lines]
        wholes = [one.cost_whole for one in lines]
        cost = None if None in costs else sum(c for c in costs if c is not None)
        whole = None if None in wholes else sum(c for c in wholes if c is not None)
        open_ = [one.left_s for one in lines if not one.is_over and one.left_s != 0]
        left = None if not open_ or None in open_ else max(s for s in open_ if s is not None)
        budget = None if self._purse is None else self._purse.budget
        return Moment(lines, now - self._began, cost, whole, budget, left, tuple(self._notes))

    def _line(self, verb: Sequence[StepStats], now: float) -> Line:
        main, done, total, is_about = progress_of(verb)
        asked, cached, retries = (sum(n) for n in zip(*((s.asked, s.cached, s.retries) for s in verb), strict=True))
        seen = self._seen.setdefault(id(verb[0]), deque([(main.started, 0, 0, 0)]))
        if seen[-1][0] < now:
            seen.append((now, done, asked + cached, retries))
        while len(seen) > 2 and seen[1][0] <= now - LONG_S:
            seen.popleft()
        long, speed = _speed(seen, now, LONG_S), _speed(seen, now, LAST_S)
        rest = None if total is None else max(0, total - done)
        cost = None if any(s.cost is None for s in verb) else sum(s.cost or 0.0 for s in verb)
        to_ask = 0.0 if rest is None else rest * (asked + cached) / max(1, done)  # none of the rest may be kept
        unknown = (rest is None and bool(cost)) or (bool(main.model) and rest != 0 and not asked + cached)  # what nobody was asked so far may cost anything
        return Line(
            name=in_line(min((s.label for s in verb if verb[0].label.startswith(s.label)), key=len)),
            model=in_line(main.model),
            unit=main.unit,
            done=done,
            total=total,
            is_about=is_about,
            speed=speed,
            asked=asked,
            kept=cached,
            failed=sum(s.failed for s in verb),
            tokens=sum(s.n_in + s.n_out for s in verb),
            cost=cost,
            cost_whole=None if cost is None or unknown else cost + (cost / asked * to_ask if asked else 0.0),
            left_s=None if rest is None else 0.0 if rest == 0 else rest / long if long else None,
            waits=seen[0][3] < retries and seen[0][2] == asked + cached,
            said=f"loss {main.logged['loss']:.3f}" if "loss" in main.logged else "",
        )


def _speed(seen: Sequence[tuple[float, int, int, int]], now: float, last_s: float) -> float | None:
    """Units a second over the last seconds, from the looks so far."""
    now_at, now_done = seen[-1][:2]
    at, done = next(((t, d) for t, d, _, _ in reversed(seen) if t <= now - last_s), seen[0][:2])
    return (now_done - done) / (now_at - at) if now_at > at else None


def verbs(steps: Sequence[StepStats]) -> list[list[StepStats]]:
    """The steps as they follow one another in the plan, those of one verb together: they have its name, or begin with it, or stand between such. Of a
    cascade, those that begin with the name stand before it.

    >>> told = [StepStats("evolve", place=1, name="evolve"), StepStats("said"), StepStats("filter", place=2)]
    >>> [[s.label for s in verb] for verb in verbs([*told, StepStats("evolve judge", place=3, name="evolve judge")])]
    [['said'], ['evolve', 'filter', 'evolve judge']]
    """
    made: list[list[StepStats]] = []
    for s in sorted(steps, key=lambda s: s.place):
        before = next((i for i in range(len(made) - 1, -1, -1) if made[i][0].name or made[i][0].model), -1)  # past what polars alone does
        verb = made[before][0].name if before >= 0 else ""
        if verb and (s.name == verb or s.name.startswith(f"{verb} ")):
            made[before:] = [[*(one for group in made[before:] for one in group), s]]
        else:
            made.append([s])
            while s.name and len(made) > 1 and made[-2][0].name.startswith(f"{s.name} "):
                made[-2:] = [made[-2] + made[-1]]
    return made


def progress_of(verb: Sequence[StepStats]) -> tuple[StepStats, int, int | None, bool]:
    """The step of a verb that speaks for it, the rows done, those expected, and whether that is known only by what filters have left so far. Where several
    steps of the verb ask, a row counts by the part of them that it has been through."""
    asks = [s for s in verb if s.model] or [verb[-1]]
    totals = [expected(s) for s in asks]
    at = next((i for i in range(len(asks) - 1, -1, -1) if totals[i][0] is not None), len(asks) - 1)
    total, is_about = totals[at]
    parts = [done_of(s) / n if n else 0.0 for s, (n, _) in zip(asks, totals, strict=True) if n != 0]
    if total is None or len(parts) < 2:
        return asks[at], done_of(asks[at]), total, is_about
    return asks[at], int(total * min(1.0, sum(parts) / len(parts)) + 1e-9), total, is_about


def done_of(s: StepStats) -> int:
    """Rows that a step has done, by calls: also those of batches that are not through.

    >>> done_of(StepStats("said", entered=128, requests=128, asked=3, cached=2))
    5
    """
    if s.unit != "rows":
        return s.rows
    settled = s.asked + s.cached + s.skipped + s.lost
    by_calls = int(settled / max(1.0, s.requests / s.entered)) if s.entered else 0
    return max(s.rows_in, s.through, min(s.entered, by_calls))


def expected(s: StepStats) -> tuple[int | None, bool]:
    """How many rows a step will be given, and whether that is known only by what the steps above it have left so far.

    >>> below = StepStats("filter", total=200, through=100, given=40)
    >>> expected(below), expected(StepStats("said", fed_by=below))
    ((200, False), (80, True))
    """
    chain = [s]
    while chain[-1].total is None and (feeds := chain[-1].fed_by) is not None:
        chain.append(feeds)
    total, is_about = chain[-1].total, False
    for above in reversed(chain[1:]):
        if total is None:
            break
        through, given = max(above.rows_in, above.through), max(above.rows, above.given)
        if through:
            rest = max(0, total - through)
            is_about = is_about or (rest > 0 and given != through)
            total = given + round(rest * given / through)
        elif not above.same:
            total = None
    return total, is_about
