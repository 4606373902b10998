"""Verbs that ask embedders: vectors, likeness, retrieval, near-duplicates, clusters."""

from __future__ import annotations

from typing import Self

from dreamframe.embedders.base import Embedder
from dreamframe.steps.embed import Embed, Similarity
from dreamframe.verbs.base import Verbs


class VectorVerbs(Verbs):
    """embed, similarity."""

    __slots__ = ()

    def embed(self, embedder: Embedder, column: str, *, into: str = "embedding", on_error: str = "raise", name: str | None = None) -> Self:
        """Add a column of vectors (`pl.Array(pl.Float32, dim)`) of a text column. A null text gives null, without a call.

        Every vector is kept like any other answer: a text is embedded once by one embedder, in whatever plan it stands.

        Raises ColumnNotFoundError, SchemaError or DuplicateColumnError when the plan is built; RowsFailedError when it runs.

        >>> words = dr.testing.WordEmbedder(size=3)
        >>> dr.frame({"t": ["tea and tea"]}).embed(words, "t").to_dicts()
        [{'t': 'tea and tea', 'embedding': [2.0, 1.0, 0.0]}]
        """
        return self._over(Embed.over(self.step, embedder, column=column, into=into, on_error=on_error, name=name))

    def similarity(self, a: str, b: str, *, by: Embedder, into: str = "similarity", on_error: str = "raise", name: str | None = None) -> Self:
        """Add the cosine (Float32, -1 to 1) of the vectors of two text columns; null where a text is null.

        >>> df = dr.frame({"a": ["hot tea"], "b": ["cold tea"]}).similarity("a", "b", by=dr.testing.WordEmbedder())
        >>> df.collect()["similarity"].round(2).to_list()
        [0.5]
        """
        return self._over(Similarity.over(self.step, by, a=a, b=b, into=into, on_error=on_error, name=name))
