"""Runs a Certifier on labels that are known, and says how good the answers are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dreamframe.measure.certificate import Outcome
from dreamframe.measure.certify import Certifier
from dreamframe.measure.promise import Promise


def certified(scores: Sequence[float | None], labels: Any, promise: Promise, seed: int = 0) -> Outcome:
    rng = np.random.default_rng(seed)
    certifier = Certifier(scores, rng.permutation(len(scores)), promise, second=rng.permutation(len(scores)))
    while positions := certifier.wanted():
        certifier.tell({position: None if labels[position] is None else bool(labels[position]) for position in positions})
    return certifier.outcome()


def is_kept(outcome: Outcome, labels: Any) -> bool:
    """Whether the answers are as good as promised, where the strong model answers what is not the proxy's."""
    promise, truth = outcome.certificate.promise, np.array(labels, dtype=bool)
    if promise.accuracy is not None:
        return bool((~truth[outcome.own]).sum() <= (1 - promise.accuracy) * len(truth) + 1e-9)
    kept = truth.copy()
    kept[outcome.yes], kept[outcome.no] = True, False
    right = (kept & truth).sum()
    return bool(right >= (promise.precision or 0) * kept.sum() - 1e-9 and right >= (promise.recall or 0) * truth.sum() - 1e-9)


def missed(populations: Any, promise: Promise) -> float:
    """The share of (scores, labels) whose answers break the promise; the seed of each is its number."""
    runs = [is_kept(certified(scores, labels, promise, seed), labels) for seed, (scores, labels) in enumerate(populations)]
    return 1 - sum(runs) / len(runs)
