"""Early cutoff: a table step whose inputs hold the rows of an earlier run gives that run's rows, whatever plan they came from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import polars as pl

from dreamframe.errors import FingerprintError
from dreamframe.identity.fingerprint import fingerprint, frame_digest
from dreamframe.plan.step import ModelStep, Step
from dreamframe.run.state import RunState
from dreamframe.store.steps import Stored


async def rows_key(state: RunState, step: Step, tables: Sequence[pl.DataFrame]) -> str | None:
    """32 hex characters for a step over the rows and models that it was given. None where it is not worth keeping, or its rows have no identity."""
    if not step.is_expensive or step.reads_files or not state.stores.steps.keeps:
        return None
    try:
        digests = [await asyncio.to_thread(frame_digest, t) for t in tables]
        models = [state.trained[state.key(i)].key for i in step.inputs if isinstance(i, ModelStep)]
        return fingerprint((step, digests, models))
    except FingerprintError:  # a column of Python objects: such rows are never stored
        return None


def find_by_rows(state: RunState, step: Step, key: str | None) -> Stored | None:
    """The output of an earlier run of the same step over the same rows."""
    if key is None:
        return None
    for record in reversed(state.stores.steps.all()):
        if record.get("rows_key") == key and (found := state.stores.steps.find(str(record.get("key")), step.schema)) is not None:
            state.stats.reused += 1
            state.stats.rows_reused += found.rows().height
            return found
    return None
