"""Adjacent polars steps as one lazy query: no task and no frame between them, however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import polars as pl

from dreamframe.plan.step import PolarsStep, Step

PIECE = 1_000  # steps of one query: polars' own walks over a query take stack and more than linear time


def adjacent(step: PolarsStep, is_apart: Callable[[Step], bool]) -> list[PolarsStep]:
    """The polars steps that make one query up to `step`, lowest first. Those that are apart have rows of their own, or several readers."""
    chain = [step]
    while len(chain[-1].inputs) == 1 and isinstance(below := chain[-1].inputs[0], PolarsStep) and not is_apart(below):
        chain.append(below)
    return chain[::-1]


async def applied(chain: Sequence[PolarsStep], frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
    """The query of the steps over the queries of the lowest one's inputs."""
    query = chain[0].apply(*frames)
    for n, step in enumerate(chain[1:], 1):
        if n % PIECE == 0:
            query = (await asyncio.to_thread(query.collect, engine="in-memory")).lazy()
        query = step.apply(query)
    return query
