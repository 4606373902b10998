"""Find the nearest documents for each row: the steps behind `df.retrieve(...)`."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dreamframe.errors import DreamframeError, MissingExtraError, SettingError
from dreamframe.models import vectors
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.request import RowContext
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import Step, TableStep, step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.embed import Embed, Embedding
from dreamframe.prompts import templates as template

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

VECTOR, TEXT, GRAPH = "vector", "text", "graph"  # columns of documents that are searched in
INDEXES = ("exact", "usearch")
# Of the usearch graph: neighbours looked at while it is built and searched. More find more of the true nearest, and take longer.
EXPANSION_ADD, EXPANSION_SEARCH = 128, 96


def documents(below: Step, text: str, by: Embedder, *, index: str, label: str = "documents") -> Step:
    """The documents of a frame with their vectors, and a graph over them if the index is approximate. Null texts have null vectors."""
    column = pl.col(text) if below.schema[text] == pl.String else pl.col(text).cast(pl.String)
    texts = relational("select", inputs=(below,), args=([column.alias(TEXT)],), name=label)
    embedded = Embed.over(texts, by, column=TEXT, into=VECTOR, name=label)
    return embedded if index == "exact" else SearchGraph(inputs=(embedded,), name=label)


@step
class SearchGraph(TableStep):
    """A navigable small-world graph over vectors, in the first row of a column: kept in the session, read back with the vectors."""

    is_expensive: ClassVar[bool] = True
    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/1603.09320",)

    @property
    def label(self) -> str:
        return self.name or "index"

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {GRAPH: pl.Binary()})

    def describe(self) -> str:
        return f"SEARCH GRAPH over {VECTOR} (usearch)"

    def missing(self) -> tuple[DreamframeError, ...]:
        return () if importlib.util.find_spec("usearch") else (no_usearch(),)

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        import asyncio

        rows = tables[0]
        graph = await asyncio.to_thread(self._graph, rows) if rows.height else None
        return rows.with_columns(pl.Series(GRAPH, [graph] + [None] * (rows.height - 1), dtype=pl.Binary)[: rows.height])

    def _graph(self, rows: pl.DataFrame) -> bytes:
        import numpy as np

        kept = rows.with_row_index("row").filter(pl.col(VECTOR).is_not_null())
        graph = empty_graph(kept.schema[VECTOR].shape[0])  # type: ignore[attr-defined]
        if kept.height:  # one thread: the graph is the same every time
            graph.add(np.arange(kept.height, dtype=np.uint64), vectors.unit(vectors.rows_of(kept[VECTOR])), threads=1)
        return bytes(graph.save())


def empty_graph(dim: int) -> Any:
    """An index of usearch over unit vectors."""
    try:
        from usearch.index import Index
    except ImportError as exc:
        raise no_usearch() from exc
    return Index(ndim=dim, metric="ip", dtype="f32", expansion_add=EXPANSION_ADD, expansion_search=EXPANSION_SEARCH)


def no_usearch() -> MissingExtraError:
    return MissingExtraError("usearch", extra="embed", needed_for="retrieve(index='usearch')")


class Documents:
    """Documents that can be searched: texts, positions in their frame, unit vectors. Belongs to one run."""

    def __init__(self, table: pl.DataFrame) -> None:
        kept = table.with_row_index("index").filter(pl.col(VECTOR).is_not_null())
        self.texts, self.positions = kept[TEXT], kept["index"]
        self._vectors = vectors.unit(vectors.rows_of(kept[VECTOR]))
        self._graph: Any = None
        if GRAPH in table.columns and table.height:
            self._graph = empty_graph(self._vectors.shape[1])
            self._graph.load(table[GRAPH][0])

    def hits(self, queries: pl.Series, k: int) -> pl.Series:
        """For each query vector (none null) a list of structs, nearest first."""
        found, scores = self._nearest(vectors.unit(vectors.rows_of(queries)), min(k, len(self.texts)))
        at = pl.Series(found.ravel(), dtype=pl.UInt32)
        flat = pl.DataFrame({"text": self.texts.gather(at), "score": pl.Series(scores.ravel().clip(-1, 1)), "index": self.positions.gather(at)})
        if not found.size:
            return pl.Series([[]] * len(queries), dtype=pl.List(HIT))
        return flat.to_struct("hits").reshape(found.shape).arr.to_list()

    def _nearest(self, queries: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        wanted = min(len(self.texts), k + vectors.SPARE)
        if self._graph is None or wanted == len(self.texts) or not len(queries):
            return vectors.nearest(queries, self._vectors, k)
        matches = self._graph.search(queries, wanted, threads=1)
        if min(getattr(matches, "counts", [len(matches)])) < wanted:  # a graph in pieces
            return vectors.nearest(queries, self._vectors, k)
        return vectors.ranked(queries, self._vectors, matches.keys.reshape(len(queries), wanted).astype("int64"), k)


HIT = pl.Struct({"text": pl.String, "score": pl.Float32, "index": pl.UInt32})


@step
class Retrieve(Embedding):
    """The k nearest documents, nearest first. The second input holds the documents with their vectors."""

    query: str
    text: str  # column of the documents' frame
    into: str = "hits"
    k: int = 5

    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2004.04906",)

    def check(self) -> None:
        if self.k < 1:
            raise SettingError(f"{self.where}: k={self.k}; ask for one document or more.")
        if (found := self.inputs[1].schema[VECTOR]) != pl.Array(pl.Float32, self.by.dim):
            raise SettingError(f"{self.where}: by= gives vectors of {self.by.dim} numbers, but the documents' are {found}: take embedders of one model.")
        super().check()

    def reads(self) -> frozenset[str]:
        return frozenset({self.query})

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.List(HIT)})

    def describe(self) -> str:
        return f"RETRIEVE {self.into}: {self.k} nearest {self.text!r} ← {self.by.label} {self.query!r}"

    async def prepare(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> None:
        import asyncio

        documents = await asyncio.to_thread(Documents, tables[0])
        ctx.once("documents", lambda: documents)

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        import asyncio

        documents: Documents = ctx.once("documents", lambda: Documents(pl.DataFrame()))
        queries = await self.vectors_of(template.as_text(rows.get_column(self.query)), ctx, rows=rows.height)
        asked = pl.DataFrame({"query": queries}).with_row_index("row").filter(pl.col("query").is_not_null())
        hits = await asyncio.to_thread(documents.hits, asked["query"], self.k)
        made = pl.DataFrame({"row": asked["row"], self.into: hits}, schema_overrides={self.into: pl.List(HIT)})
        every = pl.DataFrame({"row": pl.Series(range(rows.height), dtype=pl.UInt32)})
        return rows.with_columns(every.join(made, on="row", how="left", maintain_order="left")[self.into])

    async def run_again(self, rows: pl.DataFrame, ctx: RowContext, hits: pl.Series) -> pl.DataFrame:
        """The same rows, where the hits are known: the queries alone are asked."""
        await self.vectors_of(template.as_text(rows.get_column(self.query)), ctx, rows=rows.height)
        return rows.with_columns(hits.alias(self.into))
