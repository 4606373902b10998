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


def read_rows(path: Path | None, job: TrainJob, *, who: str, nullable: Sequence[str] = ()) -> pl.DataFrame | None:
    """The rows of a file, without those that lack a value (counted and noted). None for no file; TrainingError for no rows."""
    if path is None:
        return None
    rows = pl.read_ipc(path)
    whole = rows.drop_nulls([c for c in rows.columns if c not in nullable])
    if whole.height < rows.height:
        null = rows.with_row_index("row").filter(pl.any_horizontal(pl.col(rows.columns).exclude(nullable).is_null()))["row"]
        job.note(f"{who}: {null.len()} of {rows.height} rows hold a null and were left out (rows {numbered(null.to_list())}).")
    if whole.is_empty():
        raise TrainingError(f"{who}: there are no rows to train on" + (f"; all {rows.height} hold a null." if rows.height else "."))
    return whole


def numbered(rows: Sequence[int], *, most: int = 5) -> str:
    """`3, 7, 9 and 4 more`.

    >>> numbered([3, 7, 9], most=2)
    '3, 7 and 1 more'
    """
    shown = ", ".join(str(r) for r in rows[:most])
    return shown if len(rows) <= most else f"{shown} and {len(rows) - most} more"


def fit_length(rows: pl.DataFrame, lengths: Sequence[int], *, limit: int, policy: str, who: str, job: TrainJob) -> pl.DataFrame:
    """Do to rows longer than `limit` tokens what `policy` says: truncate (the trainer cuts them), drop, error. Never silently."""
    long = [i for i, n in enumerate(lengths) if n > limit]
    if not long:
        return rows
    found = f"{who}: {len(long)} of {rows.height} rows are longer than {limit} tokens (rows {numbered(long)}; the longest has {max(lengths)})"
    if policy == "error":
        raise TrainingError(f"{found}. Raise max_length, shorten them, or choose too_long='truncate' or 'drop'.")
    if policy == "truncate":
        job.note(f"{found} and were cut to {limit}.")
        return rows
    job.note(f"{found} and were left out.")
    kept = rows.with_row_index("row").filter(~pl.col("row").is_in(long)).drop("row")
    if kept.is_empty():
        raise TrainingError(f"{found}: none is left.")
    return kept


def write_log(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """The training log as Arrow: one row a log entry, columns step, epoch and then the others by name."""
    numbers = [{k: float(v) for k, v in row.items() if isinstance(v, int | float)} for row in rows]
    names = sorted({k for row in numbers for k in row} - {"step", "epoch"})
    frame = pl.DataFrame(numbers, schema=dict.fromkeys(("step", "epoch", *names), pl.Float64))
    frame.with_columns(pl.col("step").cast(pl.Int64, strict=False)).write_ipc(path)
