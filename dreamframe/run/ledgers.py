"""What steps have found in earlier runs, in words: `ctx.note` put it on record, and explain tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dreamframe.plan.step import Step
from dreamframe.run.dry_run import DryRun
from dreamframe.run.stats import RunStats


def with_found(run: DryRun, notes: Mapping[int, str], seen: Iterable[RunStats]) -> dict[int, str]:
    """The notes on the steps of a run's plans, each with what the step has found when its rows were made, or in the runs of this session object, `seen`."""
    lines = [line for record in run.stores.steps.all() for line in record.get("steps") or ()] + [line for stats in seen for line in stats.step_events()]
    found = {str(line.get("key")): str(line["ledger"]["said"]) for line in lines if _is_told(line)}
    told = dict(notes)
    for node in _steps(run.plans) if found else ():
        if (said := found.get(run.state.written_key(node))) is not None:
            before = told.get(id(node), "stored")
            told[id(node)] = said if before == "stored" else f"{before}; {said}"
    return told


def _is_told(line: Mapping[str, Any]) -> bool:
    return bool(line.get("key")) and isinstance(line.get("ledger"), Mapping) and "said" in line["ledger"]


def _steps(plans: Iterable[Step]) -> list[Step]:
    return list({id(node): node for plan in plans for node in plan.walk()}.values())
