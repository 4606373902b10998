"""An instruction with worked examples: the same for all rows, or the nearest ones for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import ColumnNotFoundError, ContextLengthError, SettingError
from dreamframe.models.edges import Rows, as_edge
from dreamframe.models.embedders.names import need_embedder
from dreamframe.models.request import RowContext
from dreamframe.prompts import templates as template
from dreamframe.prompts.base import Prompt, written
from dreamframe.prompts.instruct import need_writable
from dreamframe.prompts.nearest import Pool
from dreamframe.prompts.room import Room, in_room, labelled, need_counts, need_texts


@dataclass(frozen=True)
class FewShot(Prompt):
    r"""Instruction, examples, then the row: `{i}\n\nInput: a\nOutput: b\n…\nInput: x\nOutput:`.

    `examples` is a frame with the columns `input` and `output` (an edge of the plan), or a list of dicts. With `k` and `by` (an embedder), each row is
    shown its k nearest examples, nearest first. `max_examples` cuts the pool. Examples that do not fit into what the model reads are left out from the
    end, counted by its own tokenizer, so that max_tokens= of an answer have room (256 or a quarter where none are set); fewer than `min_examples` fail
    the row. `context` (tokens of the prompt) is a limit of your own; for a model behind an API, whose tokenizer is not here, it is the only one, and a
    token is taken to have three characters. An instruction or a label that is None is left out.

    The technique is that of Brown et al. 2020 (https://arxiv.org/abs/2005.14165), nearest examples that of Liu et al. 2021
    (https://arxiv.org/abs/2101.06804); the strings are DataDreamer's.

    >>> shots = [{"en": "tea", "de": "Tee"}]
    >>> ask = dr.FewShot("Translate.", input="en", output="de", examples=shots)
    >>> dr.frame({"en": ["rain"]}).prompt(dr.testing.Echo(), ask).collect()["answer"].to_list()
    ['Translate.\n\nInput: tea\nOutput: Tee\nInput: rain\nOutput:']
    """

    instruction: str | None
    input: str = field(kw_only=True)  # column, of the rows and of the examples
    output: str = field(kw_only=True)  # column of the examples
    examples: Any = field(kw_only=True)
    k: int | None = field(default=None, kw_only=True)
    by: Any = field(default=None, kw_only=True)  # an embedder
    max_examples: int | None = field(default=None, kw_only=True)
    min_examples: int = field(default=1, kw_only=True)
    context: int | None = field(default=None, kw_only=True)  # tokens
    input_label: str | None = field(default="Input:", kw_only=True)
    output_label: str | None = field(default="Output:", kw_only=True)
    sep: str = field(default="\n", kw_only=True)
    source_input: str | None = field(default=None, kw_only=True)  # the examples' column, where the rows' has another name

    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2005.14165", "https://arxiv.org/abs/2101.06804")

    def __post_init__(self) -> None:
        need_texts("FewShot", instruction=self.instruction, input_label=self.input_label, output_label=self.output_label)
        need_counts("FewShot", k=self.k, min_examples=self.min_examples, max_examples=self.max_examples, context=self.context)
        if (self.k is None) != (self.by is None):
            raise SettingError("FewShot: k= and by= belong together: the number of nearest examples, and the embedder that finds them.")
        if self.by is not None:
            need_embedder(self.by, where="FewShot")
        if self.min_examples < 0 or (self.k is not None and self.k < max(1, self.min_examples)):
            raise SettingError(f"FewShot: k={self.k} and min_examples={self.min_examples} do not go together; show each row at least min_examples.")
        object.__setattr__(self, "examples", as_edge(self.examples))
        if not isinstance(self.examples, Rows):
            pairs = [(e[self._source], e[self.output]) for e in _rows(self.examples, self._source, self.output)]
            rows = tuple((str(a), str(b)) for a, b in pairs if a is not None and b is not None)  # as of a frame: half an example shows nothing
            object.__setattr__(self, "examples", rows)

    @property
    def _source(self) -> str:
        return self.source_input or self.input

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.input,)

    @property
    def inputs(self) -> tuple[Any, ...]:
        return (self.examples,) if isinstance(self.examples, Rows) else ()

    @property
    def models(self) -> tuple[Any, ...]:
        return (self.by,) if self.by is not None else ()

    @property
    def summary(self) -> str:
        how = f", {self.k} nearest by {self.by.label}" if self.k else ""
        return f"FewShot({(self.instruction or '')[:40]!r}, input={self.input!r}{how})"

    def check(self, schema: pl.Schema, *, step: str) -> None:
        need_writable(self.input, schema, step=step)
        for pool in self.inputs:
            for column in (self._source, self.output):
                if column not in pool.step.schema:
                    raise ColumnNotFoundError(column, columns=pool.step.schema.names(), step=f"{step} (examples)")

    def bound(self, tables: tuple[pl.DataFrame, ...]) -> Prompt:
        if not tables:
            return self
        pool = tables[0].select(template.as_text(tables[0].get_column(c)).alias(n) for c, n in ((self._source, "input"), (self.output, "output")))
        return replace(self, examples=tuple(pool.drop_nulls().iter_rows()))

    async def rendered(self, rows: pl.DataFrame, ctx: RowContext) -> pl.Series:
        pairs = self._pairs()
        texts = template.as_text(rows.get_column(self.input)).to_list()
        if self.by is None:
            chosen = [pairs] * len(texts)
        else:
            pool = ctx.once("pool of examples", lambda: Pool(self.by, [source for source, _ in pairs]))
            near = await pool.nearest(texts, self.k or 1, ctx)
            chosen = [[pairs[i] for i in found] for found in near]
        return await in_room(lambda room: written(len(texts), lambda i: self._fitted(texts[i], chosen[i], room), ctx), ctx)

    def render(self, rows: pl.DataFrame) -> pl.Series:
        pairs, texts = self._pairs(), template.as_text(rows.get_column(self.input)).to_list()
        return pl.Series("prompt", [self._fitted(t, pairs, Room()) for t in texts], dtype=pl.String)

    def _pairs(self) -> list[tuple[str, str]]:
        return list(self.examples)[: self.max_examples]

    def _fitted(self, text: str | None, shots: list[tuple[str, str]], room: Room) -> str | None:
        """The prompt with as many of the examples, from the first, as the context allows."""
        if text is None:
            return None
        if len(shots) < self.min_examples:
            raise SettingError(f"FewShot: there are {len(shots)} examples, and min_examples={self.min_examples}. Give more, or lower min_examples=.")
        prompt = room.longest(lambda n: self._prompt(text, shots[:n]), len(shots), self.min_examples, self.context)
        if prompt is not None:
            return prompt
        raise ContextLengthError(
            f"FewShot: with min_examples={self.min_examples} the prompt has {len(self._prompt(text, shots[: self.min_examples]))} characters, which is too "
            f"much: {room.told(self.context)}. Shorten the examples, raise context=, or lower min_examples= or max_tokens=."
        )

    def _prompt(self, text: str, shots: list[tuple[str, str]]) -> str:
        lines = [f"{labelled(self.input_label, a)}{self.sep}{labelled(self.output_label, b)}" for a, b in shots]
        last = [labelled(self.input_label, text), *([self.output_label] if self.output_label else [])]
        return (f"{self.instruction}\n\n" if self.instruction else "") + self.sep.join([*lines, *last])

    def renamed(self, names: Mapping[str, str]) -> FewShot:
        return replace(self, input=names.get(self.input, self.input), source_input=self._source)


def _rows(examples: Any, *columns: str) -> list[Mapping[str, Any]]:
    if isinstance(examples, (list, tuple)) and all(isinstance(e, Mapping) for e in examples):
        if any(c not in e for e in examples for c in columns):
            raise SettingError(f"FewShot: every example needs {' and '.join(map(repr, columns))}.")
        return list(examples)
    if isinstance(examples, (list, tuple)) and all(isinstance(e, tuple) and len(e) == len(columns) for e in examples):
        return [dict(zip(columns, e, strict=True)) for e in examples]  # already frozen
    raise SettingError(f"FewShot: examples= is a frame or a list of dicts, not a {type(examples).__name__}.")
