"""Heads of another size: a base that tells two labels, where the rows have three. The head is drawn anew, and the training says so."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamframe.errors import TrainingError, listed
from dreamframe.trainers.head_labels import known_labels
from dreamframe.trainers.job import TrainJob


def other_head(folder: Path, config: Mapping[str, Any]) -> tuple[int, int] | None:
    """How many outputs the head of the weights in a folder has and how many are wanted; None where it has none, or as many."""
    wanted = config.get("num_labels") or len(config.get("id2label") or ())
    has = len(known_labels(folder))
    return (has, int(wanted)) if wanted and has and has != wanted else None


def note_new_head(sizes: tuple[int, int], job: TrainJob, who: str) -> None:
    """Say that the head starts anew."""
    has, wanted = sizes
    labels = known_labels(job.base) if job.base is not None else []
    told = f" ({listed(labels)})" if labels and has > 1 else ""
    job.note(f"{who}: the head of the base has {has} output{'s' * (has != 1)}{told}, and {wanted} are needed: it starts anew; all other weights are kept.")


def refuse_others(mismatched: Any, sizes: tuple[int, int], who: str) -> None:
    """Raise TrainingError where weights other than the head's have another size than the config says."""
    has, wanted = sizes
    others = [f"{name} {tuple(there)} for {tuple(here)}" for name, there, here in mismatched if (there[0], here[0]) != (has, wanted)]
    if others:
        raise TrainingError(f"{who}: weights of the base are not of the size that its config says: {listed(others, most=3)}.")
