"""Rows that teach nothing: pairs without a difference, labels and scores without a second value, texts without another one to be told from.

A loss that would be 0 for any model is refused, or its rows are left out and counted; rows that only teach less than they seem to are noted. What
shows itself only in the training is noted by outcome.py.
"""

from __future__ import annotations

import polars as pl

from dreamframe.errors import TrainingError, listed
from dreamframe.trainers.job import TrainJob, leave_out

DIFFERENCES = ("sigmoid", "hinge", "ipo", "exo_pair", "robust", "discopop", "sigmoid_norm")  # losses of the difference of two answers alone
OTHERS = "MultipleNegatives"  # in the names of losses that learn from the other rows of a batch
ORDERS = ("CoSENTLoss", "AnglELoss")  # losses that learn which of two rows of a batch has the higher score
SAME_OR_NOT = ("OnlineContrastiveLoss", "ContrastiveLoss")  # losses over 1 same, 0 different


def look_for_ties(rows: pl.DataFrame, *, who: str, job: TrainJob, prefers_only: bool, columns: tuple[str, str] = ("chosen", "rejected")) -> None:
    """Note the pairs whose answers are equal. `prefers_only`: whether the trainer learns what is preferred, and nothing else."""
    equal = [i for i, (a, b) in enumerate(rows.select(columns).iter_rows()) if a == b]
    if not equal:
        return
    read = "" if columns[0] == "chosen" else ", as far as they are read"
    found = f"{who}: {len(equal)} of {rows.height} rows have the same chosen and rejected{read}"
    job.note(f"{found}: they teach {'nothing' if prefers_only else 'to write, and to prefer nothing'} (rows {job.rows_at(equal, who=who)}).")


def note_one_value(values: pl.Series, what: str, *, who: str, job: TrainJob) -> None:
    """Note that all rows have one label or score."""
    if values.len() and values.n_unique() == 1:
        job.note(f"{who}: all {values.len()} rows have the {what} {values.to_list()[0]}, so there is nothing that it is told from.")


def refuse_beyond_one(scores: pl.Series, *, who: str, job: TrainJob) -> None:
    """Raise TrainingError where scores that are learnt as probabilities are not probabilities: beyond 0 and 1 the loss falls without end."""
    beyond = ((scores < 0) | (scores > 1)).arg_true().to_list()
    if beyond:
        raise TrainingError(
            f"{who}: BinaryCrossEntropyLoss reads scores from 0 to 1, and {len(beyond)} of {scores.len()} rows have others "
            f"(rows {job.rows_at(beyond, who=who)}; such as {scores[beyond[0]]:g}). Scale them, or give loss='MSELoss'."
        )


def refuse_alone(loss: str, rows: pl.DataFrame, *, who: str) -> None:
    """Raise TrainingError where a loss of sentence-transformers compares rows, and these rows have nothing to compare."""
    if OTHERS in loss and "positive" in rows.columns and "negative" not in rows.columns and (n := rows["positive"].n_unique()) < 2:
        raise TrainingError(
            f"{who}: {loss} learns from the positives of other rows, and the {rows.height} rows have {n} different one alone; "
            "give more pairs, or a negative= column."
        )
    if loss.removeprefix("Sparse") in ORDERS and "score" in rows.columns and rows["score"].n_unique() < 2:
        raise TrainingError(f"{who}: {loss} learns which rows have higher scores, and all {rows.height} rows have one score.")


def learns_from_others(loss: str, columns: tuple[str, ...]) -> bool:
    """Whether a loss needs two rows or more in a batch."""
    return (OTHERS in loss and "negative" not in columns) or loss.removeprefix("Sparse") in ORDERS


def same_and_different(labels: pl.Series, *, who: str, job: TrainJob) -> dict[str, int] | None:
    """Which label counts as same (1) and which as different (0), where they are texts; None for true and false and for 1 and 0. TrainingError for others."""
    if labels.dtype == pl.Boolean:
        return None
    names = sorted(labels.cast(pl.String).unique().to_list())
    if labels.dtype.is_integer():
        if strange := sorted(set(names) - {"0", "1"}):
            seen = listed(strange)
            raise TrainingError(f"{who}: pairs are labelled 1 (same) or 0 (different), and the rows have {seen}; loss= can name one for more classes.")
        return None
    if len(names) != 2:
        raise TrainingError(f"{who}: pairs are labelled as same or different, and the rows have the labels {listed(names)}; give true and false.")
    job.note(f"{who}: the label {names[1]!r} was read as same and {names[0]!r} as different; to say otherwise, give true and false.")
    return {names[0]: 0, names[1]: 1}


def of_labels_with_company(rows: pl.DataFrame, *, who: str, job: TrainJob) -> pl.DataFrame:
    """The texts whose label another one has, too; TrainingError where that leaves fewer than two labels."""
    alone = rows.select((pl.len().over("label") < 2).arg_true()).to_series().to_list()
    if len(rows["label"].gather([i for i in range(rows.height) if i not in set(alone)]).unique()) < 2:
        raise TrainingError(f"{who}: it learns from texts of one label and of others: two labels or more, of two texts or more each.")
    return leave_out(rows, alone, why="are the only ones of their label", who=who, job=job)
