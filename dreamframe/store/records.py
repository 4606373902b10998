"""What the records of a session must look like. A folder may be a stranger's: a value of another type is said here, and not met later in a sum."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dreamframe.errors import CorruptFileError


class Problem(NamedTuple):
    """Something in a session folder that is not as it was written."""

    path: str  # inside the folder
    what: str

    def as_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return self._asdict()


class Removed(NamedTuple):
    """Something in a session folder that was not needed any more."""

    path: str  # inside the folder
    n_bytes: int
    why: str
    cost: float | None = 0.0  # US dollars that the calls behind it cost; None where a price is not known. Their answers are kept
    seconds: float = 0.0  # that a training took

    def as_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return self._asdict()


Check = Callable[[object], bool]
LARGEST = 1 << 63  # of a count: what Arrow and polars hold
KEY = re.compile(r"[0-9a-f]{32}")


def is_text(value: object) -> bool:
    """A text."""
    return isinstance(value, str)


def is_key(value: object) -> bool:
    """32 hexadecimal digits."""
    return isinstance(value, str) and KEY.fullmatch(value) is not None


def is_count(value: object) -> bool:
    """A whole number, not negative."""
    return type(value) is int and 0 <= value < LARGEST


def is_amount(value: object) -> bool:
    """Any number that can be added to others."""
    return (type(value) is int and abs(value) < LARGEST) or (type(value) is float and math.isfinite(value))


def is_mapping(value: object) -> bool:
    """A JSON object."""
    return isinstance(value, Mapping)


def is_list(value: object) -> bool:
    """A JSON array."""
    return isinstance(value, list)


def _counts(value: object) -> bool:
    return isinstance(value, Mapping) and all(is_count(v) for v in value.values())


def _amounts(value: object) -> bool:
    return isinstance(value, Mapping) and all(is_amount(v) for v in value.values())


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _events(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, Mapping) and wrong_event(v) is None for v in value)


def _figures(value: object) -> bool:
    """Lines of a table of figures: plain texts and numbers, with a slice and a metric."""
    return isinstance(value, list) and all(isinstance(v, Mapping) and _is_figure(v) for v in value)


def _is_figure(line: Mapping[str, Any]) -> bool:
    named = isinstance(line.get("slice"), str) and isinstance(line.get("metric"), str)
    return named and all(v is None or isinstance(v, str) or is_amount(v) for v in line.values())


NUMBERS = ("rows_in", "rows", "total", "asked", "cached", "failed", "skipped", "truncated", "retries", "n_in", "n_out", "n_cached", "n_reasoning")
_STEP_LINE: Mapping[str, Check] = {
    **dict.fromkeys(("label", "model"), is_text), **dict.fromkeys(NUMBERS, is_count), **dict.fromkeys(("cost", "at"), is_amount), "errors": _counts,
}
EVENTS: Mapping[str, Mapping[str, Check]] = {
    "begin": {"plans": _texts, "at": is_amount},
    "alive": {"at": is_amount},
    "progress": _STEP_LINE,
    "step": _STEP_LINE,
    "model": {"model": is_key},
    "logged": {"label": is_text, "values": _amounts, "at": is_amount},
    "failure": {"row": is_count, "attempts": is_count, **dict.fromkeys(("step", "column", "error", "message"), is_text)},
    "report": {"label": is_text, "of": _texts, "figures": _figures},
    "run": dict.fromkeys(("calls", "cached", "trained", "reused", "failed"), is_count),
}
STEP: Mapping[str, Check] = {
    "key": is_key, "label": is_text, "rows": is_count, "data_xxh3_128": is_text, "data_bytes": is_count, "made_at": is_text,
    "step": is_text, "describe": is_text, "rows_key": is_key, "schema": is_mapping, "parents": _texts, "plan": is_list, "steps": _events,
    **dict.fromkeys(("calls", "tokens_in", "tokens_out"), is_count),
    **dict.fromkeys(("began", "took_s"), is_amount),
}
MODEL: Mapping[str, Check] = {"key": is_key, "label": is_text, "made_at": is_text, "files": is_mapping}
TRAINED: Mapping[str, Check] = {"rows": is_count, "metrics": is_mapping, "notes": is_list, "train_s": is_amount, "trainer": is_text, "describe": is_text}
PLAN: Mapping[str, Check] = {
    "key": is_key, "label": is_text, "kind": is_text, "columns": _texts, "explain": is_text, "python": is_text, "script": is_text, "problem": is_text,
    "libraries": is_mapping, "steps": is_list,
}
SOURCE: Mapping[str, Check] = {"key": is_text, "rows": is_count, "data_xxh3_128": is_text}
NEEDED = {"key", "label"}


def wrong(record: Mapping[str, Any], checks: Mapping[str, Check], *, needed: set[str] | None = None) -> str | None:
    """The first field that is not what it must be; None if all are. A field that is missing or null is right, unless it is needed."""
    for name, check in checks.items():
        value = record.get(name)
        if (value is None and name in (NEEDED if needed is None else needed)) or (value is not None and not check(value)):
            return name
    return None


def wrong_event(event: Mapping[str, Any]) -> str | None:
    """The first field of a line of a run log that is not what it must be. Kinds of lines that are not known here are right."""
    kind = event.get("event")
    if not isinstance(kind, str):
        return "event"
    if event.get("key") is not None and event.get("key") != "" and not is_key(event.get("key")):  # a step without a key: what a trainer asks
        return "key"
    return wrong(event, EVENTS.get(kind, {}), needed={"model"} if kind == "model" else set())


def checked(record: dict[str, Any], checks: Mapping[str, Check], *, called: object, needed: set[str] | None = None) -> dict[str, Any]:
    """The record. Raises CorruptFileError where a field is not what it must be."""
    if (name := wrong(record, checks, needed=needed)) is not None:
        raise CorruptFileError(f"{called}: its field {name!r} is not what a session writes there ({str(record.get(name))[:60]!r})")
    return record


def cleaned(record: dict[str, Any], checks: Mapping[str, Check]) -> tuple[dict[str, Any], list[str]]:
    """The record without the fields that are not what they must be, and their names."""
    bad = [name for name, check in checks.items() if record.get(name) is not None and not check(record[name])]
    kept = {name: value for name, value in record.items() if name not in bad and not _is_too_large(value)}
    if isinstance(metrics := kept.get("metrics"), Mapping):
        kept["metrics"] = {name: value for name, value in metrics.items() if not _is_too_large(value)}
    return kept, bad


def _is_too_large(value: object) -> bool:
    return type(value) is int and abs(value) >= LARGEST
