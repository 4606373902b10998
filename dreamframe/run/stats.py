"""What a run counts, step by step: plain numbers that progress, records and tests read."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from dreamframe.models.request import Completion, Failure
from dreamframe.plan.hidden import readable

STEP_EVENT = (
    *("key", "label", "model", "rows_in", "rows", "total", "errors"),
    *("asked", "cached", "failed", "skipped", "truncated", "retries", "n_in", "n_out", "n_cached", "n_reasoning", "cost"),
)

MOST_FAILURES = 1000  # that a log tells
MOST_UNTOLD = 200  # lines of a training
MOST_LEARNT = 20  # that are told of one training at once: a curve has no more points a second


@dataclass
class StepStats:
    """Counts of one step in one run."""

    label: str
    rows: int = 0  # rows that left the step
    rows_in: int = 0  # rows that entered it
    asked: int = 0  # calls that were answered
    cached: int = 0  # requests answered from the journal
    failed: int = 0  # rows without an answer
    skipped: int = 0  # rows whose prompt was null
    truncated: int = 0  # answers that ended at the user's own max_tokens
    retries: int = 0
    n_in: int = 0  # tokens
    n_out: int = 0
    n_cached: int = 0
    n_reasoning: int = 0
    cost: float | None = 0.0  # US dollars; None once a price is unknown
    total: int | None = None  # rows that will enter, if known; of a training, its steps
    name: str = ""  # that the user, or the verb that made the step, gave it
    unit: str = "rows"  # what `rows` and `total` count
    place: int = 0  # in the plan as it was written
    same: bool = False  # whether as many rows leave the step as enter it
    fed_by: StepStats | None = field(default=None, repr=False, compare=False)  # the step whose rows enter, where these come in batches
    entered: int = 0  # rows in the batches that have begun, so that progress need not wait until these have walked through all steps
    through: int = 0  # of them, those that the step is done with
    given: int = 0  # rows that it made of these
    requests: int = 0  # that were made, whoever answers them
    lost: int = 0  # requests that failed
    model: str = ""
    is_refreshed: bool = False  # every request of it is asked anew
    key: str = ""  # of the step: what the lines of several runs have in common
    errors: dict[str, int] = field(default_factory=dict)  # kind of failure → rows
    logged: dict[str, float] = field(default_factory=dict)  # a training's last log line: loss, learning_rate, …
    untold: list[dict[str, float]] = field(default_factory=list, repr=False)  # its log lines that are in no run log so far
    started: float = field(default_factory=time.monotonic)
    first_asked: float | None = None
    last_answered: float | None = None
    ended: float | None = None  # when a training was over

    def learns(self, logged: Mapping[str, float]) -> None:
        """A training has logged a line. Of very many that nobody writes down, every other is forgotten."""
        self.logged = dict(logged)
        self.rows, self.total = int(logged.get("step", self.rows)), int(logged["total"]) if "total" in logged else self.total
        if len(self.untold) >= MOST_UNTOLD:
            self.untold = self.untold[1::2]
        self.untold.append(self.logged)

    def count(self, completion: Completion, cost: float | None = 0.0) -> None:
        self.asked += 1
        self.cost = None if cost is None or self.cost is None else self.cost + cost
        self.n_in += completion.n_in
        self.n_out += completion.n_out
        self.n_cached += completion.n_cached
        self.n_reasoning += completion.n_reasoning
        self.last_answered = time.monotonic()


@dataclass(frozen=True)
class FailedRow:
    """A failure with the step and the row (position in the step's input) where it happened."""

    step: str
    row: int
    column: str
    failure: Failure

    def as_dict(self) -> dict[str, object]:
        told = self.failure._asdict()
        del told["keys"]
        return {"step": self.step, "row": self.row, "column": readable(self.column), **told}


@dataclass
class Told:
    """What of a run is in its log already."""

    models: set[str] = field(default_factory=set)  # keys of training steps
    reports: set[str] = field(default_factory=set)  # keys of evaluations
    n_failures: int = 0


@dataclass
class RunStats:
    """Counts of one run."""

    steps: list[StepStats] = field(default_factory=list)
    failures: list[FailedRow] = field(default_factory=list)  # once the run is over: by step, in input order
    failed_so_far: list[FailedRow] = field(default_factory=list)  # as they came
    trained: int = 0  # models trained in this run
    reused: int = 0  # step outputs and models found in the session
    rows_reused: int = 0  # rows of these outputs
    models_reused: int = 0
    models: dict[str, str] = field(default_factory=dict)  # key of a training step → key of its model
    reports: dict[str, dict[str, object]] = field(default_factory=dict)  # key of an evaluation → label, of, figures

    def evaluated(self, key: str, label: str, *, of: Sequence[str], figures: Sequence[Mapping[str, object]]) -> None:
        """An evaluation has its figures; `of`: the keys of what it evaluated, frames and models."""
        self.reports[key] = {"label": label, "of": list(of), "figures": [dict(one) for one in figures]}

    def step(self, label: str, *, model: str = "", key: str = "") -> StepStats:
        self.steps.append(StepStats(label, model=model, key=key))
        return self.steps[-1]

    def step_events(self, keys: Collection[str] | None = None) -> list[dict[str, object]]:
        """One line for each step; with `keys`, for these steps alone."""
        return [{"event": "step", **{k: v for k, v in vars(s).items() if k in STEP_EVENT}} for s in self.steps if keys is None or s.key in keys]

    def events(self) -> list[dict[str, object]]:
        """The run as lines of its log: one for each step, one for each failure (the first thousand), one for the whole."""
        return [*self.news(Told()), *self.step_events(), self.whole_event()]

    def news(self, told: Told) -> list[dict[str, object]]:
        """The models, the evaluations and the failures (the first thousand) that were not told yet, as lines of the log. They are, then."""
        models: list[dict[str, object]] = [{"event": "model", "key": k, "model": model} for k, model in list(self.models.items()) if k not in told.models]
        reports = [{"event": "report", "key": k, **told_of} for k, told_of in list(self.reports.items()) if k not in told.reports]
        failures: list[dict[str, object]] = [{"event": "failure", **f.as_dict()} for f in self.failed_so_far[told.n_failures : MOST_FAILURES]]
        told.models |= {str(line["key"]) for line in models}
        told.reports |= {str(line["key"]) for line in reports}
        told.n_failures += len(failures)
        return [*models, *reports, *failures]

    def learnt(self) -> list[dict[str, object]]:
        """What trainings have logged since the last time, as lines of the log: numbers alone, without those that are not finite."""
        lines: list[dict[str, object]] = []
        for s in self.steps:
            untold, s.untold = s.untold, []
            every = -(-len(untold) // MOST_LEARNT) or 1
            for one in untold[::-1][::every][::-1]:
                values = {k: v for k, v in one.items() if k != "total" and math.isfinite(v)}
                lines.append({"event": "logged", "key": s.key, "label": s.label, "values": values})
        return lines

    def whole_event(self) -> dict[str, object]:
        """The line that ends the log."""
        counts = {"calls": self.calls, "cached": self.cached, "trained": self.trained, "reused": self.reused, "failed": len(self.failed_so_far)}
        return {"event": "run", **counts}

    @property
    def calls(self) -> int:
        """Model calls made."""
        return sum(s.asked for s in self.steps)

    @property
    def cached(self) -> int:
        """Requests answered from the journal."""
        return sum(s.cached for s in self.steps)
