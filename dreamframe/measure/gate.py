"""Conditions on figures, as `report.gate("f1 >= 0.8 in every slice")` takes them: read by a small grammar, never run as code."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dreamframe.errors import GateError, SettingError, did_you_mean, listed
from dreamframe.measure.figures import ALL, Figure
from dreamframe.measure.number import number

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq}
PARTS = ("value", "low", "high", "n", "n_missing", "n_unknown")
GRAMMAR = re.compile(
    r"\s*(?P<metric>[^<>=]+?)(?:\.(?P<part>value|low|high|n_missing|n_unknown|n))?\s*(?P<sign>>=|<=|==|>|<)\s*"
    r"(?P<bound>[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<percent>%?)\s*(?:in\s+(?P<scope>.+?))?\s*"
)
EVERY = "every slice"
FORM = "write 'f1 >= 0.8', 'f1.low >= 0.8' for the lower end of its interval, 'f1 >= 0.8 in every slice' or 'f1 >= 0.8 in lang=de'"


@dataclass(frozen=True)
class Condition:
    """`metric.part sign bound in scope`."""

    text: str
    metric: str
    part: str
    sign: str
    bound: float
    scope: str

    def holds(self, figure: Figure) -> bool:
        """Whether a figure meets it. One that is not defined does not."""
        value: float | None = getattr(figure, self.part)
        return value is not None and OPERATORS[self.sign](value, self.bound)


def condition(text: str, figures: Sequence[Figure]) -> Condition:
    """What a condition says. Raises SettingError for one that cannot be read, or that is of a metric or a slice that is not there."""
    read = GRAMMAR.fullmatch(text) if isinstance(text, str) else None
    if read is None:
        raise SettingError(f"gate: {text!r} is not a condition; {FORM}.")
    metrics = list(dict.fromkeys(f.metric for f in figures))
    scopes = list(dict.fromkeys(f.slice for f in figures))
    metric, scope = read["metric"], read["scope"] or ALL
    if metric not in metrics:
        raise SettingError(f"gate: no figure {metric!r} in this report; it has {listed(metrics)}.{did_you_mean(metric, metrics)}")
    if scope not in (EVERY, *scopes):
        raise SettingError(f"gate: no slice {scope!r} in this report; it has {listed(scopes)}, or say 'in every slice'.{did_you_mean(scope, scopes)}")
    bound = float(read["bound"]) / (100 if read["percent"] else 1)
    return Condition(" ".join(text.split()), metric, read["part"] or "value", read["sign"], bound, scope)


def check(conditions: Sequence[str], figures: Sequence[Figure]) -> None:
    """Raise GateError, in one line, for all figures that do not meet their conditions."""
    if not conditions:
        raise SettingError(f"gate: no condition is given; {FORM}.")
    read = [condition(text, figures) for text in conditions]
    failed = [(c, f) for c in read for f in figures if f.metric == c.metric and c.scope in (EVERY, f.slice) and not c.holds(f)]
    if failed:
        raise GateError("gate: " + "; ".join(f"{c.text} fails: {_said(c, f)}" for c, f in failed), [{"condition": c.text, **f.as_dict()} for c, f in failed])


def _said(one: Condition, figure: Figure) -> str:
    where = "of all rows" if figure.slice == ALL else f"in {figure.slice}"
    if one.part == "value":
        return f"{where} {figure}"
    value = getattr(figure, one.part)
    return f"{where} {one.metric}.{one.part} is {f'{value:,}' if isinstance(value, int) else number(value)}, where {figure}"
