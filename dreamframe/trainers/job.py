"""A training job: what a run lends to a trainer, and the rows on their way to it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.errors import TrainingError
from dreamframe.models.local.weights import content_digest
from dreamframe.models.request import Question
from dreamframe.trainers.whole_rows import lacking, told

log = logging.getLogger("dreamframe.train")


def unheard(_: Mapping[str, float]) -> None:
    """Progress that nobody watches."""


def not_lent(question: Question, prompts: Sequence[str]) -> list[str | None]:  # noqa: ARG001
    """Asking where no run lends its models."""
    raise TrainingError(f"{question.llm!r} can be asked only by the training of a plan: df.train(...).fit().")


@dataclass
class TrainJob:
    """Files and wires of one training. Only paths and numbers, so that it can cross to another process."""

    rows: Path  # Arrow IPC; its columns are named after the roles
    workdir: Path  # survives kills: checkpoints
    out: Path  # the finished artefact; made anew
    validation: Path | None = None
    base: Path | None = None  # resolved weights; None: the trainer finds them
    base_digest: str | None = None  # of the base's files, as they were when the training began; None: not looked at again
    adapter: Path | None = None  # an adapter over the base that this training starts from
    progress: Callable[[Mapping[str, float]], None] = unheard  # step, total, loss, …
    stop: threading.Event = field(default_factory=threading.Event)  # honoured at the next step
    ask: Callable[[Question, Sequence[str]], list[str | None]] = not_lent  # a language model's answers, kept like all of a run; None: refused
    notes: list[str] = field(default_factory=list)  # what happened to the rows, for the summary
    numbers: dict[str, list[int]] = field(default_factory=dict)  # who reads → the row of the frame that stands at each position, once some are left out

    @property
    def checkpoints(self) -> Path:
        return self.workdir / "checkpoints"

    def check_base(self) -> None:
        """Raise TrainingError where the base is no longer what the training began with. Called once it is loaded: afterwards it may change."""
        if self.base is not None and self.base_digest is not None and content_digest(self.base) != self.base_digest:
            raise TrainingError(f"the weights in {self.base} were replaced while they were loaded; run again.")

    def note(self, text: str) -> None:
        """Say something about this training: in the log now, in the summary later."""
        log.warning(text)
        self.notes.append(text)

    def rows_at(self, positions: Sequence[int], *, who: str) -> str:
        """The numbers in the frame of rows at these positions, some rows having been left out before: `3, 7, 9 and 4 more`."""
        held = self.numbers.get(who)
        return numbered([i if held is None else held[i] for i in positions])


def read_rows(path: Path | None, job: TrainJob, *, who: str, nullable: Sequence[str] = ()) -> pl.DataFrame | None:
    """The rows of a file, without those that lack a value or hold NaN or infinity (counted and noted). None for no file; TrainingError for no rows."""
    if path is None:
        return None
    rows = pl.read_ipc(path)
    job.numbers[who] = list(range(rows.height))
    found = lacking(rows, [c for c in rows.columns if c not in nullable])
    if sum(map(len, found.values())) == rows.height:
        why = f"; all {rows.height} {next(iter(found))}." if len(found) == 1 else f": {told(found)}." if found else "."
        raise TrainingError(f"{who}: there are no rows to train on{why}")
    for reason, positions in found.items():
        note = f"{who}: {len(positions)} of {rows.height} rows {reason} and were left out (rows {numbered(positions)})."
        if note not in job.notes:  # some trainers read their rows twice
            job.note(note)
    return without(rows, [i for positions in found.values() for i in positions], who=who, job=job)


def leave_out(rows: pl.DataFrame, positions: Sequence[int], *, why: str, who: str, job: TrainJob, advice: str = "") -> pl.DataFrame:
    """The rows without those at `positions`, counted and noted: "… rows hold an empty text". TrainingError where none is left."""
    if not positions:
        return rows
    found = f"{who}: {len(positions)} of {rows.height} rows {why}"
    if len(positions) == rows.height:
        raise TrainingError(f"{found}: none is left.{advice and ' ' + advice}")
    job.note(f"{found}, and were left out (rows {job.rows_at(positions, who=who)}).")
    return without(rows, positions, who=who, job=job)


def without(rows: pl.DataFrame, positions: Sequence[int], *, who: str, job: TrainJob) -> pl.DataFrame:
    """The rows but for those at `positions`; the job goes on to know which row of the frame each one is."""
    gone = set(positions)
    if not gone:
        return rows
    kept = [i for i in range(rows.height) if i not in gone]
    held = job.numbers.get(who)
    job.numbers[who] = kept if held is None else [held[i] for i in kept]
    return rows[kept]


def numbered(rows: Sequence[int], *, most: int = 5) -> str:
    """`3, 7, 9 and 4 more`.

    >>> numbered([3, 7, 9], most=2)
    '3, 7 and 1 more'
    """
    shown = ", ".join(str(r) for r in rows[:most])
    return shown if len(rows) <= most else f"{shown} and {len(rows) - most} more"


def fit_length(rows: pl.DataFrame, lengths: Sequence[int], *, limit: int, policy: str, who: str, job: TrainJob, column: str = "") -> pl.DataFrame:
    """Do to rows longer than `limit` tokens what `policy` says: truncate (the trainer cuts them), drop, error. Never silently."""
    long = [i for i, n in enumerate(lengths) if n > limit]
    if not long:
        return rows
    what = f"{who} {column}" if column else who
    which = job.rows_at(long, who=who)
    found = f"{what}: {len(long)} of {rows.height} rows are longer than {limit} tokens (rows {which}; the longest has {max(lengths)})"
    if policy == "error":
        raise TrainingError(f"{found}. Raise max_length, shorten them, or choose too_long='truncate' or 'drop'.")
    if policy == "truncate":
        job.note(f"{found} and were cut to {limit}.")
        return rows
    if len(long) == rows.height:
        raise TrainingError(f"{found}: none is left.")
    job.note(f"{found} and were left out.")
    return without(rows, long, who=who, job=job)


def write_log(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The training log as Arrow: one row a log entry, columns step, epoch and then the others by name."""
    numbers = [{k: float(v) for k, v in row.items() if isinstance(v, int | float)} for row in rows]
    names = sorted({k for row in numbers for k in row} - {"step", "epoch"})
    frame = pl.DataFrame(numbers, schema=dict.fromkeys(("step", "epoch", *names), pl.Float64))
    frame.with_columns(pl.col("step").cast(pl.Int64, strict=False)).write_ipc(path)
