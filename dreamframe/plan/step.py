"""A step of a plan: a frozen record whose fields are its identity, in one of a few shapes that the engines know."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import polars as pl

from dreamframe.errors import ColumnNotFoundError, DreamframeError, DuplicateColumnError, need_name, one_of
from dreamframe.identity.fingerprint import fingerprint, parts, reads_files
from dreamframe.identity.whose_code import is_library
from dreamframe.models.authority import Authority, lent, reached
from dreamframe.models.base import LLM, ModelSettings
from dreamframe.models.provenance import Provenance
from dreamframe.models.request import RowContext
from dreamframe.plan.record import runtime as runtime  # noqa: PLC0414  steps find both here
from dreamframe.plan.record import step as step  # noqa: PLC0414
from dreamframe.plan.schemas import are_same, check_names

if TYPE_CHECKING:
    from dreamframe.store.sources import SourceContext

S = TypeVar("S", bound="Step")
OnError = Literal["raise", "null", "drop"]
ON_ERROR: tuple[OnError, ...] = ("raise", "null", "drop")  # what becomes of a row that fails
Rows = Literal["same", "fewer", "other"]
Memo = dict[Any, Any]  # what one walk over a plan has computed: steps and their keys by id(step), digests of files


@step
class Step(ABC):
    """A node of the plan. `inputs` are its edges; `name` is a label and re-runs nothing when it changes.

    The schema is computed when the step is made, so that a wrong column fails on the line that wrote it.

    A step of your own is made from one of the shapes below, mostly dr.RowStep: docs/how/own-trainer.md.

    >>> isinstance(dr.frame({"a": [1]}).step, dr.Step)
    True
    """

    inputs: tuple[Step, ...] = ()
    name: str | None = runtime(default=None)
    authority: Authority | None = lent()  # what a plan that was read may reach; None: the user wrote it
    cited: tuple[tuple[str, str], ...] = field(default=(), metadata={"runtime": True, "is_written_if_given": True})  # what df.cite said, for the cards

    version: ClassVar[int] = 1  # raised when the meaning of the step changes
    is_expensive: ClassVar[bool] = False  # whether its output is worth keeping: it asked a model, ran a user's function or trained
    is_reported: ClassVar[bool] = False  # whether its rows are figures of an evaluation, which the log of the run tells
    cites: ClassVar[tuple[str, ...]] = ()  # papers of the technique, for the cards
    needs_real: ClassVar[bool] = False  # whether it decides by what is answered, so that a look without asking holds no other answer for it
    stays: ClassVar[tuple[str, ...]] = ()  # what was computed of its own fields alone, by name: it is the same over other inputs
    made_from: ClassVar[Step | None] = None  # of a step that `but` made: the one that it was made from

    def __post_init__(self) -> None:
        self.schema  # noqa: B018  a wrong plan fails here

    @cached_property
    def schema(self) -> pl.Schema:
        """Names and types of the columns this step gives."""
        self.check()
        made = self.output_schema()
        check_names(made, of=self.inputs[0].schema if self.inputs else {}, step=self.label)
        return made

    def check(self) -> None:
        """Raise a PlanError where the inputs cannot serve this step."""
        for column in sorted(self.reads() or ()):
            self.need(column)

    def need(self, column: str, *, of: int = 0) -> pl.DataType:
        """The type of an input's column, or ColumnNotFoundError."""
        have = self.inputs[of].schema
        if column not in have:
            raise ColumnNotFoundError(column, columns=have.names(), step=self.label)
        return have[column]

    def adds(self, *columns: str) -> None:
        """Raise DuplicateColumnError where a new column exists already or is named twice."""
        have = self.inputs[0].schema
        for i, column in enumerate(columns):
            need_name(column, step=self.where)
            if column in have or column in columns[:i]:
                raise DuplicateColumnError(
                    f"{self.label}: column {column!r} exists already. Give the new one another name with into=, "
                    f"or drop the old one first: .drop({column!r})."
                )

    # Traits: what rules, explain and engines ask instead of the class. What a step does not say counts as everything.

    def reads(self) -> frozenset[str] | None:
        """The columns of the first input that its rows depend on, or that it names; None: any of them."""
        return None

    def passes(self) -> Mapping[str, str]:
        """Output column → the column of the first input whose values it has, row for row, as far as these rows are left."""
        return {}

    def writes(self) -> tuple[str, ...]:
        """The output columns that are new, or not what the input's column of this name is."""
        passed = self.passes()
        return tuple(c for c in self.schema if passed.get(c) != c)

    @property
    def rows(self) -> Rows:
        """Which rows it gives: one for each row of the first input, in their order ("same"); some of them, in their order ("fewer"); or any ("other")."""
        return "other"

    @property
    def is_streamed(self) -> bool:
        """Whether it may be run on each batch of rows by itself, with the same rows in the same order."""
        return False

    @property
    def needs_order(self) -> bool:
        """Whether what a row gets depends on the rows before it: samples of equal requests are numbered from the first row on."""
        return True

    def n_out(self, *n_in: int | None) -> int | None:
        """How many rows it gives when its inputs give so many; None: not known before it runs."""
        return n_in[0] if self.rows == "same" and n_in else None

    def but(self, **changes: Any) -> Self:
        """The same step with other values in some fields."""
        made = replace(self, **changes)
        object.__setattr__(made, "made_from", self)
        return made

    @abstractmethod
    def output_schema(self) -> pl.Schema:
        """Names and types of the columns this step gives, from those of its inputs."""

    def citations(self) -> tuple[str, ...]:
        """Papers of all techniques that this step uses, for the cards."""
        return self.cites

    def provenance(self) -> tuple[Provenance, ...]:
        """For a source: the data sets that it reads, for the cards. Models and prompts among the fields speak for themselves."""
        return ()

    @property
    def reads_files(self) -> bool:
        """Whether its rows depend on files that its key does not know: those that rows name, or that a function opens. Its output is then not kept."""
        return reads_files(self.functions())

    def functions(self) -> object:
        """What it holds of the user's own code, for `reads_files`. A step class of the user's own is such code."""
        return None if is_library(type(self)) else type(self)

    def models(self) -> tuple[ModelSettings, ...]:
        """The models that it asks, the one that its progress is shown under first. What a step does not say: all that stand in its fields."""
        held = [getattr(self, f.name) for f in fields(self)]
        return tuple(v for h in held for v in (h if isinstance(h, tuple) else (h,)) if isinstance(v, ModelSettings))

    def asks(self) -> tuple[ModelSettings, ...]:
        """All that its requests go to: the models, and what else is called for its rows. An engine finds by it whom a request from afar is for."""
        return self.models()

    def missing(self) -> tuple[DreamframeError, ...]:
        """What this machine lacks to run it, beside what its models lack: libraries. Opens and loads nothing."""
        return ()

    @property
    def label(self) -> str:
        """What progress and failures call this step."""
        return self.name or type(self).__name__.lower()

    @property
    def where(self) -> str:
        """What errors in its settings call this step."""
        return self.label

    def describe(self) -> str:
        """One line for explain()."""
        return type(self).__name__.upper()

    def explained(self) -> str:
        """The line of explain(): what `describe` says, and the addresses and whole paths that the step reaches for. It is shown, and never kept."""
        places = dict.fromkeys(place for f in fields(self) if f.name != "inputs" for place in reached(getattr(self, f.name)))
        return " at ".join((self.describe(), *places))

    def key_fields(self) -> Mapping[str, object]:
        """The fields that identify this step besides its inputs."""
        return {name: getattr(self, name) for name in _identifying(type(self))}

    def key_parts(self, memo: Memo | None = None) -> dict[str, str]:
        """Field → short digest: what went into the key besides the inputs, to see which part of two keys differs."""
        content = self._content({} if memo is None else memo)
        return {**parts(self), **({} if content is None else {"content": content[:12]})}

    def _content(self, memo: Memo) -> str | None:
        """The content as one walk sees it: as it was when it was first asked for."""
        if ("content", id(self)) not in memo:
            memo["content", id(self)] = self, self.content(memo)
        found: str | None = memo["content", id(self)][1]
        return found

    def content(self, memo: Memo) -> str | None:  # noqa: ARG002  sources use it
        """For a source: the digest of its rows as they are now; for a training, that of the weights it names. None for every other step."""
        return None

    def key(self, memo: Memo) -> str:
        """32 hex characters: this step over these inputs over the sources' content of this moment.

        `memo` belongs to one walk, since a file may change between two runs of one plan. It keeps the steps alive whose keys it knows: the id of one
        that is gone could be given to another.
        """
        waiting: list[Step] = [] if id(self) in memo else [self]
        while waiting:  # inputs first: a plan may be deeper than Python's stack; never below what is known: rules make step after step over one plan
            if unknown := [i for i in waiting[-1].inputs if id(i) not in memo]:
                waiting += reversed(unknown)
            elif id(node := waiting.pop()) not in memo:
                memo[id(node)] = node, node.key_now(memo)
        return str(memo[id(self)][1])

    def key_now(self, memo: Memo) -> str:
        """The key, made anew: another one where the weights that a field names were replaced since."""
        return fingerprint((self, [i.key(memo) for i in self.inputs], self._content(memo)))

    def walk(self) -> list[Step]:
        """This step and all below it, each once, inputs before the steps that read them."""
        seen: dict[int, Step] = {}
        waiting: list[tuple[Step, bool]] = [(self, False)]
        while waiting:
            node, has_inputs = waiting.pop()
            if has_inputs:
                seen.setdefault(id(node), node)
            elif id(node) not in seen:
                waiting.append((node, True))
                waiting += [(i, False) for i in reversed(node.inputs)]
        return list(seen.values())

    def rebuilt(self, change: Callable[[Step], Step]) -> Step:
        """The plan with every step put through `change`, inputs first; a step whose inputs did not change is handed over as it is."""
        done: dict[int, Step] = {}
        for node in self.walk():
            done[id(node)] = change(node.with_inputs([done[id(i)] for i in node.inputs]))
        return done[id(self)]

    def with_inputs(self, inputs: Sequence[Step]) -> Step:
        """The same step over other inputs."""
        if [*map(id, inputs)] == [*map(id, self.inputs)]:
            return self
        if type(self).__post_init__ in (Step.__post_init__, RowStep.__post_init__) and (schema := self.schema_over(inputs)) is not None:
            return unchecked(type(self), self, inputs=tuple(inputs), schema=schema)  # what is over such columns was checked when this step was made
        return self.but(inputs=tuple(inputs))

    def schema_over(self, inputs: Sequence[Step]) -> pl.Schema | None:
        """The columns it gives over other inputs; None where that is to be found out and checked. Here: over inputs of the same columns, the same."""
        has_same = len(inputs) == len(self.inputs) and all(are_same(a.schema, b.schema) for a, b in zip(inputs, self.inputs, strict=True))
        return self.schema if has_same else None


def unchecked(kind: type[S], one: Step, **own: Any) -> S:
    """A step with the fields of another, but for `own`, among them its inputs and its schema. Its settings were checked when that one was made."""
    stay = _staying(type(one))
    made = object.__new__(kind)
    vars(made).update({name: value for name, value in vars(one).items() if name in stay}, made_from=one, **own)
    return made


@cache
def own_fields(kind: type[Step]) -> tuple[str, ...]:
    """The names of the fields of a kind of step, besides its inputs."""
    return tuple(f.name for f in fields(kind) if f.name != "inputs")


@cache
def _identifying(kind: type[Step]) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind) if f.name != "inputs" and not f.metadata.get("runtime"))


@cache
def _staying(kind: type[Step]) -> frozenset[str]:
    return frozenset((*own_fields(kind), *kind.stays))


def kept_columns(step: Step) -> dict[str, str]:
    """What `passes` says of a step that only adds columns, or only takes some away: those of the input's names and types are the input's."""
    have = step.inputs[0].schema
    return {c: c for c, dtype in step.schema.items() if have.get(c) == dtype}


@step
class Source(Step):
    """Makes rows out of files or memory."""

    @abstractmethod
    def lazy(self) -> pl.LazyFrame:
        """The rows, in their order."""

    def read(self, ctx: SourceContext) -> pl.LazyFrame:  # noqa: ARG002  sources that are far away use it
        """The rows, as a run reads them."""
        return self.lazy()

    def first(self, n: int) -> Source:  # noqa: ARG002  sources that are far away use it
        """The same source where no more than its first n rows are needed."""
        return self


@step
class PolarsStep(Step):
    """Work that polars does: a function from lazy frames to a lazy frame. Adjacent ones run as one polars query."""

    @abstractmethod
    def apply(self, *frames: pl.LazyFrame) -> pl.LazyFrame:
        """The query over the inputs' queries."""

    @property
    def needs_order(self) -> bool:
        return not self.is_streamed

    def output_schema(self) -> pl.Schema:
        return self.apply(*(pl.LazyFrame(schema=i.schema) for i in self.inputs)).collect_schema()


@step
class RowStep(Step):
    """Each output row depends on one input row (of the first input). Runs on small batches that stream through the plan.

    `output_schema()` is asked when the plan is built, `run(rows, ctx)` for each batch; `dr.step` shows a whole one.

    >>> issubclass(dr.RowStep, dr.Step)
    True
    """

    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        one_of(self.on_error, ON_ERROR, "on_error", where=self.where)  # here, where no `check` of a subclass leaves it out
        super().__post_init__()

    @abstractmethod
    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        """Rows in, rows out, in order. A row that fails goes to `ctx.fail(position, failure)` and gets nulls: `on_error` decides the rest."""

    @property
    def rows(self) -> Rows:
        return "fewer" if self.on_error == "drop" else "same"

    @property
    def is_streamed(self) -> bool:
        return True

    @property
    def needs_order(self) -> bool:
        """Whether batches number their requests in input order. A step of the user's own does unless it says otherwise: whom it asks cannot be seen."""
        return not is_library(type(self)) or any(isinstance(model, LLM) and not model.sampling.is_greedy for model in self.models())

    @property
    def width(self) -> int:
        """Rows that this step likes to have in flight."""
        return 256

    async def prepare(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> None:  # most steps have one input
        """Called once before the first batch, with the rows of the inputs after the first."""


@step
class TableStep(Step):
    """Needs all rows of its inputs before it gives the first."""

    @abstractmethod
    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:
        """Whole tables in, one table out, in a defined order."""


@step
class RoundsStep(Step):
    """Takes rows of its input in rounds, until it has enough: the engine runs the row steps below for so many rows at a time, and no more."""

    @abstractmethod
    def next_round(self, seen: int, kept: int) -> int:
        """How many further rows the row steps below are given, when `seen` rows have given `kept`; 0 ends it."""

    @abstractmethod
    def enough(self, rows: pl.DataFrame, seen: int | None) -> pl.DataFrame:
        """The output, from all rows that were kept of `seen` (None: nothing was asked row by row, these are all there are)."""


@step
class ModelStep(Step):
    """Trains an artefact from the rows of its inputs. Its output schema is empty: it gives a folder, not rows."""

    is_expensive: ClassVar[bool] = True

    def output_schema(self) -> pl.Schema:
        return pl.Schema()
