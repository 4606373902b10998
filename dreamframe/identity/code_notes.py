"""What a walk over a value notes about the user's functions and classes in it: names that they read, files that they open."""

from __future__ import annotations

import dataclasses
import decimal
import re
from dataclasses import dataclass, field
from typing import Any

from dreamframe.identity.tagged import tagged

DECIMALS = (28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0, ["DivisionByZero", "InvalidOperation", "Overflow"])  # Python's own rules


@dataclass
class CodeNotes:
    """What a walk finds out about the functions and classes that it meets, wherever they are."""

    users: list[Any] = field(default_factory=list)  # the user's functions and classes
    asks_names: bool = False  # whether one of them reads what functions or classes are called, or say of themselves
    reads_files: bool = False

    def told(self) -> bytes:
        """What counts beside the value itself: names that functions read, and the rules of decimal numbers if they are not Python's own."""
        if not self.users:
            return b""
        names = tagged("names", *sorted(_said(u) for u in self.users)) if self.asks_names else b""
        rules = decimal.getcontext()
        kept = (rules.prec, rules.rounding, rules.Emin, rules.Emax, rules.capitals, rules.clamp, sorted(t.__name__ for t, on in rules.traps.items() if on))
        return names + (b"" if kept == DECIMALS else tagged("decimals", repr(kept).encode()))


def _said(users: Any) -> bytes:
    """What a function or a class says of itself beside its code; where something lies in memory does not count."""
    if isinstance(users, type):
        of_fields = [(f.name, str(dict(f.metadata))) for f in (*_own_fields(users), *getattr(users, "__attrs_attrs__", ()))]
        notes: list[Any] = [users.__doc__, *of_fields]
    else:
        notes = sorted((k, str(v)) for k, v in _annotations(users).items())
    return re.sub(r" at 0x[0-9a-f]+", "", f"{users.__qualname__} {notes}").encode("utf-8", "surrogatepass")


def _own_fields(cls: type) -> tuple[Any, ...]:
    return dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()


def _annotations(function: Any) -> dict[str, Any]:
    try:
        return dict(function.__annotations__)
    except NameError:  # from Python 3.14 on they are read late, and one may be for type checkers alone
        return {}
