"""Which rows of earlier steps the rows of a step were made of, for all of them at once, along the plan as it was written. Asks nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from dreamframe.plan.parents import Places, parents
from dreamframe.plan.step import ModelStep, PolarsStep, Step, TableStep
from dreamframe.plan.steps.retrieve import Retrieve
from dreamframe.redaction.redactor import Redactor
from dreamframe.run.options import RunOptions
from dreamframe.run.why.thin import deciding
from dreamframe.run.why.trace import Replay
from dreamframe.store.stores import Stores


class Kin(Replay):
    """Finds the rows of earlier steps again, by those that are stored and by the answers that are kept."""

    def __init__(self, stores: Stores, options: RunOptions, step: Step, *, is_whole: bool = False) -> None:
        """`is_whole`: a run of the plan has ended, and no row failed."""
        super().__init__(stores, replace(options, optimize=False), step, most=0, failed=dict)
        self._is_whole = is_whole

    @staticmethod
    def between(
        step: Step, at: Collection[int], n: int, *, is_whole: bool = False
    ) -> Callable[[Stores, RunOptions, Redactor], Coroutine[Any, Any, dict[int, pl.DataFrame]]]:
        """`pairs` of a plan, for a session to run."""
        return lambda stores, options, _: Kin(stores, options, step, is_whole=is_whole).pairs(at, n)

    async def pairs(self, at: Collection[int], n: int) -> dict[int, pl.DataFrame]:
        """For steps of the plan by their place in its `walk()`: columns `row`, of the first n of the plan's last step, and `at`, a row of that step which it
        was made of. Steps of which nobody can tell are missing."""
        async with self._running([self._written]):
            plan = self._as_run()
            steps = plan.walk()
            wanted = {id(steps[i]): i for i in at}
            leads = _leading(steps, wanted)
            held = {id(plan): pl.DataFrame({"row": pl.int_range(n, dtype=pl.UInt32, eager=True)}).with_columns(at="row")}
            for node in reversed(steps):
                read = [i for i in node.inputs if not isinstance(i, ModelStep)]
                if id(node) not in held or not any(id(i) in leads for i in read):
                    continue
                for below, places in zip(read, await self._places(node, read), strict=True):
                    if id(below) in leads and not isinstance(places, _Unknown):
                        made = _through(held[id(node)], places)
                        before = held.get(id(below))  # a step that two others read has a part in a row by either
                        held[id(below)] = made if before is None else pl.concat([before, made]).sort("row", maintain_order=True).unique(maintain_order=True)
            return {i: held[node] for node, i in wanted.items() if node in held}

    async def _places(self, node: Step, read: Sequence[Step]) -> list[Places | _Unknown]:
        """For each input the positions of its rows that each row was made of; None: that in its place. Tables are made only where they are looked at."""
        if not isinstance(node, (PolarsStep, TableStep)) and node.rows == "same":
            others: list[Places | _Unknown] = [_Unknown()] * (len(read) - 1)
            if isinstance(node, Retrieve) and others:
                hits = (await self._all_of(node)).get_column(node.into)
                others[0] = hits.list.eval(pl.element().struct.field("index")).cast(pl.List(pl.UInt32))
            return [None, *others]
        if isinstance(node, PolarsStep) and node.rows == "same" and len(read) == 1:
            return [None]
        tables = [await self._enough_of(i, needed) for i, needed in zip(node.inputs, deciding(node), strict=True) if not isinstance(i, ModelStep)]
        return [_Unknown() if places is None else places for places in parents(node, tables)]


class _Unknown:
    """Any row may have a part in any."""


def _leading(steps: Sequence[Step], wanted: Collection[int]) -> set[int]:
    """The ids of the steps that are wanted or are over one that is."""
    found: set[int] = set()
    for node in steps:
        if id(node) in wanted or any(id(i) in found for i in node.inputs):
            found.add(id(node))
    return found


def _through(pairs: pl.DataFrame, places: Places) -> pl.DataFrame:
    """Rows and what they were made of, one step further down."""
    if places is None:
        return pairs
    is_many = isinstance(places.dtype, pl.List)
    found = pairs.with_columns(at=places.gather(pairs.get_column("at")))
    return (found.explode("at").unique(maintain_order=True) if is_many else found).drop_nulls().cast(pl.UInt32)
