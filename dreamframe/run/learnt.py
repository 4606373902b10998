"""A segment with several conditions of models: fed in growing pieces, after each of which it is asked which condition is best asked first."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

import polars as pl

from dreamframe.plan.optimizer.order import ModelFilter, Seen, ahead_of, asked_ahead, model_filters
from dreamframe.plan.optimizer.rules import is_learnt
from dreamframe.plan.step import Step
from dreamframe.run.calls.spend import Spend
from dreamframe.run.segment_run import SegmentRun
from dreamframe.run.stage import Stage
from dreamframe.run.state import RunState

PIECE, GROWS, MOST = 32, 8, 16_384  # rows of the first piece, how much longer each is than the one before, and of the longest
USUAL = (400, 8)  # tokens of a question that is answered with yes or no, and of its answer

def may_learn(state: RunState, steps: Sequence[Step]) -> bool:
    """Whether the order of a segment's conditions may be learnt: batches take hours, and a run that only looks learns nothing."""
    return state.learns and is_learnt(state.options.optimize) and state.options.mode != "batch" and bool(model_filters(steps))


async def in_learnt_order(opened: SegmentRun, state: RunState) -> AsyncGenerator[pl.DataFrame, None]:
    """The rows that leave the segment, in input order."""
    found = model_filters(opened.segment.steps)
    costs = _costs(found, state)
    source = opened.source()
    run, size = opened, PIECE
    while (piece := await source.take(size)).height:
        if run is opened and (first := ahead_of(_seen(found, opened.stages, costs))):
            run = _with_ahead(opened, [found[i] for i in first], found[0].at, state)
        async for rows in run.rows(piece):
            yield rows
        size = min(GROWS * size, MOST)


def _seen(found: Sequence[ModelFilter], stages: Sequence[Stage], costs: Sequence[float]) -> list[Seen]:
    """What each condition has left of the rows that it saw."""
    stats = [stages[one.at + 1].stats for one in found]
    return [Seen(of.rows_in, of.rows, cost) for of, cost in zip(stats, costs, strict=True)]


def _costs(found: Sequence[ModelFilter], state: RunState) -> list[float]:
    """What a call of each condition costs, beside the others: by the prices of the models, where all are known. It is the same whatever is kept already,
    so that a run that is run again asks nothing."""
    spend = Spend(purse=state.options.purse, prices=state.options.prices, mode=state.options.mode)
    prices = [spend.look_up(one.prompt.llm) for one in found]
    known = [price.of_tokens(*USUAL) for price in prices if price is not None]
    return known if len(known) == len(found) and any(known) else [1.0] * len(found)


def _with_ahead(opened: SegmentRun, first: Sequence[ModelFilter], at: int, state: RunState) -> SegmentRun:
    """The segment with some conditions asked ahead of the first. What they ask is on the account of steps of their own, under the written steps' names."""
    steps, stages = opened.segment.steps, opened.stages
    made: list[Step] = []
    accounts: list[Stage] = []
    for one in first:
        new = asked_ahead(one, made[-1] if made else steps[at].inputs[0])
        made += new
        written = stages[one.at].stats
        asking = state.stats.step(written.label, model=written.model, key=written.key)
        asking.place, asking.name = written.place, written.name
        accounts += [Stage(step, asking if n == 0 else replace(asking)) for n, step in enumerate(new)]
    return opened.over((*steps[:at], *made, *steps[at:]), (*stages[:at], *accounts, *stages[at:]), at=at, n_new=len(made))
