"""What decides whether an answer is right: a frozen record that is a column, a condition, a reward and a metric. The functions of `dr.verify` make them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dreamframe.errors import ColumnNotFoundError, ParseError, SchemaError, SettingError
from dreamframe.models.sandbox.isolation import Isolation, chosen
from dreamframe.models.sandbox.limits import Limits
from dreamframe.models.sandbox.process import run
from dreamframe.prompts.answer_schema import unfenced
from dreamframe.prompts.numbers_in_text import Number, number_in, same

Right = Callable[..., bool]  # an answer, and what else the columns hold


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
        return chosen() if self.kind == "code" else None


def number(answer: str, gold: Any, *, tolerance: float) -> bool:
    true = _number(gold)
    found = number_in(answer)
    return found is not None and true is not None and same(found, true, tolerance)


def _number(gold: Any) -> Number | None:
    return number_in(gold if isinstance(gold, str) else repr(gold) if isinstance(gold, float) else str(gold))


def exact(answer: str, gold: Any, *, normalize: str) -> bool:
    truths = gold if isinstance(gold, list | tuple) else [gold]
    return _normal(answer, normalize) in {_normal(str(t), normalize) for t in truths if t is not None}


def _normal(text: str, how: str) -> str:
    if how == "none":
        return text
    if how == "squad":
        bare = re.sub(r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]""", "", text.lower())
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())
    return text.strip()


def choice(answer: str, gold: Any, *, choices: str) -> bool:
    return chosen_letter(answer, choices) == (chosen_letter(str(gold), choices) or object())


def chosen_letter(text: str, choices: str) -> str | None:
    r"""The choice that an answer names: in the last `\boxed{…}`, else after the last "answer is" or "answer:", else the last that stands alone."""
    letter = f"[{re.escape(choices)}]"
    alone = re.compile(rf"(?<![\w'’])\(?\*{{0,2}}({letter})\*{{0,2}}\)?(?![\w'’])")
    boxed = re.findall(rf"\\boxed\{{\s*(?:\\text\{{)?\s*\(?({letter})\)?", text)
    said = re.findall(rf"\banswer\s*(?:is|:|=)[\s:*]*(?:option|choice)?\s*\(?\*{{0,2}}({letter})(?![\w'’])", text, re.IGNORECASE)
    found = boxed or [s for s in said if s in choices] or alone.findall(text)
    if not found and text.strip().strip("().").upper() in set(choices):
        return text.strip().strip("().").upper()
    return str(found[-1]) if found else None


def regex(answer: str, *, pattern: str) -> bool:
    return re.search(pattern, answer) is not None


def json_(answer: str, *, schema: Any) -> bool:
    if schema is not None:
        try:
            schema.parse(answer)
        except ParseError:
            return False
        return True
    try:
        json.loads(unfenced(answer))
    except (ValueError, RecursionError):
        return False
    return True


def code(answer: str, tests: Any = None, *, timeout: float, memory: int) -> bool:
    text = "\n".join(t for t in tests if t is not None) if isinstance(tests, list | tuple) else tests
    return run(answer, tests=text, limits=Limits(timeout_s=timeout, memory=memory), walls=chosen().walls).ok


def sql(answer: str) -> bool:
    import sqlite3

    text = unfenced(answer).strip()
    base = sqlite3.connect(":memory:")
    try:
        base.execute(f"EXPLAIN {text.rstrip().removesuffix(';')}").close()
    except sqlite3.OperationalError as exc:  # what is not there, as no table is, is no error of syntax
        return "syntax error" not in str(exc) and "incomplete input" not in str(exc) and "unrecognized token" not in str(exc)
    except (sqlite3.Error, sqlite3.Warning, ValueError):  # several statements, NUL
        return False
    finally:
        base.close()
    return bool(text)


RULES: Mapping[str, Right] = {"number": number, "exact": exact, "choice": choice, "regex": regex, "json": json_, "code": code, "sql": sql}


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def need_pattern(pattern: Any, *, where: str) -> str:
    """Raise SettingError for what is not a regular expression."""
    try:
        re.compile(pattern)
    except (TypeError, re.error) as exc:
        raise SettingError(f"{where}: pattern={pattern!r} is not a regular expression: {exc}.") from exc
    return str(pattern)
