"""A Jinja template as a prompt, for loops and conditions that `{column}` cannot say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import polars as pl

from dreamframe.errors import ColumnNotFoundError, MissingExtraError, TemplateError
from dreamframe.models.request import RowContext
from dreamframe.prompts.base import Prompt, written

if TYPE_CHECKING:
    from jinja2 import nodes
    from jinja2.sandbox import ImmutableSandboxedEnvironment

DRAWING = ("random", "lipsum")  # other text each time: the question could never be found again
CLOCK = ("now", "utcnow", "today", "astimezone")  # methods of dates that read the clock, or where the machine stands
ADDRESS = re.compile(r"<[^<>]{1,200} at 0x[0-9a-fA-F]{4,}>")


@dataclass(frozen=True)
class Jinja(Prompt):
    """A Jinja template over the row's columns, run in Jinja's sandbox: no imports, no files, no private attributes, no chance.

    The columns read are found in the text itself, so a wrong one fails when the plan is built. Raises TemplateError for a template that Jinja cannot
    read; a row on which it fails is a failed row.

    One row gives one text, today and tomorrow, or its answer could not be found again. So there is no `random` and no `lipsum`: draw into a column
    first, with a seed. A row for which a function or a generator is written (`|map(...)` without `|list`) is a failed row.

    >>> ask = dr.Jinja("{% for w in words %}- {{ w }} {% endfor %}")
    >>> dr.frame({"words": [["tea", "rain"]]}).prompt(dr.testing.Echo(), ask).collect()["answer"].to_list()
    ['- tea - rain ']
    """

    text: str
    names: tuple[tuple[str, str], ...] = field(default=(), kw_only=True)  # (template's name, column), where they differ

    def __post_init__(self) -> None:
        self.columns  # noqa: B018  a template that cannot be read fails where it was written

    @cached_property
    def _environment(self) -> ImmutableSandboxedEnvironment:
        try:
            from jinja2 import StrictUndefined
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError as exc:
            raise MissingExtraError("jinja2", extra="local", needed_for="dr.Jinja") from exc
        made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
        for name in DRAWING:
            made.filters.pop(name, None)
            made.globals.pop(name, None)
        return made

    @cached_property
    def _variables(self) -> tuple[str, ...]:
        from jinja2 import TemplateSyntaxError, meta

        try:
            parsed = self._environment.parse(self.text)
            _refuse_chance(_filters(parsed))
            _refuse_clocks(parsed)
            undeclared = meta.find_undeclared_variables(parsed)
            _refuse_chance([(line, name) for line, name in _calls(parsed) if name in undeclared])
            return tuple(sorted(undeclared))
        except TemplateSyntaxError as exc:
            raise TemplateError(f"Jinja: line {exc.lineno}: {exc.message}") from exc

    @cached_property
    def columns(self) -> tuple[str, ...]:
        self._environment  # noqa: B018  tells first if the library is missing
        return tuple(dict(self.names).get(v, v) for v in self._variables)

    @property
    def summary(self) -> str:
        return f"Jinja({self.text[:40]!r})"

    def check(self, schema: pl.Schema, *, step: str) -> None:
        for column in self.columns:
            if column not in schema:
                raise ColumnNotFoundError(column, columns=schema.names(), step=step)

    async def rendered(self, rows: pl.DataFrame, ctx: RowContext) -> pl.Series:
        return written(rows.height, self._writer(rows), ctx)

    def render(self, rows: pl.DataFrame) -> pl.Series:
        write = self._writer(rows)
        return pl.Series("prompt", [write(i) for i in range(rows.height)], dtype=pl.String)

    def _writer(self, rows: pl.DataFrame) -> Callable[[int], str | None]:
        """A function that writes the prompt of the i-th row, or raises TemplateError."""
        compiled = self._environment.from_string(self.text)
        read = {v: rows.get_column(c).to_list() for v, c in zip(self._variables, self.columns, strict=True)}

        def write(i: int) -> str | None:
            values = {name: column[i] for name, column in read.items()}
            try:
                return None if any(v is None for v in values.values()) else _same_tomorrow(str(compiled.render(values)), self.text, values)
            except Exception as exc:  # a template is a program of the user's: it may fail in any way
                raise TemplateError(f"Jinja: the template fails on this row: {type(exc).__name__}: {exc}") from exc

        return write

    def renamed(self, names: Mapping[str, str]) -> Jinja:
        return replace(self, names=tuple((v, names.get(c, c)) for v, c in zip(self._variables, self.columns, strict=True)))


def _filters(template: nodes.Template) -> list[tuple[int, str]]:
    """(line, name) of each filter, also of those that `map` is given by name."""
    from jinja2 import nodes

    used = list(template.find_all(nodes.Filter))
    by_name = [(f.lineno, str(f.args[0].value)) for f in used if f.name == "map" and f.args and isinstance(f.args[0], nodes.Const)]
    return [*((f.lineno, str(f.name)) for f in used), *by_name]


def _calls(template: nodes.Template) -> list[tuple[int, str]]:
    from jinja2 import nodes

    return [(c.lineno, c.node.name) for c in template.find_all(nodes.Call) if isinstance(c.node, nodes.Name)]


def _refuse_clocks(template: nodes.Template) -> None:
    """Raise TemplateError for a method of dates that tells when or where the template runs."""
    from jinja2 import nodes

    for call in template.find_all(nodes.Call):
        if isinstance(call.node, nodes.Getattr) and call.node.attr in CLOCK and not call.args:
            raise TemplateError(
                f"Jinja: line {call.lineno}: .{call.node.attr}() gives another text tomorrow or elsewhere, so no answer could be found again. Make it a "
                "column first, and read that column."
            )


def _refuse_chance(used: list[tuple[int, str]]) -> None:
    """Raise TemplateError for a filter or a function that draws: each run would ask about another text."""
    for line, name in used:
        if name in DRAWING:
            raise TemplateError(
                f"Jinja: line {line}: {name!r} gives another text each time, so no answer could be found again. Draw into a column first, with a seed, "
                "and read that column."
            )


def _same_tomorrow(text: str, template: str, values: Mapping[str, object]) -> str:
    """The text, if it holds no address of a function or a generator: that is another one in every process."""
    if " at 0x" not in text:
        return text
    for address in ADDRESS.findall(text):
        if address not in template and not any(address in str(v) for v in values.values()):
            raise TemplateError(f"it writes {address!r}, which is another text in every process. Call the function, or put |list or |join behind the filter")
    return text
