"""What decides whether an answer is right: a frozen record that is a column, a condition, a reward and a metric. The functions of `dr.verify` make them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SchemaError, SettingError

if TYPE_CHECKING:
    from dreamframe.models.sandbox.isolation import Isolation


@dataclass(frozen=True, repr=False)
class Verifier:
    """Whether answers are right, of a kind: "number", "exact", "choice", "regex", "json", "code" or "sql".

    The first column is the answer; as a reward, the completion stands in its place. It can be called as TRL calls rewards: 1 for right, 0 for wrong, None
    without the truth.
    """

    kind: str
    columns: tuple[str, ...]  # the answer, then what it is compared with
    options: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        told = [*map(repr, self.columns), *(f"{k}={v!r}" for k, v in self.options if v is not None)]
        return f"verify.{self.kind}({', '.join(told)})"

    @property
    def __name__(self) -> str:
        return self.kind

    def __call__(self, completions: Sequence[Any], **columns: Sequence[Any]) -> list[float | None]:
        """The reward of each completion, texts or chats."""
        if missing := [c for c in self.columns[1:] if c not in columns]:
            raise ColumnNotFoundError(missing[0], columns=list(columns), step=repr(self))
        said = [c if isinstance(c, str) or c is None else str(c[-1]["content"]) for c in completions]
        return [None if r is None else float(r) for r in self.right(said, *(columns[c] for c in self.columns[1:]))]

    def right(self, answers: Sequence[Any], *others: Sequence[Any]) -> list[bool | None]:
        """Whether each answer is right: no answer is a wrong one, and None stands where what it is compared with is not there."""
        from dreamframe.prompts.right import RULES  # building a plan decides nothing

        decide = RULES[self.kind]
        options = dict(self.options)

        def one(answer: Any, *beside: Any) -> bool | None:
            if any(b is None for b in beside):
                return None
            return answer is not None and decide(str(answer), *beside, **options)

        if self.kind != "code":
            return list(map(one, answers, *others))
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max(1, _cores())) as threads:
            return list(threads.map(one, answers, *others))

    def check(self, schema: Mapping[str, pl.DataType], *, where: str) -> None:
        """Raise a PlanError where columns of these types cannot serve it."""
        for column in self.columns:
            if column not in schema:
                raise ColumnNotFoundError(column, columns=list(schema), step=where)
        for column in self.columns[:1] if self.kind in ("number", "exact", "choice") else self.columns:
            if (dtype := schema[column]).is_nested() and not (self.kind == "code" and column in self.columns[1:]):
                raise SchemaError(f"{where}: {self!r}: {column!r} is {dtype}; an answer is a text or a number.")

    def system_fields(self) -> Mapping[str, object]:
        """What its verdicts depend on beside its fields."""
        return {"interpreter": f"{sys.version_info[0]}.{sys.version_info[1]}"} if self.kind == "code" else {}

    def isolation(self) -> Isolation | None:
        """What isolates the programs that it runs; None for those that run none."""
        from dreamframe.models.sandbox.isolation import chosen

        return chosen() if self.kind == "code" else None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def need_pattern(pattern: Any, *, where: str) -> str:
    """Raise SettingError for what is not a regular expression."""
    try:
        re.compile(pattern)
    except (TypeError, re.error) as exc:
        raise SettingError(f"{where}: pattern={pattern!r} is not a regular expression: {exc}.") from exc
    return str(pattern)
