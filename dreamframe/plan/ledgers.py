"""What cascades did, in words: for explain, cards and pages, out of what runs wrote down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import polars as pl

from dreamframe.plan.estimate import money
from dreamframe.plan.step import Step

THRESHOLDS = {"own_from": "its own answer from {:.3g}", "yes_from": "yes from {:.3g}", "no_below": "no below {:.3g}"}


@runtime_checkable
class Certifying(Protocol):
    """A step that certifies of some columns what may be made of them."""

    @property
    def certified(self) -> frozenset[str]:
        """The columns of its first input that this is about: those of a proxy."""
        ...

    def told(self, rows: pl.DataFrame) -> Mapping[str, Any]:
        """What its rows say, as figures for records and cards."""
        ...


class Ran(Protocol):
    """What all runs did in a step."""

    @property
    def asked(self) -> int: ...
    @property
    def cost(self) -> float | None: ...
    @property
    def told(self) -> Mapping[str, Any]: ...


def ledgers(step: Step, ran: Callable[[Step], Ran]) -> dict[int, tuple[str, ...]]:
    """Of each step of a plan that certified something, by its id: what was scored, sampled and decided, and what that saved."""
    found = {}
    for node in step.walk():
        if isinstance(node, Certifying) and (told := ran(node).told):
            strong = [ran(node), *(ran(above) for above in step.walk() if any(i is node for i in above.inputs))]
            proxies = [ran(below) for below in node.inputs[0].walk() if not node.certified.isdisjoint(below.writes())]
            found[id(node)] = (*words(told), *saved(told, strong, proxies))
    return found


def words(told: Mapping[str, Any]) -> Sequence[str]:
    """What was scored, sampled and decided.

    >>> words({"rows": 1000, "scored": 998, "sampled": 120, "by_proxy": 700, "by_strong": 300, "no_below": 0.25})
    ['1,000 rows, 998 scored', '120 sampled', '700 decided by the proxy (no below 0.25)', '300 by the strong model']
    """
    if isinstance(said := told.get("said"), str):  # by the step itself
        return [said]
    n = {name: value for name in ("rows", "scored", "sampled", "by_proxy", "by_strong") if isinstance(value := told.get(name), int)}
    if len(n) < 5:  # of a stranger's folder
        return []
    beyond = [said.format(value) for name, said in THRESHOLDS.items() if isinstance(value := told.get(name), int | float)]
    return [
        f"{n['rows']:,} rows" + (f", {n['scored']:,} scored" if n["scored"] != n["rows"] else ""),
        f"{n['sampled']:,} sampled",
        f"{n['by_proxy']:,} decided by the proxy" + (f" ({', '.join(beyond)})" if beyond else ""),
        f"{n['by_strong']:,} by the strong model",
    ]


def saved(told: Mapping[str, Any], strong: Sequence[Ran], proxies: Sequence[Ran]) -> Sequence[str]:
    """The money that the strong model would have cost for the rows that the proxy decided, without what the proxy cost; nothing where that is not known."""
    asked, costs, spent = sum(s.asked for s in strong), [s.cost for s in strong], [p.cost for p in proxies]
    if not asked or None in costs or None in spent or not isinstance(told.get("by_proxy"), int):
        return []
    dollars = sum(c or 0.0 for c in costs) / asked * told["by_proxy"] - sum(c or 0.0 for c in spent)
    return [f"{money(dollars)} saved" if dollars > 0 else f"{money(-dollars)} lost"] if dollars else []
