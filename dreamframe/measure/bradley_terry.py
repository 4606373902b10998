"""How strong each of some items is, from who won against whom: the model of Bradley and Terry (1952), on the scale of Elo."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dreamframe.errors import SettingError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ELO = 400 / math.log(10)  # points for each unit of log strength: ten to one is 400 points
MEAN = 1000.0  # Elo points of an item of middling strength
CLOSE = 1e-9  # of log strength, at which the fit ends
STEP = 2.0  # of log strength: the most that one step of the fit changes an item, since Newton's may go too far at first
MOST_STEPS = 1_000
CELLS = 4_000_000  # numbers in memory at once, of resampled tables


@dataclass(frozen=True)
class Strength:
    """One item."""

    item: Any
    elo: float
    low: float  # of the interval, in Elo points
    high: float
    wins: int
    losses: int
    ties: int


def strengths(
    a: Sequence[Hashable], b: Sequence[Hashable], won: Sequence[float], *, prior: float = 0.5, confidence: float = 0.95, draws: int = 1_000, seed: int = 0
) -> list[Strength]:
    """Items, the strongest first; equals in order of first appearance. `won` is 1 where a won, 0 where b did, 0.5 for a tie: half a win for each.

    Each item also has `prior` wins and as many losses against an item of strength one (Caron and Doucet, 2012), so that one who never lost, or never met
    the others, has a strength too. Intervals are those that hold `confidence` of the fits to `draws` resamples of the comparisons (percentile bootstrap).

    >>> [(s.item, round(s.elo)) for s in strengths(["x", "x", "x", "x"], ["y", "y", "y", "y"], [1, 1, 1, 0], prior=0, draws=0)]
    [('x', 1095), ('y', 905)]
    """
    import numpy as np

    items = list(dict.fromkeys(item for pair in zip(a, b, strict=True) for item in pair))
    if not items:
        return []
    number = {item: i for i, item in enumerate(items)}
    n = len(items)
    one, two = (np.array([number[item] for item in side], dtype=np.int64) for side in (a, b))
    share = np.asarray(won, dtype=np.float64)
    wins = _table(one, two, share, n)
    if prior == 0:
        _need_joined(wins, items)
    fitted = log_strengths(wins, prior)
    low = high = fitted
    if draws:
        draw = np.random.Generator(np.random.PCG64(seed))
        found = np.concatenate([_resampled(one, two, share, n, size, draw, prior) for size in _sizes(draws, n * n)])
        low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    counts = [[int(np.sum(share[one == i] == x) + np.sum(share[two == i] == 1 - x)) for x in (1, 0, 0.5)] for i in range(n)]
    made = [Strength(item, _elo(fitted[i]), _elo(low[i]), _elo(high[i]), *counts[i]) for i, item in enumerate(items)]
    return sorted(made, key=lambda s: -round(s.elo, 6))


def _elo(log_strength: float) -> float:
    return MEAN + ELO * float(log_strength)


def log_strengths(wins: NDArray[np.float64], prior: float) -> NDArray[np.float64]:
    """The likeliest log strengths, whose mean is 0, of tables of wins (..., items, items): how often the one of the row won against that of the column.

    Newton's method: the likelihood has one maximum, and a prior, or wins that lead from everybody to everybody, keep it finite.
    """
    import numpy as np

    games = wins + np.swapaxes(wins, -1, -2)
    won = wins.sum(-1) + prior
    found = np.zeros(wins.shape[:-1])
    every = np.arange(wins.shape[-1])
    for _ in range(MOST_STEPS):
        p = 1 / (1 + np.exp(found[..., None, :] - found[..., :, None]))  # that the one of the row wins
        q = 1 / (1 + np.exp(-found))  # against an item of strength one
        slope = won - (games * p).sum(-1) - 2 * prior * q
        bend = games * p * (1 - p)
        curve = -bend
        curve[..., every, every] += bend.sum(-1) + 2 * prior * q * (1 - q)
        if not prior:  # strengths are known but for a factor: any will do, their mean is 0 in the end
            curve = curve + 1 / len(every)
        step = np.clip(np.linalg.solve(curve, slope[..., None])[..., 0], -STEP, STEP)
        found = found + step
        if np.abs(step).max() < CLOSE:
            break
    centred: NDArray[np.float64] = found - found.mean(-1, keepdims=True)
    return centred


def _table(one: NDArray[np.int64], two: NDArray[np.int64], share: NDArray[np.float64], n: int, times: Any = 1) -> NDArray[np.float64]:
    """Wins of each item against each other one, where each comparison counts so many times."""
    import numpy as np

    won, lost = ((one * n + two, share * times), (two * n + one, (1 - share) * times))
    made = sum(np.bincount(at, weights=weights, minlength=n * n) for at, weights in (won, lost))
    return np.asarray(made, dtype=np.float64).reshape(n, n)


def _sizes(draws: int, cells: int) -> list[int]:
    """How many resamples are fitted at once."""
    most = max(1, CELLS // cells)
    return [min(most, draws - at) for at in range(0, draws, most)]


def _resampled(one: Any, two: Any, share: Any, n: int, size: int, draw: np.random.Generator, prior: float) -> NDArray[np.float64]:
    import numpy as np

    n_rows = len(one)
    tables = [_table(one, two, share, n, np.bincount(draw.integers(0, n_rows, n_rows), minlength=n_rows)) for _ in range(size)]
    return log_strengths(np.stack(tables), prior or 1e-3)  # a resample may leave out what joined the items


def _need_joined(wins: NDArray[np.float64], items: Sequence[Any]) -> None:
    """Raise SettingError where some never lost to the others, or never met them: without a prior their strength has no bound."""
    for table, what in ((wins > 0, "never lost"), (wins.T > 0, "never won")):
        reached, waiting = {0}, [0]
        while waiting:
            new = {int(j) for j in table[waiting.pop()].nonzero()[0]} - reached
            reached |= new
            waiting += new
        if len(reached) < len(items):
            apart = [items[i] for i in range(len(items)) if i not in reached]
            raise SettingError(
                f"bradley_terry: prior=0, and {apart[0]!r}{' and others' if len(apart) > 1 else ''} {what} against the rest, or never met them, so that "
                "no strength is the likeliest. Leave prior= at 0.5, or compare more pairs."
            )
