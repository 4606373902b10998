"""What a card is told of the runs: plain values, gathered by the session, so that a card is a pure function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dreamframe.errors import DreamframeError
from dreamframe.plan.step import Memo, Step
from dreamframe.redaction.redactor import Redactor

SUMMED = ("asked", "cached", "failed", "skipped", "truncated", "retries", "n_in", "n_out")


@dataclass(frozen=True)
class StepFacts:
    """What all runs of a session did in one step."""

    rows_in: int | None = None  # of the run that let most rows through
    rows: int | None = None
    asked: int = 0
    cached: int = 0
    failed: int = 0
    skipped: int = 0
    truncated: int = 0
    retries: int = 0
    n_in: int = 0  # tokens
    n_out: int = 0
    cost: float | None = 0.0  # US dollars; None where a price is not known
    model: str = ""
    errors: Mapping[str, int] = field(default_factory=dict)  # kind of failure → rows of the last run


@dataclass(frozen=True)
class Records:
    """Of one session. Empty before anything has run."""

    steps: Mapping[str, StepFacts] = field(default_factory=dict)  # by the key of a step
    trainings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # by the key of a training step: what training.json says
    curves: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)  # by the same key: what was logged → values in order
    reports: Sequence[Mapping[str, Any]] = ()  # evaluations of these rows, or of what the model gave: label and figures, as the log has them
    examples: Sequence[Mapping[str, Any]] = ()  # a few rows: of the frame, or of those that the model was trained on
    versions: Mapping[str, str] = field(default_factory=dict)
    days: Sequence[str] = ()  # first and last day of the runs, as 2026-01-31
    secrets: Redactor = field(default_factory=lambda: Redactor(()))  # hides what must not appear
    memo: Memo = field(default_factory=dict)  # keys that are computed already

    def of(self, step: Step) -> StepFacts:
        """What is known of a step."""
        return self.steps.get(self.key(step), StepFacts())

    def key(self, step: Step) -> str:
        """Of a step; empty where it cannot be known yet, e.g. while the weights of its model are not on this machine."""
        try:
            return step.key(self.memo)
        except DreamframeError:
            return ""


def together(events: Sequence[Mapping[str, Any]]) -> StepFacts:
    """One step's log lines, oldest first, as one: calls and tokens are summed, rows are those of the fullest run, failures of the last."""
    fullest = max(events, key=lambda e: (e.get("rows") or 0, e.get("rows_in") or 0))
    sums = {name: sum(int(e.get(name) or 0) for e in events) for name in SUMMED}
    costs = [e.get("cost", 0.0) for e in events]
    cost = None if any(c is None for c in costs) else float(sum(costs))
    last = events[-1]
    return StepFacts(
        rows_in=fullest.get("rows_in"),
        rows=fullest.get("rows"),
        cost=cost,
        model=str(last.get("model") or ""),
        errors=dict(last.get("errors") or {}),
        **{**sums, "failed": int(last.get("failed") or 0)},
    )
