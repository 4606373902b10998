"""Polars' own verbs as steps: one generic record of a verb and its arguments, and the steps that pick rows by their position."""

from __future__ import annotations

import inspect
import math
import random
import re
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import ColumnNotFoundError, DreamframeError, DuplicateColumnError, PlanError, SettingError
from dreamframe.plan.hidden import HINT
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import PolarsStep, Rows, TableStep, kept_columns, step
from dreamframe.plan.steps.strata import apportion, shares
from dreamframe.plan.steps.trial import trial
from dreamframe.redaction.visible import harmless


@step
class Relational(PolarsStep):
    """A verb of polars over its input, or over two or more. Those that rules match on have types of their own, in `algebra`."""

    verb: str
    args: tuple[Any, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()  # keyword arguments, sorted

    is_by_row: ClassVar[bool] = False  # whether it gives the same rows batch by batch, if its expressions do

    @property
    def label(self) -> str:
        return self.name or self.verb

    def expressions(self) -> list[pl.Expr]:
        """All polars expressions among the arguments."""
        found: list[pl.Expr] = []

        def visit(value: Any) -> None:
            if isinstance(value, pl.Expr):
                found.append(value)
            elif isinstance(value, (list, tuple)):
                for v in value:
                    visit(v)

        visit([self.args, [v for _, v in self.options]])
        return found

    @cached_property
    def _together(self) -> list[pl.Expr]:
        """The expressions that may look at more than one row at a time."""
        return [e for e in self.expressions() if not is_separable(e)]

    def n_out(self, *n_in: int | None) -> int | None:
        return n_in[0] if n_in and self.verb in ("with_row_index", "reverse") else super().n_out(*n_in)

    def functions(self) -> object:
        return [super().functions(), *self._together]  # those with functions in them are among these

    def check(self) -> None:
        have = self.inputs[0].schema
        for expr in self.expressions() if len(self.inputs) == 1 else []:
            for column in root_names(expr):
                if column not in have:
                    raise ColumnNotFoundError(column, columns=have.names(), step=self.label)

    def output_schema(self) -> pl.Schema:
        try:
            seen = [self.looked_at(), *(i.schema for i in self.inputs[1:])]
            made = self.apply(*(pl.LazyFrame(schema=schema) for schema in seen)).collect_schema()
            if len(self.inputs) == 1:
                trial(self.verb, self.apply, seen[0], self.expressions(), looks_at_many=bool(self._together))
            return made if seen[0] is self.inputs[0].schema else with_columns(self.inputs[0].schema, made)
        except DreamframeError:
            raise
        except (pl.exceptions.ColumnNotFoundError, pl.exceptions.SchemaFieldNotFoundError) as exc:
            missing = _missing_name(str(exc))
            if missing is None:
                raise
            names = [n for i in self.inputs for n in i.schema.names()]
            raise ColumnNotFoundError(missing, columns=list(dict.fromkeys(names)), step=self.label) from harmless(exc)
        except UnicodeEncodeError as exc:
            raise PlanError(f"{self.label}: a name or a text holds half of a surrogate pair, which is no character: {exc}") from exc
        except pl.exceptions.DuplicateError as exc:
            raise DuplicateColumnError(f"{self.label}: {self._twice() or _said(exc)}") from harmless(exc)
        except pl.exceptions.PolarsError as exc:
            if self.verb == "with_columns" and (twice := self._twice()):
                raise DuplicateColumnError(f"{self.label}: {twice}") from harmless(exc)
            no_condition = self._no_condition() if self.verb == "filter" else ""
            raise PlanError(f"{self.label}: {no_condition or f'{type(exc).__name__}: {_said(exc)}'}") from harmless(exc)
        except pl.exceptions.PanicException as exc:  # no Exception: it would end the process of whoever catches those
            told = re.search(r'ErrString\("(.+)"\)', str(exc))
            raise PlanError(f"{self.label}: {told[1] if told else str(exc)[:500]}") from None
        except (ValueError, TypeError, OverflowError) as exc:  # what polars says of an argument
            raise SettingError(f"{self.label}: {_said(exc)}") from harmless(exc)

    def looked_at(self) -> pl.Schema:
        """The columns of the first input that say which columns it gives: all, or for a verb that hands on the others as they are, those that it reads."""
        return self.inputs[0].schema

    def _twice(self) -> str:
        """Which name two of the expressions give their column, for an error."""
        names = [e.meta.output_name(raise_if_undetermined=False) for e in self.expressions()]
        twice = next((n for n in names if n is not None and names.count(n) > 1), None)
        return "" if twice is None else f"two columns would be called {twice!r}. Name each: .alias('…'), a keyword, or into='…' of a model call."

    def _no_condition(self) -> str:
        """Which of a filter's expressions is neither true nor false, for an error."""
        for expr in self.expressions():
            dtype = pl.LazyFrame(schema=self.inputs[0].schema).select(expr).collect_schema().dtypes()
            if dtype and dtype[0] != pl.Boolean:
                if any(HINT in name for name in root_names(expr)):
                    way = "Ask for a yes or no, dr.prompt(..., schema=bool), or compare the answer: dr.prompt(...) == 'good'"
                    return f"a condition is true or false, and the model's answer is {dtype[0]}. {way}."
                return f"a condition is true or false, and {expr} is {dtype[0]}. Compare it, e.g. pl.col('a') > 1."
        return ""

    def apply(self, *frames: pl.LazyFrame) -> pl.LazyFrame:
        options = dict(self.options)
        match self.verb:
            case "aggregate":  # group_by(keys).agg(values); the groups in order of first appearance
                keys, values = self.args
                return frames[0].group_by(list(keys), maintain_order=True).agg(list(values))
            case "concat":
                return pl.concat(list(frames), **options)
            case "unpivot":  # in one piece: polars' streams mix the columns' rows
                made = frames[0].unpivot(*self.args, **options).collect_schema()
                pushed: Any = dict.fromkeys(("predicate_pushdown", "projection_pushdown", "slice_pushdown"), False)
                return frames[0].map_batches(lambda rows: rows.lazy().unpivot(*self.args, **options).collect(engine="in-memory"), schema=made, **pushed)
            case _:
                result = getattr(frames[0], self.verb)(*frames[1:], *self.args, **options)
                assert isinstance(result, pl.LazyFrame)
                return result

    @cached_property
    def is_streamed(self) -> bool:
        if not self.is_by_row or len(self.inputs) != 1:
            return False
        # A select of literals gives one row, not one for each batch.
        return not self._together and (self.verb != "select" or all(e.meta.root_names() for e in self.expressions()))

    def describe(self) -> str:
        usual = _defaults(self.verb)
        told = [(k, v) for k, v in self.options if k != "maintain_order" and not _is_usual(v, usual.get(k))]
        given = [show(a) for a in self.args] + [f"{k}={show(v)}" for k, v in told]
        match self.verb:
            case "aggregate":
                return f"GROUP BY {show(self.args[0])} AGG {show(self.args[1])}"
            case _:
                return f"{self.verb.upper().replace('_', ' ')} {', '.join(given)}".strip()


@cache
def _defaults(verb: str) -> Mapping[str, Any]:
    """The values that polars' verb has for what is not given: explain() leaves them out."""
    method = getattr(pl.LazyFrame, verb, None)
    return {name: p.default for name, p in inspect.signature(method).parameters.items()} if method else {}


def _is_usual(value: Any, usual: Any) -> bool:
    return value is None or (isinstance(value, (str, bool)) and value == usual)


def _said(exc: Exception) -> str:
    """What polars says of an error, without the plan that it shows afterwards."""
    return " ".join(str(exc).strip().split("\n\n", 1)[0].split())[:500]


def show(value: Any) -> str:
    """An argument as explain() prints it.

    >>> show((pl.col("a") > 3, "b"))
    '[[(col("a")) > (dyn int: 3)], \\'b\\']'
    """
    if isinstance(value, pl.Expr):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(show(v) for v in value)}]"
    return repr(value)


def root_names(expr: pl.Expr) -> list[str]:
    """The columns an expression reads; none for wildcards, which read what is there."""
    try:
        return [n for n in expr.meta.root_names() if not (n.startswith("^") and n.endswith("$")) and n != "*"]
    except pl.exceptions.PolarsError:
        return []


def is_separable(expr: pl.Expr) -> bool:
    """Whether running batch by batch changes nothing. What polars cannot tell (wildcards, Python functions, list.eval) counts as no.

    Polars' own answer is about the outermost operation alone (`pl.col("a") > pl.col("a").mean()` counts as separable), so every part is asked.
    """
    try:
        return not expr.meta.has_multiple_outputs() and _all_separable(expr)
    except (pl.exceptions.PolarsError, TypeError):
        return False


def _all_separable(expr: pl.Expr) -> bool:
    return bool(expr.meta.is_row_separable()) and all(_all_separable(part) for part in expr.meta.pop())


def _missing_name(message: str) -> str | None:
    """The column that a polars error names, if it does."""
    first = message.splitlines()[0].rpartition(" on column: ")[2] if message else ""
    for quote in ('"', "'"):
        if first.count(quote) >= 2:
            return first.split(quote)[1]
    return first if first and " " not in first else None


@step
class Pick(TableStep):
    """Rows by position: a base for the steps below, which differ only in the positions."""

    def output_schema(self) -> pl.Schema:
        return self.inputs[0].schema

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    def positions(self, table: pl.DataFrame) -> Sequence[int] | pl.Series:
        """Which rows, in which order."""
        return range(table.height)

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: Any) -> pl.DataFrame:  # noqa: ARG002
        return tables[0][pl.Series(self.positions(tables[0]), dtype=pl.UInt32)]


@step
class Sample(Pick):
    """n rows, or a fraction of them, drawn with a seed; in input order unless shuffled.

    The generator is Python's Mersenne Twister, whose sequence is fixed by the language, so that another polars draws the same rows.
    """

    n: int | None = None
    fraction: float | None = None
    with_replacement: bool = False
    in_order: bool = True
    seed: int = 0

    def reads(self) -> frozenset[str]:
        return frozenset()

    @property
    def rows(self) -> Rows:
        return "fewer" if self.in_order and not self.with_replacement else "other"

    def n_out(self, *n_in: int | None) -> int | None:
        return self.n if self.n is not None or n_in[0] is None else math.floor(n_in[0] * (self.fraction or 0))

    def positions(self, table: pl.DataFrame) -> Sequence[int]:
        wanted = self.n if self.n is not None else math.floor(table.height * (self.fraction or 0))
        draw = random.Random(self.seed)
        if self.with_replacement:
            if wanted and not table.height:
                raise SettingError(f"{self.label}: {wanted} rows asked of a frame without rows.")
            drawn = draw.choices(range(table.height), k=wanted)
        elif wanted > table.height:
            raise SettingError(f"{self.label}: {wanted} rows asked of {table.height}. Ask for fewer, or pass with_replacement=True.")
        else:
            drawn = draw.sample(range(table.height), wanted)
        return sorted(drawn) if self.in_order else drawn

    def describe(self) -> str:
        size = f"n={self.n}" if self.n is not None else f"fraction={self.fraction}"
        return f"{'SAMPLE' if self.in_order else 'SHUFFLE'} {size} seed={self.seed}"


@step
class RepeatTo(Pick):
    """The rows again and again from the first, until there are n."""

    n: int

    @property
    def label(self) -> str:
        return self.name or "repeat_to"

    def reads(self) -> frozenset[str]:
        return frozenset()

    def n_out(self, *n_in: int | None) -> int | None:  # noqa: ARG002
        return self.n

    def positions(self, table: pl.DataFrame) -> pl.Series:
        if table.height == 0 and self.n > 0:
            raise SettingError(f"{self.label}: a frame without rows cannot be repeated to {self.n}.")
        return pl.int_range(self.n, eager=True) % table.height

    def describe(self) -> str:
        return f"REPEAT TO {self.n}"


@step
class Shard(Pick):
    """One of n parts of equal size, one after the other; where they cannot be equal, the first have a row more."""

    n: int
    i: int

    def reads(self) -> frozenset[str]:
        return frozenset()

    @property
    def rows(self) -> Rows:
        return "fewer"

    def n_out(self, *n_in: int | None) -> int | None:
        return None if n_in[0] is None else len(self._places(n_in[0]))

    def _places(self, height: int) -> range:
        size, more = divmod(height, self.n)
        start = self.i * size + min(self.i, more)
        return range(start, start + size + (self.i < more))

    def positions(self, table: pl.DataFrame) -> Sequence[int]:
        return self._places(table.height)

    def describe(self) -> str:
        return f"SHARD {self.i} of {self.n}, one after the other"


@step
class SplitPart(Pick):
    """One named part of a split: the rows shuffled with a seed and cut by fractions (or by numbers of rows), within each stratum if there are strata.

    Every row falls into exactly one part. Sizes are rounded so that they add up (largest remainder), with strata as without; every stratum is in every
    part where that can be. Rows keep their input order.
    """

    part: str
    fractions: tuple[tuple[str, float], ...]
    stratify: str | tuple[str, ...] | None = None
    seed: int = 0
    shuffle: bool = True

    @property
    def label(self) -> str:
        return self.name or "split"

    def key_fields(self) -> Mapping[str, object]:
        return {**super().key_fields(), **({"rounding": 2} if self.stratify else {})}  # until 1, each stratum was rounded by itself

    def reads(self) -> frozenset[str]:
        return frozenset(self._strata)

    @property
    def rows(self) -> Rows:
        return "fewer"

    def n_out(self, *n_in: int | None) -> int | None:
        at = [n for n, _ in self.fractions].index(self.part)
        return None if n_in[0] is None else self._sizes(n_in[0])[at]

    def _sizes(self, height: int) -> list[int]:
        """The rows of each part, of so many."""
        sizes = [f for _, f in self.fractions]
        return [int(s) for s in sizes] if self._are_counts else apportion(height, sizes)

    @property
    def _are_counts(self) -> bool:
        return any(f > 1 for _, f in self.fractions)

    @property
    def _strata(self) -> tuple[str, ...]:
        return (self.stratify,) if isinstance(self.stratify, str) else self.stratify or ()

    def positions(self, table: pl.DataFrame) -> Sequence[int]:
        parts = self._sizes(table.height)
        if self._are_counts and sum(parts) > table.height:
            raise SettingError(f"{self.label}: {' + '.join(map(str, parts))} rows asked of {table.height}.")
        if not self.stratify:
            return sorted(self._cut(list(range(table.height)), parts, salt=0))
        fractions = [size / table.height for size in parts] if self._are_counts else [f for _, f in self.fractions]
        for (name, fraction), size in zip(self.fractions, parts, strict=True):
            if table.height and not size:
                raise SettingError(f"{self.label}: {name}={fraction:g} of {table.height} rows is no row at all. Give it a larger fraction, or more rows.")
        keys = table.select(pl.struct(self._strata).alias("key")).with_row_index("row")
        groups = keys.group_by("key", maintain_order=True).agg("row").get_column("row").to_list()
        order = random.Random(f"{self.seed}:strata").sample(range(len(groups)), len(groups)) if self.shuffle else range(len(groups))
        sizes = shares([len(rows) for rows in groups], fractions, order)
        return sorted(row for i, rows in enumerate(groups) for row in self._cut(rows, sizes[i], salt=i))

    def _cut(self, rows: list[int], sizes: Sequence[int], *, salt: int) -> list[int]:
        if self.shuffle:
            rows = random.Random(f"{self.seed}:{salt}").sample(rows, len(rows))
        at = [n for n, _ in self.fractions].index(self.part)
        return rows[sum(sizes[:at]) : sum(sizes[: at + 1])]

    def describe(self) -> str:
        parts = " ".join(f"{n}={f:g}" for n, f in self.fractions)
        return f"SPLIT {self.part} of {parts} seed={self.seed}" + (f" stratify={self.stratify!r}" if self.stratify else "")
