"""A question with the documents that are nearest to it."""

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

LATER = {"instruction": None, "sep": "\n", "min_documents": 1, "max_documents": None, "context": None}  # no part of keys where they are as before


@dataclass(frozen=True)
class Rag(Prompt):
    r"""The k nearest documents, nearest first, then the question: `Document: d1\nDocument: d2\n\nQuestion: q`.

    Documents that do not fit into what the model reads are left out from the end, as examples of `dr.FewShot` are; fewer than `min_documents` fail the
    row, and no more than `max_documents` of the k are shown. `instruction` goes before them, `sep` between them. A label that is None is left out.

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
    document_label: str | None = field(default="Document:", kw_only=True)
    question_label: str | None = field(default="Question:", kw_only=True)
    instruction: str | None = field(default=None, kw_only=True)
    sep: str = field(default="\n", kw_only=True)
    min_documents: int = field(default=1, kw_only=True)
    max_documents: int | None = field(default=None, kw_only=True)
    context: int | None = field(default=None, kw_only=True)  # tokens of the prompt: a limit of the user's own, as in FewShot

    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2005.11401",)

    def __post_init__(self) -> None:
        need_counts("Rag", k=self.k, min_documents=self.min_documents, max_documents=self.max_documents, context=self.context)
        if self.k < 1:
            raise SettingError(f"Rag: k={self.k}; show one document or more.")
        need_texts("Rag", instruction=self.instruction, document_label=self.document_label, question_label=self.question_label)
        most = self.k if self.max_documents is None else min(self.k, self.max_documents)
        if not 0 <= self.min_documents <= most or most < 1 or not isinstance(self.sep, str):
            raise SettingError(f"Rag: k={self.k}, min_documents={self.min_documents} and max_documents={self.max_documents} do not go together.")
        object.__setattr__(self, "by", need_embedder(self.by, where="Rag"))
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
        return await in_room(lambda room: written(len(questions), lambda i: self._asked(questions[i], near[i], room), ctx), ctx)

    def _asked(self, question: str | None, found: list[int], room: Room) -> str | None:
        if question is None:
            return None
        if not found:
            raise SettingError("Rag: docs= has no document to show.")
        shown = [self.docs[i] for i in found[: self.max_documents]]
        least = min(self.min_documents, len(shown))
        prompt = room.longest(lambda n: self._prompt(question, shown[:n]), len(shown), least, self.context)
        if prompt is not None:
            return prompt
        raise ContextLengthError(
            f"Rag: with {least} documents the prompt has {len(self._prompt(question, shown[:least]))} characters, which is too much: "
            f"{room.told(self.context)}. Cut the documents into shorter ones, or lower min_documents= or max_tokens=."
        )

    def render(self, rows: pl.DataFrame) -> pl.Series:  # noqa: ARG002
        raise SettingError("Rag: the documents are found while the plan runs; it has no prompt before.")

    def _prompt(self, question: str, docs: list[str]) -> str:
        shown = [labelled(self.document_label, d) for d in docs]
        head = [self.instruction + self.sep] if self.instruction else []
        return self.sep.join([*head, *shown, (self.sep if head or shown else "") + labelled(self.question_label, question)])

    def key_fields(self) -> Mapping[str, object]:
        own = super().key_fields()
        return {name: value for name, value in own.items() if name not in LATER or value != LATER[name]}

    def renamed(self, names: Mapping[str, str]) -> Rag:
        return replace(self, question=names.get(self.question, self.question))
