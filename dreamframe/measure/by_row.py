"""Functions of one row as metrics: what they are given, what they may give, and what is said where they fail."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from dreamframe.errors import RunError

OfRow = Callable[[dict[str, Any]], Any]
OF_ALL = "A function is given one row, a dict; one of all rows together is dr.metrics.function(lambda rows: …)."


class Score(NamedTuple):
    """Of one row."""

    value: float  # the more the better
    told: str | None = None  # what the metric says of it


def score_of(function: OfRow, row: dict[str, Any], *, where: str) -> Score | None:
    """What a function makes of a row; None where it gives none. Raises RunError where it raises, or gives what is no number, naming the row."""
    try:
        found = function(dict(row))
    except Exception as exc:
        raise RunError(f"{where} raised {type(exc).__name__}: {exc!s:.300}. It was given the row {_short(row)}. {OF_ALL}") from exc
    value, told = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    return None if value is None else Score(number_of(value, where=where), None if told is None else str(told))


def number_of(value: Any, *, where: str) -> float:
    """A score as a number. Raises RunError for what is not a finite one."""
    try:
        number = float(value)
    except (TypeError, ValueError) as exc:
        raise RunError(f"{where} gave {value!r:.80}; a score is a number, or (a number, what is to be said of the row). {OF_ALL}") from exc
    if not math.isfinite(number):
        raise RunError(f"{where} gave {number}; a score is a finite number, the more the better.")
    return number


def _short(row: dict[str, Any]) -> str:
    text = repr(row)
    return text if len(text) <= 200 else f"{text[:200]}…"
