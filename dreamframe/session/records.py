"""What a session has on record, as frozen values: stored outputs, models, kept plans and runs. `as_dict()` of each is ready for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dreamframe.plan.hidden import readable

NAMES = {"asked": "calls", "n_in": "tokens_in", "n_out": "tokens_out", "n_cached": "tokens_cached", "n_reasoning": "tokens_reasoning"}  # in the log → here

LATEST_S = 253_402_300_800  # the end of the year 9999


class _Record:
    """A record of plain values."""

    def as_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON: dicts, lists, texts and numbers."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class StepRun(_Record):
    """What one run did in one step."""

    label: str
    key: str = ""  # of the step; empty for what a training asks
    model: str = ""  # the name of the model that was asked
    rows_in: int = 0  # rows that entered the step
    rows: int = 0  # rows that left it
    total: int | None = None  # rows that will have left it, where that was known
    calls: int = 0  # requests that the model answered in this run
    cached: int = 0  # requests that were answered before
    failed: int = 0  # rows without an answer
    skipped: int = 0  # rows whose prompt was null
    truncated: int = 0  # answers that were cut at max_tokens
    retries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0  # of tokens_in: those that the provider had in its cache
    tokens_reasoning: int = 0  # of tokens_out
    cost: float | None = 0.0  # US dollars; None where a price is not known
    errors: Mapping[str, int] = field(default_factory=dict)  # kind of failure → rows
    told: Mapping[str, Any] = field(default_factory=dict)  # what the step decided, in figures: the ledger of a cascade


@dataclass(frozen=True, kw_only=True)
class StepRecord(_Record):
    """A stored output of a step."""

    name: str  # of its folder in `steps/`
    key: str  # 32 hexadecimal digits
    label: str  # what the user called the step, else its column or its verb
    step: str = ""  # the class of the step, as "PromptStep"
    describe: str = ""  # its line in explain()
    columns: Mapping[str, str] = field(default_factory=dict)  # name → type, as polars writes it
    rows: int = 0
    bytes: int = 0  # on the disk
    made_at: str = ""  # UTC, as 2026-01-31T10:20:30Z
    seconds: float | None = None  # from the begin of the run's work on it to its end
    parents: tuple[str, ...] = ()  # keys of the steps that it reads
    ran: tuple[StepRun, ...] = ()  # what the run that made it did in this step and in those below
    calls: int = 0  # that this run made for it
    cost: float | None = 0.0  # US dollars that they cost; None where a price is not known
    plan: Sequence[Mapping[str, Any]] = ()  # every step of its plan, inputs first: key, step, describe, parts, inputs (positions)


@dataclass(frozen=True, kw_only=True)
class PlanRecord(_Record):
    """A plan that was run and kept: `session.plan(record.name)` is the frame or model."""

    name: str  # of its file in `plans/`
    key: str  # of its last step, 32 hexadecimal digits
    label: str
    kind: str = "frame"  # frame | model
    columns: tuple[str, ...] = ()
    explain: str = ""
    python: str | None = None  # the version that ran it
    libraries: Mapping[str, str] = field(default_factory=dict)  # name → version
    script: str | None = None  # the file in `scripts/` that ran it, of a session with keep_script=True
    script_problem: str | None = None  # why there is no script although it was to be kept
    problem: str | None = None  # why the plan is kept as `explain` alone; None: it can be run again


@dataclass(frozen=True, kw_only=True)
class ModelRecord(_Record):
    """A trained model."""

    name: str  # of its folder in `models/`
    key: str  # of its settings and the content of its rows, 32 hexadecimal digits
    label: str  # what the user called the training, else its trainer
    trainer: str = ""  # the class of the trainer, as "SFT"
    describe: str = ""  # its line in explain()
    rows: int = 0  # that it was trained on
    seconds: float | None = None  # that the training took
    metrics: Mapping[str, Any] = field(default_factory=dict)  # name → the last value that was logged
    notes: tuple[Any, ...] = ()  # what the training warned of
    made_at: str = ""  # UTC, as 2026-01-31T10:20:30Z


@dataclass(frozen=True, kw_only=True)
class RunRecord(_Record):
    """One run: what it asked, what it found, what failed."""

    name: str = ""  # of its file in `runs/`; empty for a session in memory
    day: str = ""  # UTC, as 2026-01-31
    began_at: str = ""  # UTC, as 2026-01-31T10:20:30Z; empty for a session in memory
    steps: tuple[StepRun, ...] = ()
    calls: int = 0  # requests that models answered
    cached: int = 0  # requests that were answered before
    trained: int = 0  # models
    reused: int = 0  # stored outputs and models
    failed: int = 0  # rows
    cost: float | None = 0.0  # US dollars; None where a price is not known
    is_over: bool = True  # False while it goes on, and for one that was killed: its counts are those that it wrote last
    failures: tuple[Mapping[str, Any], ...] = ()  # of the first thousand rows: step, row, column, error, message, request, attempts, text


def _cost_of(steps: Iterable[StepRun]) -> float | None:
    """What steps cost together, in US dollars; None where a price is not known."""
    costs = [s.cost for s in steps]
    return None if any(c is None for c in costs) else sum(c or 0.0 for c in costs)


def step_record(held: Mapping[str, Any]) -> StepRecord:
    """A stored output by what its step.json says."""
    ran = tuple(step_run(event) for event in held.get("steps") or ())
    said = {name: held[name] for name in ("step", "describe", "rows", "made_at") if held.get(name) is not None}
    said |= {"columns": held.get("schema") or {}, "bytes": held.get("data_bytes") or 0, "seconds": held.get("took_s")}
    said["describe"] = readable(str(said.get("describe", "")))  # an older dreamframe kept names that are its own
    said |= {"parents": tuple(held.get("parents") or ()), "plan": tuple(held.get("plan") or ())}
    return StepRecord(name=held["folder"], key=held["key"], label=readable(held["label"]), ran=ran, calls=sum(s.calls for s in ran), cost=_cost_of(ran), **said)


def model_record(held: Mapping[str, Any]) -> ModelRecord:
    """A trained model by what its training.json says."""
    said = {name: held[name] for name in ("trainer", "describe", "rows", "metrics", "made_at") if held.get(name) is not None}
    return ModelRecord(name=held["folder"], key=held["key"], label=held["label"], seconds=held.get("train_s"), notes=tuple(held.get("notes") or ()), **said)


def plan_record(held: Mapping[str, Any]) -> PlanRecord:
    """A kept plan by what its file says."""
    names = {f.name for f in dataclasses.fields(PlanRecord)} - {"columns"}
    said = {n: held[n] for n in names if held.get(n) is not None}
    said |= {n: readable(said[n]) for n in ("label", "explain") if isinstance(said.get(n), str)}
    return PlanRecord(columns=tuple(held.get("columns") or ()), **said)


def step_run(event: Mapping[str, Any]) -> StepRun:
    """What a run did in a step, by a line of its log."""
    names = {f.name for f in dataclasses.fields(StepRun)}
    known = {NAMES.get(name, name): value for name, value in event.items() if value is not None or name == "cost"}
    return StepRun(**{**{n: v for n, v in known.items() if n in names}, "label": readable(str(known.get("label", "")))})


def failed_requests(events: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """The label of a step and the request of a row that failed in it → why it failed last, by the lines of the runs' logs."""
    failed = (e for e in events if e["event"] == "failure")
    return {(str(e.get("step")), str(e.get("request"))): f"{e.get('error')}: {e.get('message')}" for e in failed}


def run_records(events: Iterable[Mapping[str, Any]]) -> list[RunRecord]:
    """Runs by the lines of their logs, each with the `run` (the name of the log) and the `day` that it is of."""
    held: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        held.setdefault(str(event["run"]), []).append(event)
    return [_run_record(name, lines) for name, lines in sorted(held.items(), key=lambda one: _began(*one))]


def _began(name: str, lines: Sequence[Mapping[str, Any]]) -> float:
    """When a run began, in seconds since 1970: as it says itself, else, to a second, as its log is called; 0 in memory."""
    said = next((line.get("at") for line in lines if line["event"] == "begin"), None)
    if isinstance(said, int | float) and 0 < said < LATEST_S:
        return float(said)
    try:
        return datetime.strptime(f"{name[:15]} +0000", "%Y%m%dT%H%M%S %z").timestamp()
    except ValueError:
        return 0.0


def so_far(progress: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """How far each step of a run is, by its lines of progress: each has the counts that have changed since the one before."""
    held: dict[tuple[Any, Any], Mapping[str, Any]] = {}
    for line in progress:
        place = line.get("key"), line.get("label")
        held[place] = {**held.get(place, {}), **line}
    return list(held.values())


def _run_record(name: str, lines: Sequence[Mapping[str, Any]]) -> RunRecord:
    def of(kind: str) -> Iterator[Mapping[str, Any]]:
        return (line for line in lines if line["event"] == kind)

    whole = next(of("run"), None)
    told = of("step") if whole is not None else so_far(of("progress"))
    steps = tuple(step_run(e) for e in told)
    failures = tuple({k: v for k, v in e.items() if k not in ("event", "run", "day")} for e in of("failure"))
    return RunRecord(
        name=name,
        day=str(lines[0].get("day", "")),
        began_at=datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if (began := _began(name, lines)) else "",
        steps=steps,
        calls=sum(s.calls for s in steps),
        cached=sum(s.cached for s in steps),
        cost=_cost_of(steps),
        trained=int((whole or {}).get("trained") or 0),
        reused=int((whole or {}).get("reused") or 0),
        failed=len(failures) if whole is None else int(whole.get("failed") or 0),
        is_over=whole is not None,
        failures=failures,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, _Record):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value
