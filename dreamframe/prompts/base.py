"""What can be asked: the interface of prompt values, and the plain one, a template. One kind of prompt a file beside this one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import DreamframeError, NotAllowedError, SettingError
from dreamframe.models.edges import Edge, as_edge, numbered
from dreamframe.models.habits import Settings, called, described
from dreamframe.models.request import Failure, Form, RowContext
from dreamframe.prompts import templates


class Prompt(Settings, ABC):
    """A frozen record that turns rows into prompts. A subclass is a frozen dataclass; all its fields are part of the step's identity."""

    form: ClassVar[Form] = "text"  # "messages": the strings are JSON arrays of chat messages
    cites: ClassVar[tuple[str, ...]] = ()  # papers of the technique, for the cards

    @staticmethod
    def of(value: object, *, step: str) -> Prompt:
        """A prompt value as it is, a string as a template. Raises TemplateError or SettingError."""
        if isinstance(value, str):
            return Template.parsed(value, step=step)
        if isinstance(value, Prompt):
            return value
        way = called(value) or _way(value)
        raise SettingError(f"{step}: a prompt is a template string or a prompt value such as dr.Instruct(...), not {described(value)}.{way}")

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns of the row that the prompt reads."""

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The frames among its fields whose rows the prompt reads besides the row's own (an example pool, documents): edges of the plan."""
        return ()

    @property
    def models(self) -> tuple[Any, ...]:
        """Models that are asked before the prompt is whole, such as an embedder."""
        return ()

    def reads_files(self, schema: pl.Schema) -> bool:  # noqa: ARG002  prompts with images use it
        """Whether rows of this schema name files that go into what is asked."""
        return False

    def key_fields(self) -> Mapping[str, object]:
        """What a step's fingerprint sees: every field, with the frames it reads as edges of the plan."""
        edges = as_edge(tuple(self.inputs))
        held = {f.name: as_edge(getattr(self, f.name)) for f in fields(self) if not f.metadata.get("runtime")}  # type: ignore[arg-type]
        return {name: numbered(v, edges) if isinstance(v, Edge) else v for name, v in held.items()}

    @property
    @abstractmethod
    def summary(self) -> str:
        """The prompt in a few words, for explain()."""

    @abstractmethod
    def check(self, schema: pl.Schema, *, step: str) -> None:
        """Raise a PlanError where rows of this schema cannot be asked about."""

    def bound(self, tables: tuple[pl.DataFrame, ...]) -> Prompt:  # noqa: ARG002  prompts over frames use them
        """The prompt with the rows of its `inputs`, as a run collected them."""
        return self

    def with_labels(self, labels: Sequence[str]) -> Prompt:  # noqa: ARG002  a question that names them uses them
        """The prompt, once the labels are known that its answer may be."""
        return self

    async def rendered(self, rows: pl.DataFrame, ctx: RowContext) -> pl.Series:  # noqa: ARG002  prompts that retrieve ask an embedder first
        """One string a row, with whatever must be asked of other models first."""
        return self.render(rows)

    @abstractmethod
    def render(self, rows: pl.DataFrame) -> pl.Series:
        """One string a row; null where a column that is read is null."""

    @abstractmethod
    def renamed(self, names: Mapping[str, str]) -> Prompt:
        """The same prompt, reading columns under other names."""


@dataclass(frozen=True)
class Template(Prompt):
    """Text in which `{column}` stands for a column's value.

    >>> Template("Sum up {body}.").columns
    ('body',)
    """

    text: str

    @classmethod
    def parsed(cls, text: str, *, step: str) -> Template:
        """A template that was read once, so that a mistake in it is told with the step's name."""
        templates.pieces(text, step)
        return cls(text)

    @property
    def columns(self) -> tuple[str, ...]:
        return templates.columns(self.text)

    @property
    def summary(self) -> str:
        return repr(self.text if len(self.text) <= 60 else self.text[:59] + "…")

    def check(self, schema: pl.Schema, *, step: str) -> None:
        templates.check(self.text, schema, step=step)

    def render(self, rows: pl.DataFrame) -> pl.Series:
        return templates.render(self.text, rows)

    def renamed(self, names: Mapping[str, str]) -> Template:
        return replace(self, text=templates.renamed(self.text, names))


def _way(value: object) -> str:
    """What to write for what is not a prompt."""
    if isinstance(value, list):
        return " Messages of a chat: dr.Chat([('system', 'Be brief.'), ('user', 'Sum up {text}')])."
    if isinstance(value, pl.Expr):
        return " Expressions go in by name: dr.prompt(llm, 'Sum up {t}', t=pl.col('text').str.head(100))."
    return " Text that a function makes: make it a column with df.map first, and ask '{column}'." if callable(value) and not isinstance(value, type) else ""


def written(n_rows: int, write: Callable[[int], str | None], ctx: RowContext) -> pl.Series:
    """The prompt of each row, one by one: a row whose prompt cannot be written is a failed row, and the others are asked.

    Rows that failed already (no neighbours were found for them) are left out.
    """
    made: list[str | None] = [None] * n_rows
    for position in range(n_rows):
        if position in ctx.failures:
            continue
        try:
            made[position] = write(position)
        except NotAllowedError:
            raise  # what a plan may not reach does not depend on the row
        except (DreamframeError, OSError) as exc:
            ctx.fail(position, Failure.of(exc, request="(its prompt could not be written)", attempts=0))
    return pl.Series("prompt", made, dtype=pl.String)
