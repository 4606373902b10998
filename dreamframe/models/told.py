"""What `help` tells of a class of settings: its documentation, then each setting with its type, its default and the comment beside it.

A setting is explained once, beside its field; the pages of trainers and models in the documentation are made of the same comments.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any

INTERNAL = "authority"  # what a plan from elsewhere may reach: not a setting of the user's


class Called:
    """The signature of a class of settings that `help` and editors show: what its user gives."""

    def __get__(self, one: object, kind: type) -> inspect.Signature:
        if one is not None:
            raise AttributeError("__signature__")  # settings are not called
        made = inspect.signature(kind.__init__)  # type: ignore[misc]
        given = [p for p in list(made.parameters.values())[1:] if p.name != INTERNAL]
        return inspect.Signature(given)


class Told:
    """The documentation of a class, completed when somebody reads it: the source is parsed then, and no earlier."""

    def __init__(self, written: str) -> None:
        self.written = written

    def __get__(self, _: object, kind: type) -> str:
        lines = settings_text(kind)
        return f"{inspect.cleandoc(self.written)}\n\n{lines}\n" if lines else self.written


def told(kind: Any) -> Any:
    """Let `help(kind)` explain the settings of a class. Anything else is given back as it is."""
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(written := kind.__dict__.get("__doc__"), str):
        setattr(kind, "__doc__", Told(written))  # noqa: B010  the type of a __doc__ is str
    return kind


@cache
def settings_text(kind: type) -> str:
    """The settings of a class as text; nothing where no comment explains one, or where the source is not here.

    >>> print(settings_text(dr.LogisticRegression))
    Settings, with their defaults:
    <BLANKLINE>
      base: any = None
          it starts from nothing
      l2: float = 1.0
          weight of the penalty on the weights: 1 / C of scikit-learn
      may_abstain: bool = False
          whether rows of fewer than two labels make a model that tells none, instead of an error
    """
    rows = settings_of(kind)
    if not any(remark for *_, remark in rows):
        return ""
    lines = ["Settings, with their defaults:", ""]
    for name, written, default, remark in rows:
        lines.append(f"  {name}: {written}" + ("" if default == "required" else f" = {default}"))
        lines += [f"      {remark}"] if remark else []
    return "\n".join(lines)


def settings_of(kind: type) -> list[tuple[str, str, str, str]]:
    """Name, type, default and remark of every setting, those of the class itself before those that it shares with others of its kind."""
    said = remarks(kind)
    shared = {f.name for owner in kind.__mro__[1:] if owner.__name__ in ("LocalTrainer", "Trainer", "ApiTrainer") for f in fields(owner)}
    rows = [
        (f.name, str(f.type).replace("Any", "any"), "required" if f.default is MISSING else repr(f.default), said.get(f.name, ""))
        for f in fields(kind)
        if f.init and f.name != INTERNAL
    ]
    return sorted(rows, key=lambda row: (row[0] != "base", row[0] in shared))


def remarks(kind: type) -> Mapping[str, str]:
    """Field → the comment beside it, of a class and of those that it is made of; the nearest counts."""
    import ast
    import textwrap

    found: dict[str, str] = {}
    for owner in (k for k in kind.__mro__ if k.__module__.startswith("dreamframe.")):
        try:
            lines = textwrap.dedent(inspect.getsource(owner)).splitlines()
        except (OSError, TypeError):  # byte code alone, or one file of everything
            continue
        for node in ast.parse("\n".join(lines)).body[0].body:  # type: ignore[attr-defined]
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                said = [part for part in lines[node.lineno - 1].split("  # ")[1:] if not part.startswith(("type: ignore", "noqa"))]
                if said:
                    found.setdefault(node.target.id, said[0].strip())
    return found
