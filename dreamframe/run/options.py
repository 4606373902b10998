"""What steers a run, never what it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Literal, get_args

from dreamframe.errors import SettingError, did_you_mean, listed, one_of
from dreamframe.models.prices import Price
from dreamframe.plan.optimizer.choice import Optimize
from dreamframe.plan.step import ModelStep, Source, Step
from dreamframe.run.engines.base import Engine

if TYPE_CHECKING:
    from dreamframe.run.watches import Watches

Mode = Literal["calls", "batch"]
Retry = Literal["parse", "all"]
SMALLEST = 1e-12  # US dollars: less is nothing


class Purse:
    """What all runs of a session may spend together, in US dollars. Lives in the event loop, whatever threads the runs come from.

    A purse may be a part of another one: what it spends is spent there too, and both must allow it.
    """

    def __init__(self, budget: float | None = None, *, part_of: Purse | None = None) -> None:
        given: object = budget
        if given is not None and (isinstance(given, bool) or not isinstance(given, Real) or not float(given) >= 0):
            raise SettingError(f"budget={budget!r}; give US dollars, 0 or more, or None for no limit.")
        self.budget = budget  # None: no limit
        self.part_of = part_of
        self.spent = 0.0
        self.reserved = 0.0  # what the calls in flight may cost at most

    def all(self) -> Iterator[Purse]:
        """This purse, and those that it is a part of."""
        purse: Purse | None = self
        while purse is not None:
            yield purse
            purse = purse.part_of

    def limited(self) -> list[Purse]:
        """Those among them that have a limit."""
        return [purse for purse in self.all() if purse.budget is not None]

    def give_back(self, at_most: float) -> None:
        """Calls are over that had reserved so much."""
        for purse in self.all():
            purse.reserved -= at_most
            if purse.reserved < SMALLEST:
                purse.reserved = 0.0  # sums of floats drift


@dataclass
class RunOptions:
    """The settings of a session that its runs share."""

    offline: bool = False
    purse: Purse = field(default_factory=Purse)  # what all runs of the session may spend together
    prices: Mapping[str, Price] = field(default_factory=dict)  # over those that are known here
    mode: Mode = "calls"  # "batch": through the providers' batch APIs, where they have one
    batch_rows: int = 128  # rows that walk through the plan together
    retry: Retry | None = None  # note which kept answers could not be read
    refresh: frozenset[str] = frozenset()  # names of steps whose requests are asked anew
    renew: frozenset[bytes] = frozenset()  # requests that are asked anew: their kept answers could not be read
    engine: str | Engine = "local"  # where segments run: a name of ENGINES, or an engine
    optimize: Optimize = True  # which rules may change the plan
    spans: Watches | None = None  # of each request, when it leaves and when it is over
    is_trial: bool = False  # the answers are kept, and neither rows nor plan: nobody will look for these again
    max_models: int | None = None  # models of this process that may be loaded at once; None: as many as memory holds


def check_retry(retry: Retry | None) -> Retry | None:
    """The word. Raises SettingError for another one."""
    if retry is not None:
        one_of(retry, get_args(Retry), "retry", where="collect")
    return retry


def names_to_refresh(plans: Sequence[Step], names: Sequence[str]) -> frozenset[str]:
    """The names of steps that are to run anew. Raises SettingError for one that the plans do not have."""
    if isinstance(names, str):
        names = [names]
    there = {step.label for plan in plans for step in plan.walk() if step.is_expensive and not isinstance(step, (Source, ModelStep))}
    for name in names:
        if name not in there:
            raise SettingError(
                f"collect: refresh={list(names)!r}: there is no step {name!r} that asks a model or runs a function of yours."
                f"{did_you_mean(name, sorted(there))} There are: {listed(sorted(there)) if there else 'none'}."
            )
    return frozenset(names)
