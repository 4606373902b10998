"""How much of a plan is kept, step by step, as far as that is quickly said: `df.explain()` tells it. Nothing is asked and no function of a user's is run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from dreamframe.plan.estimate import Looked, share
from dreamframe.plan.step import ModelStep, Source, Step
from dreamframe.plan.steps.apply import MapBatches, MapRows
from dreamframe.plan.steps.source import Scan, Table
from dreamframe.run.dry_run import DryRun
from dreamframe.run.estimating import accounts_of, below
from dreamframe.run.gc_pause import rarely_collected
from dreamframe.run.options import RunOptions
from dreamframe.run.stats import RunStats
from dreamframe.store.stores import Stores

MOST_REQUESTS = 50_000  # that are looked up: half a second
MOST_ROWS = 250_000  # of tables in memory
MOST_BYTES = 16_000_000  # of files that are read
COUNT = "explain(cost=True) counts them"


async def states(stores: Stores, options: RunOptions, step: Step, **more: Any) -> Looked:
    """The plan as it would run, and what of each step is kept. Of a session that keeps nothing there is nothing to say."""
    run = DryRun(stores, options, RunStats(), most=MOST_REQUESTS, **more)
    if not stores.steps.all() and not stores.models.all() and not len(stores.answers):
        with rarely_collected():
            made = run.optimised(step)
        return Looked(made.plans, {}, made=made)
    run.plans = run.planned(step)
    reached = run.reached()
    needs_look = any(isinstance(node, ModelStep) or (node.models() and not run.is_stored(node)) for node in reached)
    why = _too_long(run, reached) if needs_look else None
    if needs_look and why is None:
        await run.look_again([step])
        why = "the requests are many" if run.is_cut else None
    notes = {id(node): "stored" for node in reached if run.is_stored(node)}
    asking = [node for node in reached if node.models() and not isinstance(node, ModelStep) and id(node) not in notes]
    notes |= {id(node): "trained" if run.state.written_key(node) in run.stats.models else "to train" for node in reached if isinstance(node, ModelStep)}
    if why is None:
        notes |= _counted(run, asking)
    told = (f"how many answers are kept was not looked up: {why}; {COUNT}",) if why is not None and asking else ()
    return Looked(tuple(run.plans), notes, made=run.made, told=told)


def _too_long(run: DryRun, reached: Iterable[Step]) -> str | None:
    """Why a look would take long, or would do what only a run may: run a function of the user's, fetch rows that are far away."""
    n_rows = n_bytes = 0
    for node in reached:
        if run.is_stored(node):
            continue
        if isinstance(node, MapRows | MapBatches):
            return f"{node.label} runs a function of yours"
        if isinstance(node, Table):
            n_rows += node.data.height
        elif isinstance(node, Scan):
            n_bytes += sum(os.path.getsize(file) for file in node.files() if os.path.exists(file))
        elif isinstance(node, Source):
            return f"{node.label} is far away"
    return "the rows are many" if n_rows > MOST_ROWS or n_bytes > MOST_BYTES else None


def _counted(run: DryRun, asking: Iterable[Step]) -> dict[int, str]:
    accounts = accounts_of(run)
    made: dict[int, str] = {}
    for node in asking:
        mine = accounts.get(run.state.written_key(node), [])
        open_ = dict.fromkeys(a.stats.label for a in below(run, node, accounts) if a.chars)
        if open_:
            made[id(node)] = f"unknown until {' and '.join(open_)} {'is' if len(open_) == 1 else 'are'} asked"
        elif mine or not run.problems:
            made[id(node)] = share(sum(a.kept for a in mine), sum(len(a.chars) for a in mine))
    return made
