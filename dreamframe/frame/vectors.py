"""Verbs that ask embedders: vectors, likeness, retrieval, near-duplicates, clusters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self, TypeVar

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SchemaError, SettingError, need_name, one_of
from dreamframe.frame.base import Verbs, whole
from dreamframe.identity.owned import own_expr
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.embedders.names import need_embedder
from dreamframe.models.habits import described
from dreamframe.models.vectors import cosine
from dreamframe.plan.model_columns import VectorColumn, model_column
from dreamframe.plan.step import OnError
from dreamframe.plan.steps.embed import Embed, Similarity, need_string, need_vectors
from dreamframe.plan.steps.group import Cluster, DedupLetters, DedupVectors
from dreamframe.plan.steps.retrieve import INDEXES, Retrieve, documents


def embed(embedder: Embedder | str, column: str | pl.Expr, into: str = "embedding", *, on_error: OnError = "raise", name: str | None = None) -> pl.Expr:
    """Make the vector of a text, as a polars expression for any verb of a dreamframe. The text is a column or an expression.

    >>> words = dr.testing.WordEmbedder(size=3)
    >>> dr.frame({"t": ["TEA"]}).select(dr.embed(words, pl.col("t").str.to_lowercase()).arr.sum()).to_dicts()
    [{'embedding': 1.0}]
    """
    return _column(Embed, embedder, {"column": column}, into=into, on_error=on_error, name=name)


def similarity(
    a: str | pl.Expr, b: str | pl.Expr, *, by: Embedder | str, into: str = "similarity", on_error: OnError = "raise", name: str | None = None
) -> pl.Expr:
    """Make the cosine of the vectors of two texts, as a polars expression for any verb of a dreamframe. A text is a column or an expression.

    >>> words, df = dr.testing.WordEmbedder(), dr.frame({"t": ["hot tea", "rain"]})
    >>> df.filter(dr.similarity("t", pl.lit("cold tea"), by=words) > 0.4).to_dicts()
    [{'t': 'hot tea'}]
    """
    return _column(Similarity, by, {"a": a, "b": b}, into=into, on_error=on_error, name=name)


def _column(kind: type[Embed] | type[Similarity], by: Embedder | str, texts: Mapping[str, str | pl.Expr], *, into: str, **settings: Any) -> pl.Expr:
    need_name(into, step=settings["name"] or kind.__name__.lower())
    by = need_embedder(by, where=settings["name"] or kind.__name__.lower())
    reads = tuple((field, text) for field, text in texts.items() if isinstance(text, str))
    columns = tuple((field, own_expr(text)) for field, text in texts.items() if isinstance(text, pl.Expr))
    return model_column(VectorColumn(by, kind, reads, tuple(settings.items()), columns, into))


Method = Literal["exact", "minhash", "embedding"]
METHODS: Mapping[Method, float] = {"exact": 1.0, "minhash": 0.65, "embedding": 0.8}  # how alike rows are that count as one


V = TypeVar("V", bound="VectorVerbs")  # Self, as jedi understands it too


class VectorVerbs(Verbs):
    """embed, similarity, retrieve, dedup, cluster."""

    __slots__ = ()

    def embed(self: V, embedder: Embedder | str, column: str, into: str = "embedding", *, on_error: OnError = "raise", name: str | None = None) -> V:
        """Add a column of vectors (`pl.Array(pl.Float32, dim)`) of a text column. A null text gives null, without a call.

        Every vector is kept like any other answer: a text is embedded once by one embedder, in whatever plan it stands. An embedder may be given by
        name, here and wherever one is wanted: "openai/text-embedding-3-small", "sentence-transformers/all-MiniLM-L6-v2", "minilm".

        Raises ColumnNotFoundError, SchemaError or DuplicateColumnError when the plan is built; RowsFailedError when it runs.

        >>> words = dr.testing.WordEmbedder(size=3)
        >>> dr.frame({"t": ["tea and tea"]}).embed(words, "t").to_dicts()
        [{'t': 'tea and tea', 'embedding': [2.0, 0.0, 1.0]}]
        """
        if isinstance(column, Embedder) or not isinstance(column, str):
            raise SettingError(f"{name or 'embed'}: {described(column)} stands where the name of a column belongs. Write df.embed(embedder, 'text').")
        return self._over(Embed.over(self.step, embedder, column=column, into=into, on_error=on_error, name=name))

    def similarity(
        self: V, a: str, b: str, *, by: Embedder | str | None = None, into: str = "similarity", on_error: OnError = "raise", name: str | None = None
    ) -> V:
        """Add the cosine (Float32, -1 to 1) of the vectors of two text columns, or of two columns of vectors; null where one is null.

        >>> df = dr.frame({"a": ["hot tea"], "b": ["cold tea"]}).similarity("a", "b", by=dr.testing.WordEmbedder())
        >>> df.collect()["similarity"].round(2).to_list()
        [0.5]
        """
        if by is None:
            where = name or "similarity"
            lengths = [need_vectors(self.step, column, where=where) for column in (a, b)]
            if lengths[0] != lengths[1]:
                raise SchemaError(f"{where}: vectors of {lengths[0]} and of {lengths[1]} numbers have no cosine; take vectors of one embedder.")
            self.step.adds(into)
            return self._relational("with_columns", [cosine(a, b, lengths[0]).alias(into)], named=where)
        return self._over(Similarity.over(self.step, by, a=a, b=b, into=into, on_error=on_error, name=name))

    def retrieve(
        self: V,
        docs: Verbs,
        *,
        query: str,
        text: str,
        by: Embedder | str,
        docs_by: Embedder | str | None = None,
        k: int = 5,
        into: str = "hits",
        index: Literal["exact", "usearch"] = "exact",
        on_error: OnError = "raise",
        name: str | None = None,
    ) -> V:
        """Add a list of the k documents that are nearest to each row's query: structs of text, score (cosine) and index (row in `docs`), nearest first.

        `docs` is a frame with a text column `text`, and an edge of the plan: other documents are another plan. Their vectors are kept in the session.
        `docs_by` embeds the documents where they need another prompt than the queries. Equal scores are in the order of `docs`; a null query gives
        null, null documents are never found. `index="usearch"` builds a graph (kept as well) and finds almost all of the nearest in a fraction of
        the time: worth it over a million documents or so.

        Dense retrieval after Karpukhin et al. 2020 (https://arxiv.org/abs/2004.04906), the graph after Malkov and Yashunin 2016.

        >>> docs = dr.frame({"t": ["Tea is a drink.", "Bern is a town."]})
        >>> df = dr.frame({"q": ["What is tea?"]}).retrieve(docs, query="q", text="t", by=dr.testing.WordEmbedder(), k=1)
        >>> [(hit["text"], round(hit["score"], 2), hit["index"]) for hit in df.to_dicts()[0]["hits"]]
        [('Tea is a drink.', 0.58, 0)]
        """
        where = name or "retrieve"
        one_of(index, INDEXES, "index", where=where)
        if not isinstance(docs, Verbs):
            raise SettingError(f"{where}: docs is a frame, not {described(docs)}; make one with dr.frame(...).")
        need_string(docs.step, text, where=f"{where} (documents)")
        by = need_embedder(by, where=where)
        known = documents(docs.step, text, need_embedder(docs_by or by, where=where), index=index, label=f"{where} (documents)")
        return self._over(Retrieve.over(self.step, by, known, query=query, text=text, k=k, into=into, on_error=on_error, name=name))

    def dedup(
        self: V, column: str, *, method: Method = "exact", threshold: float | None = None, by: Embedder | str | None = None, name: str | None = None
    ) -> V:
        """Leave out the rows that repeat an earlier one; the others keep their order. A row without a value repeats nothing.

        `method="exact"`: equal values. `"minhash"`: texts that share `threshold` (0.65) of their runs of three letters and pairs of words, as texts with
        a typo or some words in another order do (Broder 1997). `"embedding"`: texts whose vectors by `by` have a cosine of `threshold` (0.8) or more, as
        paraphrases do (Abbas et al. 2023, https://arxiv.org/abs/2303.09540); `column` may hold vectors already.

        >>> df = dr.frame({"t": ["Tea is nice!", "tea is niice", "Rain"]})
        >>> df.dedup("t", method="minhash", threshold=0.6).to_dicts()
        [{'t': 'Tea is nice!'}, {'t': 'Rain'}]
        """
        where = name or "dedup"
        one_of(method, list(METHODS), "method", where=where)
        if by is not None and method != "embedding":
            raise SettingError(f"{where}: by= belongs to method='embedding'; method={method!r} looks at the letters.")
        if method == "exact":
            if threshold is not None:
                raise SettingError(f"{where}: threshold= belongs to method='minhash' and method='embedding'; equal values have no degree.")
            if column not in self.step.schema:
                raise ColumnNotFoundError(column, columns=self.step.schema.names(), step=where)
            return self._relational("filter", [pl.col(column).is_null() | pl.col(column).is_first_distinct()], named=where)
        limit = METHODS[method] if threshold is None else threshold
        if method == "minhash":
            return self._over(DedupLetters(inputs=(self.step,), column=column, threshold=limit, name=name))
        frame, vector = self._with_vectors(column, by, where=where)
        made = frame._over(DedupVectors(inputs=(frame.step,), column=vector, threshold=limit, name=name))
        return made if vector == column else made._relational("drop", vector, named=where)

    def cluster(self: V, column: str, *, k: int, by: Embedder | str | None = None, into: str = "cluster", seed: int = 0, name: str | None = None) -> V:
        """Add the number of each row's cluster, of k found by k-means among the vectors of a text column (by their angles) or a column of vectors.

        Clusters are numbered in the order of their first rows, so that numbers are the same in every run. A null has no cluster. Fewer different
        vectors than k give fewer clusters. k-means after Lloyd 1982, started after Arthur and Vassilvitskii 2007, by scikit-learn.

        >>> df = dr.frame({"t": ["green tea", "heavy rain", "black tea"]})
        >>> df.cluster("t", k=2, by=dr.testing.WordEmbedder()).collect()["cluster"].to_list()
        [0, 1, 0]
        """
        where = name or "cluster"
        frame, vector = self._with_vectors(column, by, where=where)
        k = whole(k, "k", verb=where, least=None)
        found = Cluster(inputs=(frame.step,), column=vector, into=into, k=k, seed=seed, by_angle=vector != column, name=name)
        made = frame._over(found)
        return made if vector == column else made._relational("drop", vector, named=where)

    def _with_vectors(self, column: str, by: Embedder | str | None, *, where: str) -> tuple[Self, str]:
        """This frame with a column of vectors, and its name: the column itself without `by`, else a new one to be dropped afterwards."""
        if by is None:
            return self, column
        need_string(self.step, column, where=where)
        vector = f"vector of {column}"
        return self._over(Embed.over(self.step, need_embedder(by, where=where), column=column, into=vector, name=where)), vector
