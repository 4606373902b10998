"""What the runs of one session object have used, summed up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dreamframe.plan.step import Memo, Step
from dreamframe.run.progress import summary
from dreamframe.run.stats import RunStats

OF_PLAN = {"calls": "asked", "tokens_in": "n_in", "tokens_out": "n_out", "tokens_cached": "n_cached", "tokens_reasoning": "n_reasoning"}


def used(runs: Sequence[RunStats]) -> dict[str, Any]:
    """Counts and costs of runs, as `session.usage()` gives them."""
    steps = [s for run in runs for s in run.steps]
    return {
        "calls": sum(s.asked for s in steps),
        "from_cache": sum(s.cached for s in steps),
        "tokens_in": sum(s.n_in for s in steps),
        "tokens_out": sum(s.n_out for s in steps),
        "tokens_cached": sum(s.n_cached for s in steps),
        "tokens_reasoning": sum(s.n_reasoning for s in steps),
        "cost": None if any(s.cost is None for s in steps) else sum(s.cost or 0.0 for s in steps),
        "failed": failed(runs),
        "trained": sum(run.trained for run in runs),
        "reused": sum(run.reused for run in runs),
    }


def used_by(step: Step, events: Iterable[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the steps of a plan have used, by the lines of all runs, and how long it took to make what is stored of it."""
    memo: Memo = {}
    keys = {node.key(memo) for node in step.walk()}
    lines = [e for e in events if e["event"] == "step" and e.get("key") in keys]
    costs = [e.get("cost", 0.0) for e in lines]
    took = [r.get("took_s") for r in stored if r.get("key") in keys and any(line.get("asked") for line in r.get("steps") or ())]
    return {
        **{name: sum(int(e.get(line) or 0) for e in lines) for name, line in OF_PLAN.items()},
        "cost": None if any(c is None for c in costs) else float(sum(costs)),
        "seconds": sum(float(t) for t in took if t is not None) if took and None not in took else None,
    }


def failed(runs: Sequence[RunStats]) -> int:
    """Rows that failed. A row that failed in several runs, by the same answer, is one row."""
    most: Counter[object] = Counter()
    untold = 0  # of runs that go on
    for i, run in enumerate(runs):
        most |= Counter((f.step, f.failure.keys) if f.failure.keys else (i, f.step, f.row) for f in run.failures)
        untold += max(0, sum(s.failed for s in run.steps) - len(run.failures))
    return most.total() + untold


def in_a_line(runs: Sequence[RunStats]) -> str:
    """What runs have done, in one line."""
    whole = RunStats(steps=[s for run in runs for s in run.steps])
    for count in ("trained", "reused", "rows_reused", "models_reused"):
        setattr(whole, count, sum(getattr(run, count) for run in runs))
    return summary(whole, failed=failed(runs))
