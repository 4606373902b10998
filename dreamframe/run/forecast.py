"""From requests that are counted and answers that are kept to tokens, dollars and seconds. Numbers alone: nothing is asked."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from dreamframe.models.prices import Price
from dreamframe.plan.estimate import Range
from dreamframe.run.calls.dry import Asked, Donor

ROUNDS = 400  # of the bootstrap
OUTSIDE = 0.005  # of the rounds, on either side of the range
UNSEEN = 3  # times as long as the longest known answer: one that may be among those to come
FEW = 8  # known requests, below which tokens are taken to be in proportion to characters
USUAL = (2.6, 3.6, 4.8)  # characters of a token where nothing was billed yet: at the least, usually, at the most
MARKS = 12  # characters of a chat format's marks, as tokens.MARKS is generous
PAUSE_MS = 30_000  # between answers: nobody asked meanwhile
BATCH_S = 86_400.0  # within which providers answer a batch


@dataclass(frozen=True)
class Forecast:
    """Of one step and question."""

    calls: int
    tokens_in: float
    tokens_out: float | None
    rounds: tuple[tuple[float, ...], tuple[float, ...]] | None  # dollars of each round, at the least and at the most; None: no price
    is_open: bool  # nobody knows how long the answers are
    seconds: float | None

    def from_nothing(self) -> Forecast:
        """The same, where nobody knows how much is asked, or whether anything is."""
        return self if self.rounds is None else replace(self, rounds=((0.0,) * ROUNDS, self.rounds[1]), is_open=self.is_open or max(self.rounds[1]) > 0)


def range_of(rounds: Sequence[tuple[Sequence[float], Sequence[float]]], *, is_open: bool) -> Range:
    """What the sums of the rounds are in 99 of 100 cases."""
    if not rounds:
        return Range(0.0, 0.0)
    lows = sorted(map(sum, zip(*(low for low, _ in rounds), strict=True)))
    highs = sorted(map(sum, zip(*(high for _, high in rounds), strict=True)))
    at = int(OUTSIDE * len(lows))
    return Range(max(0.0, lows[at]), None if is_open else max(0.0, highs[-1 - at]))


def forecast(asked: Asked, donors: Sequence[Donor], price: Price | None, *, doubt: float = 0.0, seconds: float | None = None) -> Forecast:
    """What the requests of a step will cost. `doubt` is how far their number may be off, as a part of it: its standard deviation."""
    m, most = len(asked.chars), asked.question.sampling.max_tokens
    billed = [d for d in donors if d.n_in > 0]
    lengths = [0] if asked.question.form == "input" else [d.n_out for d in billed] or [d.n_out for d in donors if d.n_out > 0]
    n_in, off = _tokens_in(asked, billed)
    out = _mean(lengths) * m if lengths else 0.0 if not m else None
    rounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    if price is not None and m:
        cached = sum(d.n_cached for d in billed) / max(1, sum(d.n_in for d in billed))
        draw = random.Random(m)
        longer = _and_a_longer_one(lengths, most)
        lows, highs = [], []
        for _ in range(ROUNDS):
            calls = m * (max(0.0, draw.gauss(1.0, doubt)) if doubt else 1.0)
            each = n_in / m * (_mean(draw.choices(off, k=min(len(off), 200))) if billed else draw.choice(off))
            low, high = (_drawn_mean(lengths, calls, draw), _drawn_mean(longer, calls, draw)) if lengths else (1.0, float(most or 0))
            lows.append(calls * price.of_tokens(each, low, each * cached))
            highs.append(calls * (price.at_most(each, high) if price.written else price.of_tokens(each, high)))
        rounds = tuple(lows), tuple(highs)
    elif price is not None:
        rounds = ((0.0,) * ROUNDS,) * 2
    return Forecast(m, n_in, out, rounds, is_open=out is None and most is None and price is not None and price.output > 0, seconds=seconds)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _and_a_longer_one(lengths: Sequence[int], most: int | None) -> list[int]:
    """Lengths, and one that nobody has seen yet: that there are no longer ones among a few known answers may be luck."""
    if not lengths:
        return []
    unseen = UNSEEN * max(lengths)
    return [*lengths, unseen if most is None else min(most, unseen)]


def _drawn_mean(lengths: Sequence[int], calls: float, draw: random.Random) -> float:
    """The mean length of so many answers, when those that are known were drawn from the same: by resampling both."""
    again = draw.choices(lengths, k=len(lengths))
    mean = _mean(again)
    spread = math.sqrt(_mean([(n - mean) ** 2 for n in again]))
    return max(0.0, draw.gauss(mean, spread / math.sqrt(max(1.0, calls))))


def _tokens_in(asked: Asked, billed: Sequence[Donor]) -> tuple[float, list[float]]:
    """Tokens of all requests: as those that were billed had, else as texts usually have. And factors by which such a figure was, or may be, off."""
    fixed = len(asked.question.system or "") + len(asked.question.json_schema or "") + MARKS
    if not billed:
        return sum((n + fixed) / USUAL[1] for n in asked.chars), [USUAL[1] / by for by in USUAL]
    slope, at_zero = line_of([d.chars for d in billed], [d.n_in for d in billed], fixed)
    n_in = sum(max(1.0, slope * n + at_zero) for n in asked.chars)
    return n_in, [d.n_in / max(1.0, slope * d.chars + at_zero) for d in billed]


def line_of(chars: Sequence[int], n_in: Sequence[int], fixed: int) -> tuple[float, float]:
    """Tokens for each character, and for none: least squares through what was billed, a proportion where that is little or all alike.

    >>> line_of([0, 100, 200, 300] * 2, [10, 35, 60, 85] * 2, 12)
    (0.25, 10.0)
    """
    mean, n_mean = _mean(chars), _mean(n_in)
    spread = sum((c - mean) ** 2 for c in chars)
    slope = sum((c - mean) * (n - n_mean) for c, n in zip(chars, n_in, strict=True)) / spread if spread else 0.0
    if len(chars) < FEW or spread < len(chars) * 4 or not 0.02 < slope < 3:
        slope = n_mean / (mean + fixed)
        return slope, slope * fixed
    return slope, n_mean - slope * mean


def seconds_of(asked: Asked, n_tokens: float, *, each_s: float | None, mode: str) -> float | None:
    """How long the calls of a step take: as many at once as its model is asked, each as long as those seen, within the limits that are known."""
    m, llm = len(asked.chars), asked.question.llm
    if m == 0:
        return 0.0
    if mode == "batch" and getattr(llm, "has_batches", False):
        return BATCH_S
    each = asked.probe_s / max(1, math.ceil(asked.probed / asked.concurrency)) if asked.probe_s else each_s
    if each is None:
        return None
    rpm: Any = getattr(llm, "rpm", None)
    tpm: Any = getattr(llm, "tpm", None)
    return max(math.ceil(m / asked.concurrency) * each, 60 * m / rpm if rpm else 0.0, 60 * n_tokens / tpm if tpm else 0.0)


def pace_of(donors: Sequence[Donor], concurrency: int) -> float | None:
    """Seconds that a round of calls took when the kept answers came, pauses between runs left out; None where too few are known to say.

    >>> pace_of([Donor(("x", None, "stop"), 1, 1, 1, 0, at_ms) for at_ms in range(0, 10_000, 100)], 8)
    0.8
    """
    came = sorted(d.at_ms for d in donors)
    gaps = [gap for one, two in itertools.pairwise(came) if (gap := two - one) < PAUSE_MS]
    return sum(gaps) / len(gaps) * concurrency / 1_000 if len(gaps) >= 2 * FEW else None
