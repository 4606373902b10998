"""Verbs that ask embedders: vectors, likeness, retrieval, near-duplicates, clusters."""

from __future__ import annotations

from typing import Self

from dreamframe.embedders.base import Embedder
from dreamframe.errors import SettingError, did_you_mean
from dreamframe.steps.embed import Embed, Similarity, need_embedder, need_text
from dreamframe.steps.retrieve import INDEXES, Retrieve, documents
from dreamframe.verbs.base import Verbs


class VectorVerbs(Verbs):
    """embed, similarity, retrieve."""

    __slots__ = ()

    def embed(self, embedder: Embedder, column: str, *, into: str = "embedding", on_error: str = "raise", name: str | None = None) -> Self:
        """Add a column of vectors (`pl.Array(pl.Float32, dim)`) of a text column. A null text gives null, without a call.

        Every vector is kept like any other answer: a text is embedded once by one embedder, in whatever plan it stands.

        Raises ColumnNotFoundError, SchemaError or DuplicateColumnError when the plan is built; RowsFailedError when it runs.

        >>> words = dr.testing.WordEmbedder(size=3)
        >>> dr.frame({"t": ["tea and tea"]}).embed(words, "t").to_dicts()
        [{'t': 'tea and tea', 'embedding': [2.0, 0.0, 1.0]}]
        """
        return self._over(Embed.over(self.step, embedder, column=column, into=into, on_error=on_error, name=name))

    def similarity(self, a: str, b: str, *, by: Embedder, into: str = "similarity", on_error: str = "raise", name: str | None = None) -> Self:
        """Add the cosine (Float32, -1 to 1) of the vectors of two text columns; null where a text is null.

        >>> df = dr.frame({"a": ["hot tea"], "b": ["cold tea"]}).similarity("a", "b", by=dr.testing.WordEmbedder())
        >>> df.collect()["similarity"].round(2).to_list()
        [0.5]
        """
        return self._over(Similarity.over(self.step, by, a=a, b=b, into=into, on_error=on_error, name=name))

    def retrieve(
        self,
        docs: Verbs,
        *,
        query: str,
        text: str,
        by: Embedder,
        docs_by: Embedder | None = None,
        k: int = 5,
        into: str = "hits",
        index: str = "exact",
        on_error: str = "raise",
        name: str | None = None,
    ) -> Self:
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
        if index not in INDEXES:
            raise SettingError(f"{where}: index={index!r} is not one of {', '.join(map(repr, INDEXES))}.{did_you_mean(index, INDEXES)}")
        if not isinstance(docs, Verbs):
            raise SettingError(f"{where}: docs is a frame, not a {type(docs).__name__}; make one with dr.frame(...).")
        need_text(docs.step, text, where=f"{where} (documents)")
        need_embedder(by, where=where)
        known = documents(docs.step, text, need_embedder(docs_by or by, where=where), index=index)
        return self._over(Retrieve.over(self.step, by, known, query=query, text=text, k=k, into=into, on_error=on_error, name=name))
