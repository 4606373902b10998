"""A segment on its way to another process: as plan JSON, without the rows that feed it and without those of the tables that it reads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from dreamframe.plan.json.read import Given, plan_of
from dreamframe.plan.json.write import arrow_text, plan_record
from dreamframe.plan.step import Source, Step
from dreamframe.plan.steps.source import KeptScan, Table
from dreamframe.run.engines.base import Segment


def segment_record(segment: Segment, *, handed: dict[str, object] | None = None) -> dict[str, Any]:
    """The segment as a JSON object. Its rows, its tables and the models that were trained for it travel by themselves.

    Raises PlanFormatError for what no text can hold. Functions and classes of the user's are named in `record["plan"]["given"]`, and put into `handed`.
    """
    below: Step = Table(data=pl.DataFrame(schema=segment.steps[0].inputs[0].schema))
    for step in segment.steps:
        below = step.with_inputs((below, *step.inputs[1:]))
    sizes = {"width": segment.width, "batch_rows": segment.batch_rows, "window": segment.window}
    return {"n_steps": len(segment.steps), **sizes, "plan": plan_record(below, rows=_no_rows, handed=handed)}


def segment_of(
    record: Mapping[str, Any], *, functions: Given = (), allow: Iterable[str | os.PathLike[str]] | None = (), trust_remote_code: bool = False
) -> Segment:
    """The segment that `segment_record` wrote; `functions`, `allow` and `trust_remote_code` as of `plan_of`."""
    step = plan_of(record["plan"], functions=functions, allow=allow, trust_remote_code=trust_remote_code)
    steps: list[Step] = []
    for _ in range(record["n_steps"]):
        steps.append(step)
        step = step.inputs[0]
    return Segment(tuple(reversed(steps)), width=record["width"], batch_rows=record["batch_rows"], window=record["window"])


def _no_rows(source: Source) -> Any:
    return {"arrow": arrow_text(source.data.clear())} if isinstance(source, Table | KeptScan) else None
