"""Early cutoff: a table step whose inputs hold the rows of an earlier run gives that run's rows, whatever plan they came from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import polars as pl

from dreamframe.errors import FingerprintError
from dreamframe.identity.fingerprint import fingerprint, frame_digest
from dreamframe.plan.step import ModelStep, Step
from dreamframe.store.steps import Stored

if TYPE_CHECKING:
    from dreamframe.run.execute import Run


async def rows_key(run: Run, step: Step, tables: Sequence[pl.DataFrame]) -> str | None:
    """32 hex characters for a step over the rows and models that it was given. None where it is not worth keeping, or its rows have no identity."""
    if not step.is_expensive or step.reads_files or run.stores.steps is None:
        return None
    try:
        digests = [await asyncio.to_thread(frame_digest, t) for t in tables]
        models = [run.trainings.trained[i.key(run.memo)].key for i in step.inputs if isinstance(i, ModelStep)]
        return fingerprint((step, digests, models))
    except FingerprintError:  # a column of Python objects: such rows are never stored
        return None


def find_by_rows(run: Run, step: Step, key: str | None) -> Stored | None:
    """The output of an earlier run of the same step over the same rows."""
    if key is None or run.stores.steps is None:
        return None
    for record in reversed(run.stores.steps.all()):
        if record.get("rows_key") == key and (found := run.stores.steps.find(str(record.get("key")), step.schema)) is not None:
            run.stats.reused += 1
            return found
    return None
