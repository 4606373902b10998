"""The texts of a pool that are nearest to each row's, for prompts that show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from dreamframe.models.embedders.base import Embedder
from dreamframe.models.request import RowContext
from dreamframe.models.vectors import matrix, nearest, unit


class Pool:
    """Texts, and their vectors once they were asked for. Belongs to one step of one run."""

    def __init__(self, by: Embedder, texts: Sequence[str]) -> None:
        self._by, self._texts = by, list(texts)
        self._vectors: Any = None

    async def nearest(self, queries: Sequence[str | None], k: int, ctx: RowContext) -> list[list[int]]:
        """Positions in the pool of the k nearest texts for each query, nearest first; none for a null or failed query."""
        question = ctx.once("embedding question", lambda: ctx.resolve(self._by).question())
        if self._vectors is None:
            pool = await ctx.ask(question, pl.Series(self._texts, dtype=pl.String))
            for failure in list(pool.failures.values())[:1]:  # without the pool no row can be asked
                for position in range(len(queries)):
                    ctx.fail(position, failure)
                return [[] for _ in queries]
            self._vectors = unit(matrix(pool.answers.get_column("data"), self._by.dim))
        asked = await ctx.ask(question, pl.Series(queries, dtype=pl.String))
        for position, failure in asked.failures.items():
            ctx.fail(position, failure)
        found, _ = nearest(unit(matrix(asked.answers.get_column("data"), self._by.dim)), self._vectors, k)
        has = asked.answers.get_column("data").is_not_null().to_list()
        return [row if ok else [] for row, ok in zip(found.tolist(), has, strict=True)]
