"""What a plan will cost, as frozen records that a person can read: `df.estimate()` gives one. Pure: nothing is run, opened or asked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from dreamframe.plan.optimizer.rules import Optimised
from dreamframe.plan.step import Step

PROBE = "df.estimate(probe=20) asks 20 rows of each step, keeps them, and learns"


class Range(NamedTuple):
    """US dollars: what 99 of 100 runs should cost. `high` is None where the length of answers is not known."""

    low: float
    high: float | None

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {money(self.low)}"
        low, high = money(self.low), money(self.high)
        return low if low == high else f"{low}-{high[1:]}"


@dataclass(frozen=True, kw_only=True)
class StepEstimate:
    """What one step that asks a model will ask."""

    label: str  # what the user called the step, else its column or its verb
    key: str  # of the step as it was written
    model: str
    kept: int = 0  # requests that are answered already, and equal requests of this run that are asked once
    calls: int = 0  # to ask
    least: int | None = None  # of them, where answers still to come may spare some; None: all
    probed: int = 0  # asked by this estimate, and kept: not among `calls`
    tokens_in: int = 0
    tokens_out: int | None = 0  # None: nobody knows how long the answers are
    cost: Range | None = None  # US dollars; None where the price of the model is not known
    seconds: float | None = None  # None: nothing of it was asked so far
    rests_on: tuple[str, ...] = ()  # steps below, of whose answers none is known: how many rows come, and how long they are, is a guess

    @property
    def state(self) -> str:
        """How much of it is kept, in words: "kept", "9,997 of 10,000 kept, 3 to ask" or "20 to ask"."""
        return share(self.kept + self.probed, self.calls, self.least)

    @property
    def parts(self) -> tuple[str, ...]:
        """What there is to say of it: the state; of what is to be asked also tokens, money, and what makes it a guess."""
        if not self.calls:
            return (self.state,)
        out = "unknown" if self.tokens_out is None else count(self.tokens_out)
        price = "price unknown" if self.cost is None else str(self.cost)
        guess = (f"a guess: no answer of {', '.join(self.rests_on)} is known",) if self.rests_on else ()
        return (self.state, f"{count(self.tokens_in)} tokens in, {out} out", price, *guess)

    def __str__(self) -> str:
        return " · ".join(self.parts)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What is left to pay when a plan is collected now: what is kept costs nothing. Its repr is for people, `as_dict()` for programs.

    Tokens are counted in the rendered requests of the rows at hand, and corrected by what kept answers of the same question were billed; answers are as
    long as the kept ones are. Rows that only answers still to come decide about are drawn from the kept answers.

    >>> import dreamframe as dr
    >>> with dr.Session(None):
    ...     found = dr.frame({"t": ["tea", "jam"]}).prompt(dr.testing.Echo(), "Say {t}", into="said").estimate()
    >>> found.calls, found.steps[0].state, found.cost
    (2, '2 to ask', Range(low=0.0, high=0.0))
    """

    steps: tuple[StepEstimate, ...] = ()  # those that ask, lowest first
    calls: int = 0
    least: int | None = None  # calls at the least, where a certificate may spare some; None: all
    tokens_in: int = 0
    tokens_out: int | None = 0  # None: not known for one of the steps
    cost: Range | None = None  # US dollars; None where a price is not known
    seconds: float | None = None  # at the pace and the limits seen; None: not known
    unknown_prices: tuple[str, ...] = ()  # models
    notes: tuple[str, ...] = ()  # what the figures leave out, and what would make them better

    def as_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON; a range of dollars is {"low": …, "high": …}."""
        made = asdict(self)
        pairs: list[tuple[dict[str, Any], Range | None]] = [(made, self.cost), *zip(made["steps"], [s.cost for s in self.steps], strict=True)]
        for record, cost in pairs:
            record["cost"] = None if cost is None else cost._asdict()
        return {**made, "steps": list(made["steps"]), "unknown_prices": list(self.unknown_prices), "notes": list(self.notes)}

    @property
    def total(self) -> str:
        """All of it in one line."""
        if not self.calls:
            return "nothing to ask but for what is named here:" if self.notes else "nothing to ask: $0"
        out = "unknown" if self.tokens_out is None else count(self.tokens_out)
        price = f"price unknown ({', '.join(self.unknown_prices)})" if self.cost is None else str(self.cost)
        took = "time unknown" if self.seconds is None else duration(self.seconds)
        calls = "1 call" if self.calls == 1 else f"{between(self.least, self.calls)} calls"
        return f"{calls} · {count(self.tokens_in)} tokens in, {out} out · {price} · {took}"

    def __repr__(self) -> str:
        return "\n".join([*_aligned([(step.label, *step.parts) for step in self.steps]), self.total, *self.notes])


def between(least: int | None, most: int) -> str:
    """A number, or from which to which.

    >>> between(20, 1_000), between(None, 3)
    ('20-1,000', '3')
    """
    return f"{most:,}" if least is None or least == most else f"{least:,}-{most:,}"


def share(kept: int, calls: int, least: int | None = None) -> str:
    """How much is kept, in words.

    >>> share(10_000, 0), share(9_997, 3), share(0, 20)
    ('kept', '9,997 of 10,000 kept, 3 to ask', '20 to ask')
    """
    if not calls:
        return "kept" if kept else "nothing to ask"
    some = f"{kept:,} of {kept + calls:,} kept, " if kept else ""
    return f"{some}{between(least, calls)} to ask"


@dataclass(frozen=True)
class Looked:
    """What one look at plans found."""

    plans: tuple[Step, ...]  # as they will run
    notes: Mapping[int, str]  # id of a step of those plans → what explain says of it
    estimate: Estimate | None = None  # where it was asked for
    made: Optimised | None = None  # what the rules did; None: no rule was to look
    told: tuple[str, ...] = ()  # what explain says of all of it

    @property
    def helpers(self) -> frozenset[int]:
        """Ids of the steps that nobody wrote."""
        return frozenset() if self.made is None else self.made.helpers

    def note(self, step: Step) -> str:
        """What there is to say of a step; empty, if nothing."""
        return self.notes.get(id(step), "")

    def state(self, step: Step) -> str:
        """The first of what there is to say of a step: how much of it is kept."""
        return self.note(step).partition(" · ")[0]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of words as lines, their columns below one another."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows), default=0))]
    return ["  ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=False)).rstrip() for row in rows]


def added(steps: Sequence[StepEstimate], *, notes: Sequence[str] = (), cost: Range | None, seconds: float | None) -> Estimate:
    """The whole of some steps; the range of the money is not the sum of theirs, and steps take their time side by side."""
    asked = [s for s in steps if s.calls]
    outs = [s.tokens_out for s in asked]
    unknown = tuple(dict.fromkeys(s.model for s in asked if s.cost is None))
    return Estimate(
        steps=tuple(steps),
        calls=sum(s.calls for s in asked),
        least=None if all(s.least is None for s in asked) else sum(s.calls if s.least is None else s.least for s in asked),
        tokens_in=sum(s.tokens_in for s in asked),
        tokens_out=None if None in outs else sum(n for n in outs if n is not None),
        cost=None if unknown else cost,
        seconds=seconds,
        unknown_prices=unknown,
        notes=tuple(notes),
    )


def money(dollars: float) -> str:
    """Three significant digits; never 0 for what is more.

    >>> money(0.04213), money(0.003), money(12.345), money(1234.6), money(0)
    ('$0.0421', '$0.00300', '$12.3', '$1,235', '$0')
    """
    if dollars <= 0:
        return "$0"
    places = max(0, 2 - math.floor(math.log10(float(f"{dollars:.3g}"))))
    return f"${dollars:,.{places}f}"


def count(n: int) -> str:
    """A number of tokens.

    >>> count(1_234), count(1_240_000)
    ('1,234', '1.24 M')
    """
    return f"{n:,}" if n < 1_000_000 else f"{n / 1e6:.3g} M" if n < 1e9 else f"{n / 1e9:.3g} G"


def duration(seconds: float) -> str:
    """About how long.

    >>> duration(0.2), duration(4.2), duration(150), duration(7320)
    ('1 s', '5 s', '2 min 30 s', '2 h 2 min')
    """
    whole = max(1, -int(-seconds // 1))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s".replace(" 0 s", "")
    return f"{whole // 3600} h {whole % 3600 // 60} min"
