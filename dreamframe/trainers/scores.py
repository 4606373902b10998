"""Metrics of an evaluation, from predictions and labels."""

from __future__ import annotations

from typing import Any, NamedTuple

IGNORED = -100  # the label of positions that do not count


class Seen(NamedTuple):
    """Predictions beside the right labels, as the library's trainers hand them over."""

    predictions: Any
    label_ids: Any


def best_tokens(logits: Any, _: Any) -> Any:
    """The likeliest class of each position: keeps whole vocabularies of logits out of memory while evaluating."""
    first = logits[0] if isinstance(logits, tuple) else logits
    return first.argmax(-1)


def token_accuracy(seen: Any) -> dict[str, float]:
    """Share of positions where the likeliest token is the right one."""
    counted = seen.label_ids != IGNORED
    return {"token_accuracy": float((seen.predictions == seen.label_ids)[counted].mean())}


def class_scores(seen: Any) -> dict[str, float]:
    """Accuracy and macro F1 of single labels; positions labelled IGNORED do not count. Predictions: class numbers."""
    counted = seen.label_ids != IGNORED
    predicted, right = seen.predictions[counted], seen.label_ids[counted]
    return {"accuracy": float((predicted == right).mean()), "f1": macro_f1(predicted, right)}


def label_set_scores(seen: Any) -> dict[str, float]:
    """Share of rows whose whole set of labels is right, and micro F1. Predictions: (rows, labels) logits."""
    predicted, right = seen.predictions > 0, seen.label_ids > 0.5
    hits, wrong = (predicted & right).sum(), (predicted ^ right).sum()
    return {"accuracy": float((predicted == right).all(axis=1).mean()), "f1": float(2 * hits / (2 * hits + wrong)) if hits else 0.0}


def macro_f1(predicted: Any, right: Any) -> float:
    """The mean over the labels that occur of 2·hits / (predicted + right)."""
    import numpy as np

    scores = []
    for label in np.unique(np.concatenate([predicted, right])):
        hits = ((predicted == label) & (right == label)).sum()
        scores.append(2 * hits / ((predicted == label).sum() + (right == label).sum()))
    return float(np.mean(scores)) if scores else 0.0
