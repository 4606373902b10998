"""What the page knows before anything is chosen: outputs, plans, runs, models, and how many rows failed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from dreamframe.session.page.cells import cell
from dreamframe.session.page.folder import Held, began_at
from dreamframe.session.page.trainings import unfinished
from dreamframe.session.page.tree import counts, plans
from dreamframe.session.records import ModelRecord, RunRecord, StepRecord
from dreamframe.store.layout import version_of

MOST_RUNS = 500  # that are told one by one, the newest; all of them count in the sums of steps
MOST_FAILURES = 1000
VECTORS = ("Array(Float", "List(Float")  # types of columns that can be drawn as a map


def overview(held: Held) -> dict[str, Any]:
    """Everything but rows."""
    runs = held.runs()
    live = [run.name for run in runs if held.is_live(run)]
    return {
        "name": held.name,
        "version": version_of("dreamframe"),
        "now": time.time(),
        "live": live,
        "outputs": [_output(o) for o in held.outputs()],
        "plans": plans(held),
        "runs": [_run(r) for r in runs[-MOST_RUNS:]],
        "n_runs": len(runs),
        "models": [_model(m) for m in held.models()],
        "trainings": unfinished(held),
        "spent": {**_spent(runs), "failed": _failed(runs)},
    }


def _spent(runs: Sequence[RunRecord]) -> dict[str, Any]:
    costs = [run.cost for run in runs]
    steps = [step for run in runs for step in run.steps]
    return {
        "calls": sum(run.calls for run in runs),
        "cached": sum(run.cached for run in runs),
        "tokens_in": sum(step.tokens_in for step in steps),
        "tokens_out": sum(step.tokens_out for step in steps),
        "cost": None if None in costs else sum(c or 0.0 for c in costs),
    }


def _failed(runs: Sequence[RunRecord]) -> int:
    """Rows that failed when their step ran last."""
    return sum(ran[-1][1].failed for ran in counts(runs).values())


def _output(o: StepRecord) -> dict[str, Any]:
    said = {name: getattr(o, name) for name in ("name", "label", "describe", "step", "rows", "bytes", "made_at", "seconds", "calls", "cost")}
    return {**said, "key": o.key[:12], "columns": list(o.columns), "has_vectors": any(str(t).startswith(VECTORS) for t in o.columns.values())}


def _run(run: RunRecord) -> dict[str, Any]:
    whole = run.as_dict()
    whole.pop("failures")
    return {**whole, "at": began_at(run), "n_failures": len(run.failures)}


def _model(model: ModelRecord) -> dict[str, Any]:
    said = {name: getattr(model, name) for name in ("name", "label", "trainer", "describe", "rows", "seconds", "made_at")}
    return {**said, "metrics": {str(k): cell(v) for k, v in model.metrics.items()}, "notes": [str(n) for n in model.notes]}


def failures(held: Held) -> dict[str, Any]:
    """The failed rows of all runs, newest first: as many as MOST_FAILURES, and how many there were."""
    runs = held.runs()[::-1]
    told = [{**{k: cell(v, whole=True) for k, v in f.items()}, "run": run.name, "n": n} for run in runs for n, f in enumerate(run.failures)]
    return {"n": sum(max(run.failed, len(run.failures)) for run in runs), "failures": told[:MOST_FAILURES]}
