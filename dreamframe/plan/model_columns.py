"""Columns of models as polars expressions: placeholders, and putting the steps that compute them underneath.

`dr.prompt(...)`, `dr.embed(...)` and `dr.similarity(...)` give `pl.col(<placeholder>).alias(into)`. The placeholder is a readable column name; what it
stands for is kept in a table by that name. When a frame verb receives expressions, `hoist` finds the placeholders by `expr.meta.root_names()`, puts
their steps under the verb, and tells which columns to drop again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import polars as pl

from dreamframe.errors import ColumnNotFoundError, FingerprintError, PlanError, SettingError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.identity.owned import in_order, own_expr
from dreamframe.identity.whose_code import recorded
from dreamframe.models.base import LLM
from dreamframe.models.edges import Edge, as_edge
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.habits import described
from dreamframe.plan.hidden import HINT, readable
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.embed import Embed, Similarity
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.relational import is_separable, root_names
from dreamframe.plan.steps.verify import Verify
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.verifier import Verifier


@dataclass(frozen=True)
class ModelColumn:
    """What a placeholder stands for: the step's settings, and the expressions that its template's names stand for."""

    llm: LLM
    prompt: Prompt
    settings: tuple[tuple[str, Any], ...]  # further fields of PromptStep
    columns: tuple[tuple[str, pl.Expr], ...] = ()  # template name → expression
    into: str = "answer"

    @property
    def digest(self) -> str:
        """Eight characters of what the column is, the same in every process; looks at no file.

        A second call that only differs in what has no such digest (another object with the same settings) has its number after them.
        """
        hashed = fingerprint((type(self.llm).__name__, _stable(self.llm), _stable(self.prompt), self.settings, self.columns))[:8]
        schema = dict(self.settings).get("schema_")
        return _numbered(hashed, (self.llm, self.prompt, *(() if schema is None else schema.inputs)))

    @property
    def placeholder(self) -> str:
        """A column name that tells what it is, also in polars' own error messages."""
        return _name(f"prompt({self.llm.label}, {_cut(self.prompt.summary)})#{self.digest}{HINT}")

    def over(self, below: Step, into: str) -> Step:
        """The step that computes this column over `below`."""
        return PromptStep.over(below, self.llm, self.prompt, into=into, **dict(self.settings))

    def renamed(self, names: Mapping[str, str]) -> ModelColumn:
        """The same, its expressions being columns of these names."""
        return replace(self, prompt=self.prompt.renamed(names), columns=())


@dataclass(frozen=True)
class VectorColumn:
    """A column that an embedder makes: of one text its vector, of two their cosine."""

    by: Embedder
    kind: type[Embed] | type[Similarity]
    reads: tuple[tuple[str, str], ...]  # field of the step → column
    settings: tuple[tuple[str, Any], ...]  # further fields
    columns: tuple[tuple[str, pl.Expr], ...] = ()  # field of the step → expression
    into: str = "embedding"

    @property
    def digest(self) -> str:
        """As of a ModelColumn."""
        hashed = fingerprint((type(self.by).__name__, _stable(self.by), self.kind.__name__, self.reads, self.settings, self.columns))[:8]
        return _numbered(hashed, (self.by,))

    @property
    def placeholder(self) -> str:
        """A column name that tells what it is, also in polars' own error messages."""
        texts = [repr(column) for _, column in self.reads] + [" ".join(str(expr).split()) for _, expr in self.columns]
        return _name(f"{self.kind.__name__.lower()}({self.by.label}, {_cut(', '.join(texts))})#{self.digest}{HINT}")

    def over(self, below: Step, into: str) -> Step:
        """As of a ModelColumn."""
        return self.kind.over(below, self.by, into=into, **dict(self.reads), **dict(self.settings))

    def renamed(self, names: Mapping[str, str]) -> VectorColumn:
        """The same, its expressions being columns of these names."""
        return replace(self, reads=(*self.reads, *names.items()), columns=())


@dataclass(frozen=True)
class VerifierColumn:
    """A column that says whether an answer is right."""

    by: Verifier
    into: str = "ok"
    columns: tuple[tuple[str, pl.Expr], ...] = ()  # none: a verifier names its columns

    @property
    def digest(self) -> str:
        """As of a ModelColumn."""
        return fingerprint((self.by, self.by.columns))[:8]

    @property
    def placeholder(self) -> str:
        """A column name that tells what it is, also in polars' own error messages."""
        return _name(f"{_cut(repr(self.by))}#{self.digest}{HINT}")

    def over(self, below: Step, into: str) -> Step:
        """As of a ModelColumn."""
        return Verify(inputs=(below,), verifier=self.by, into=into)

    def renamed(self, names: Mapping[str, str]) -> VerifierColumn:  # noqa: ARG002
        """As of a ModelColumn."""
        return self


Column = ModelColumn | VectorColumn | VerifierColumn
INSTEAD_OF_DICT = ("Columns are given by name: c=pl.col('a') + 1.", "Write .agg(pl.col('a').sum(), largest=pl.col('b').max()).")  # in agg
PLACEHOLDERS: dict[str, Column] = {}  # keyed by content: the same call is the same column
ALIKE: dict[str, list[tuple[Any, ...]]] = {}  # digest → the calls of this process that have it, in the order of their making


def _numbered(hashed: str, held: tuple[Any, ...]) -> str:
    """The digest, with the number of what is held among those of this process that have the same."""
    alike = ALIKE.setdefault(hashed, [])
    number = next((i for i, other in enumerate(alike) if _same(other, held)), len(alike))
    if number == len(alike):
        alike.append(held)
    return f"{hashed}~{number + 1}" if number else hashed


def model_column(column: Column) -> pl.Expr:
    """The expression that stands for a column a model writes."""
    name = column.placeholder
    PLACEHOLDERS[name] = column
    return pl.col(name).alias(column.into)


def column_of(step: Step) -> str:
    """The column that a step writes, as the user wrote it; empty for one that writes none of its own."""
    into = str(getattr(step, "into", ""))
    if HINT not in into:
        return readable(into)
    return PLACEHOLDERS[into].into if into in PLACEHOLDERS else step.label  # the label is the column's, for a plan of another process


def placeholders_in(expr: pl.Expr) -> list[str]:
    """The placeholders that an expression reads, in order of first use."""
    return list(dict.fromkeys(n for n in root_names(expr) if n in PLACEHOLDERS))


def bare(expr: pl.Expr) -> Column | None:
    """The model column that an expression is, if it is nothing but one (perhaps under another name)."""
    names = placeholders_in(expr)
    if len(names) != 1 or not expr.meta.is_column_selection(allow_aliasing=True):
        return None
    return PLACEHOLDERS[names[0]]


def as_condition(expr: pl.Expr) -> pl.Expr:
    """A prompt that stands alone where a condition does, and does not say what its answer is, is asked for a yes or no: nothing else is a condition."""
    column = bare(expr)
    if not isinstance(column, ModelColumn):
        return expr
    settings = dict(column.settings)
    if settings.get("schema_") is not None or settings.get("parse") is not None or settings.get("n", 1) != 1:
        return expr
    return model_column(replace(column, settings=tuple({**settings, "schema_": AnswerSchema.of(bool)}.items())))


def gathered(exprs: Iterable[pl.Expr]) -> list[str]:
    """The columns of an aggregation that only gather what a language model answers for each row: nothing in them makes one value of a group, or a list."""
    asked = [e for e in exprs if placeholders_in(e) and _has_answers(e)]
    return [e.meta.output_name() for e in asked if is_separable(e)]


def _has_answers(expr: pl.Expr) -> bool:
    """Whether what a language model answers is among the values of an expression. Where it only says which values are kept, as in a filter, it is not."""
    parts = expr.meta.pop()
    if not parts:
        return any(isinstance(PLACEHOLDERS[n], ModelColumn) for n in placeholders_in(expr))
    is_filter = len(parts) == 2 and str(expr) == f"{parts[1]}.filter({parts[0]})"
    return any(map(_has_answers, parts[1:] if is_filter else parts))


def over_all_rows(exprs: Iterable[pl.Expr]) -> list[str]:
    """The named expressions of model columns that look at more than one row: they are computed over the whole frame, before any verb groups it."""
    columns = [PLACEHOLDERS[n] for e in exprs for n in placeholders_in(e)]
    return list(dict.fromkeys(name for column in columns for name, expr in column.columns if not is_separable(expr)))


def hoist(below: Step, exprs: Iterable[pl.Expr], *, verb: str) -> tuple[Step, list[str]]:
    """Put the steps of all placeholders in `exprs` over `below`, for a verb of that name. Returns the new step and the columns to drop afterwards."""
    added: list[str] = []
    for expr in exprs:
        for name in placeholders_in(expr):
            if expr.meta.has_multiple_outputs():
                raise PlanError(
                    "a wildcard and a model call stand in one expression, and the wildcard would see the call's own column. "
                    "Write it in two steps: first .with_columns(dr.prompt(..., into='answer')), then the expression over 'answer'."
                )
            if name not in below.schema:
                below, more = _add(below, PLACEHOLDERS[name], name, verb=verb)
                added += [*more, name]
    return below, list(dict.fromkeys(added))


def _add(below: Step, column: Column, into: str, *, verb: str) -> tuple[Step, list[str]]:
    """Compute one model column under a name; its keyword expressions first, as columns of their own."""
    if not column.columns:
        return _called(column.over(below, into), column), []
    below, inner = hoist(below, [e for _, e in column.columns], verb=verb)
    digest = column.digest
    kind = column.kind.__name__.lower() if isinstance(column, VectorColumn) else "prompt"
    names = {name: f"{name} of {kind}#{digest}" for name, _ in column.columns}
    exprs = [expr.alias(names[name]) for name, expr in column.columns]
    below = relational("with_columns", inputs=(below,), args=(exprs,), name=verb)
    return _called(column.renamed(names).over(below, into), column), [*inner, *names.values()]


def _called(made: Step, column: Column) -> Step:
    """The step by its name, else by that of the column as the user wrote it: the placeholder is nobody's."""
    if made.name is None:
        object.__setattr__(made, "name", column.into)  # nobody else has it yet, and a second step would be checked a second time
    return made


def into_exprs(values: Sequence[Any], named: Mapping[str, Any], *, verb: str) -> list[pl.Expr]:
    """What polars accepts as expressions, as a list of them: strings are columns, other plain values literals; columns of values are copied.

    Raises SettingError for what is neither, as a function is.
    """
    out: list[pl.Expr] = []
    for value in map(in_order, values):
        if isinstance(value, (list, tuple)):
            out += into_exprs(value, {}, verb=verb)
        else:
            out.append(_as_expr(value, verb))
    return out + [_as_expr(v, verb).alias(k) for k, v in named.items()]


def _as_expr(value: Any, verb: str) -> pl.Expr:
    if isinstance(value, str):
        return pl.col(value)
    if isinstance(value, pl.Expr):
        return own_expr(value)
    if isinstance(value, Verifier):
        return model_column(VerifierColumn(value))
    if isinstance(value, Mapping):
        raise SettingError(f"{verb}: {described(value)} is not an expression. {INSTEAD_OF_DICT[verb == 'agg']} (A struct of values is pl.lit({{…}}).)")
    try:
        return own_expr(pl.lit(value))
    except (TypeError, pl.exceptions.PolarsError) as exc:
        raise SettingError(f"{verb}: {described(value)} is not an expression. {_instead(value)}") from exc


def _instead(value: Any) -> str:
    """What to write for what is no expression."""
    if isinstance(value, LLM):
        return "To ask it, write dr.prompt(llm, '{text}', into='answer')."
    if isinstance(as_edge(value), Edge):
        return "Frames are put together by df.join(other, on='key') and dr.concat([df, other]); a column is pl.col('a')."
    if callable(value):
        return "Write it with columns, e.g. pl.col('a') > 1. A function of each row is df.map(function, into='b', schema=int), whose column can be used next."
    return "Give columns by name, expressions such as pl.col('a') + 1, or values."


def need_columns(exprs: Iterable[pl.Expr], schema: pl.Schema, *, step: str) -> None:
    """Raise ColumnNotFoundError for the first column that is neither there nor a placeholder."""
    for expr in exprs:
        for name in root_names(expr):
            if name not in schema and name not in PLACEHOLDERS:
                raise ColumnNotFoundError(name, columns=[n for n in schema.names() if n not in PLACEHOLDERS], step=step)


def _stable(record: Any) -> Any:
    """A record's hashed fields, without looking at files: what has no content that another process would find counts as its type."""
    own = {f.name: getattr(record, f.name) for f in fields(record) if not f.metadata.get("runtime")} if is_dataclass(record) else {}
    return type(record).__qualname__, {name: _stable_value(value) for name, value in own.items()}


def _stable_value(value: Any) -> Any:
    if isinstance(edge := as_edge(value), Edge):  # a frame or a lazy model, keyed by the plan
        return [(recorded(type(s)).__name__, s.describe()) for s in edge.step.walk()]
    try:
        fingerprint(value)
    except FingerprintError:
        return type(value).__qualname__
    return value


def _same(a: Any, b: Any) -> bool:
    """Whether two values of one process are the same in every respect, runtime fields too; other objects only if they are one."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, (str, int, float, bytes, Edge)):
        return bool(a == b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(_same(x, y) for x, y in zip(a, b, strict=True))
    return is_dataclass(a) and all(_same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def _cut(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _name(text: str) -> str:
    """A text as the name of a column, which holds no NUL."""
    return text.replace("\0", "␀")
