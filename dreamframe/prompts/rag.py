"""A question with the documents that are nearest to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SettingError
from dreamframe.models.edges import Rows, as_edge
from dreamframe.models.embedders.base import need_embedder
from dreamframe.models.request import RowContext
from dreamframe.prompts import templates as template
from dreamframe.prompts.base import Prompt, written
from dreamframe.prompts.instruct import need_writable
from dreamframe.prompts.nearest import Pool


@dataclass(frozen=True)
class Rag(Prompt):
    r"""The k nearest documents, nearest first, then the question: `Document: d1\nDocument: d2\n\nQuestion: q`.

    `docs` is a frame (an edge of the plan) with a text column `text`; `by` is an embedder. After Lewis et al. 2020
    (https://arxiv.org/abs/2005.11401); the strings are DataDreamer's.

    >>> docs = dr.frame({"t": ["Tea is a drink.", "Bern is a town."]})
    >>> ask = dr.Rag(question="q", docs=docs, text="t", by=dr.testing.WordEmbedder(), k=1)
    >>> dr.frame({"q": ["What is tea?"]}).prompt(dr.testing.Echo(), ask).collect()["answer"].to_list()
    ['Document: Tea is a drink.\n\nQuestion: What is tea?']
    """

    question: str  # column
    docs: Any = field(kw_only=True)
    text: str = field(kw_only=True)  # column of the documents
    by: Any = field(kw_only=True)
    k: int = field(default=3, kw_only=True)
    document_label: str = field(default="Document:", kw_only=True)
    question_label: str = field(default="Question:", kw_only=True)

    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2005.11401",)

    def __post_init__(self) -> None:
        if self.k < 1:
            raise SettingError(f"Rag: k={self.k}; show one document or more.")
        need_embedder(self.by, where="Rag")
        object.__setattr__(self, "docs", as_edge(self.docs))
        if not isinstance(self.docs, Rows | tuple):
            raise SettingError(f"Rag: docs= is a frame, not a {type(self.docs).__name__}; make one with dr.frame(...).")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.question,)

    @property
    def inputs(self) -> tuple[Any, ...]:
        return (self.docs,) if isinstance(self.docs, Rows) else ()

    @property
    def models(self) -> tuple[Any, ...]:
        return (self.by,)

    @property
    def summary(self) -> str:
        return f"Rag({self.question!r}, {self.k} nearest by {self.by.label})"

    def check(self, schema: pl.Schema, *, step: str) -> None:
        need_writable(self.question, schema, step=step)
        for docs in self.inputs:
            if self.text not in docs.step.schema:
                raise ColumnNotFoundError(self.text, columns=docs.step.schema.names(), step=f"{step} (documents)")

    def bound(self, tables: tuple[pl.DataFrame, ...]) -> Prompt:
        return replace(self, docs=tuple(template.as_text(tables[0].get_column(self.text)).drop_nulls())) if tables else self

    async def rendered(self, rows: pl.DataFrame, ctx: RowContext) -> pl.Series:
        pool = ctx.once("documents", lambda: Pool(self.by, list(self.docs)))
        questions = template.as_text(rows.get_column(self.question)).to_list()
        near = await pool.nearest(questions, self.k, ctx)
        return written(len(questions), lambda i: self._asked(questions[i], near[i]), ctx)

    def _asked(self, question: str | None, found: list[int]) -> str | None:
        if question is None:
            return None
        if not found:
            raise SettingError("Rag: docs= has no document to show.")
        return self._prompt(question, [self.docs[i] for i in found])

    def render(self, rows: pl.DataFrame) -> pl.Series:  # noqa: ARG002
        raise SettingError("Rag: the documents are found while the plan runs; it has no prompt before.")

    def _prompt(self, question: str, docs: list[str]) -> str:
        shown = "\n".join(f"{self.document_label} {d}" for d in docs)
        return f"{shown}\n\n{self.question_label} {question}"

    def renamed(self, names: Mapping[str, str]) -> Rag:
        return replace(self, question=names.get(self.question, self.question))
