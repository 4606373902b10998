"""What others do to choose a cascade's thresholds, written from their published formulas: SUPG, BARGAIN, and LOTUS with its defects.

Each takes scores (probabilities of yes; under accuracy the confidence), the strong model's answers, a target, delta and a generator of random numbers, and
gives one whole number a row: ASKED for the strong model, OWN where the proxy's answer stands, YES and NO where the proxy says so. Rows of which a target
does not speak are the strong model's, and rows sampled keep its answer, with all of them alike; all but `bargain_accuracy` sample a tenth of the rows.

SUPG: Kang, Gan, Bailis, Hashimoto, Zaharia, "Approximate selection with guarantees using proxies" (2020), importance sampling by the root of the score.
BARGAIN: Zeighami, Shankar, Parameswaran, "Cut costs, not accuracy" (2025), its recipes without tuning, tests by betting (Waudby-Smith & Ramdas 2024).
LOTUS: `learn_cascade_thresholds` of lotus-ai 1.2.4, as it is run for a filter, with 50 quantiles for scores; `lotus_file` runs their own file.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable
from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np

NO, ASKED, YES, OWN = -1, 0, 1, 2
Rows = Any  # a numpy array with one entry a row
SAMPLE = 0.1  # of the rows


def _bound(values: Rows, drawn: int, delta: float, sign: int) -> float:
    return float(values.mean() + sign * values.std() / sqrt(drawn) * sqrt(2 * log(1 / delta)))


def _weighted(scores: Rows, uniform: float, rng: np.random.Generator, drawn: int, among: int) -> tuple[Rows, Rows]:
    """Rows drawn with replacement by the root of their score among the first rows, and how much each stands for."""
    root = np.sqrt(scores)
    weights = (1 - uniform) * root / root.sum() + uniform / len(scores) if root.any() else np.full(len(scores), 1 / len(scores))
    turns = np.cumsum(weights[:among])
    at = np.minimum(np.searchsorted(turns, rng.random(drawn) * turns[-1], side="right"), among - 1)
    return at, (1 / len(scores)) / weights[at]


def _highest(scores: Rows, gained: Rows, target: float) -> float:
    """The highest sampled score down to which `gained` reaches `target` of its sum; 0 where there is none."""
    down = np.argsort(-scores, kind="stable")
    total = gained.sum()
    reached = np.cumsum(gained[down]) >= target * total - 1e-12
    return float(scores[down][reached.argmax()]) if total > 0 and target <= 1 and reached.any() else 0.0


def supg_recall(scores: Rows, truth: Rows, target: float, delta: float, rng: np.random.Generator) -> Rows:
    """Everything above the threshold is asked about, as in SUPG's joint queries; the rest is dropped."""
    drawn = int(SAMPLE * len(scores))
    at, stands = _weighted(scores, 0.1, rng, drawn, len(scores))
    gained, of = truth[at] * stands, scores[at]
    first = _highest(of, gained, target)
    above, below = _bound(gained * (of >= first), drawn, delta / 2, 1), _bound(gained * (of < first), drawn, delta / 2, -1)
    corrected = min(1.0, above / (above + max(below, 0.0))) if above > 0 else 1.0
    decided = np.where(scores >= _highest(of, gained, corrected), ASKED, NO)
    decided[at] = ASKED
    return decided


def supg_precision(scores: Rows, truth: Rows, target: float, delta: float, rng: np.random.Generator) -> Rows:
    """Half of the sample bounds the number of positives, half is drawn among as many rows of the highest scores as could be precise; 1 of 100 is tried."""
    drawn = int(SAMPLE * len(scores)) // 2
    at, stands = _weighted(scores, 0.1, rng, drawn, len(scores))
    matches = len(scores) * _bound(truth[at] * stands, drawn, delta / 2, 1)
    top = np.argsort(-scores, kind="stable")[: max(1, min(len(scores), int(matches / target)))]
    chosen, _ = _weighted(scores[top], 0.1, rng, drawn, len(top))
    again = top[chosen]
    down = again[np.argsort(-scores[again], kind="stable")]
    step = max(1, len(down) // 100)
    tries = range(step, len(down) + 1, step)
    sums = np.cumsum(truth[down])
    decided = np.full(len(scores), ASKED)
    for n in reversed(tries):
        mean = sums[n - 1] / n
        if mean - sqrt(mean * (1 - mean) / n) * sqrt(2 * log(2 * len(tries) / delta)) > target:
            decided = np.where(scores >= scores[down[n - 1]], YES, ASKED)
            break
    decided[at] = decided[again] = ASKED
    return decided


def _wins(right: Rows, mean: float, alpha: float, rows: int | None) -> bool:
    """Whether a bet against "the mean is `mean` at most" is won: BARGAIN's test, drawn without replacement from `rows`, or with replacement where None."""
    x = right.astype(float)
    i = np.arange(1, len(x) + 1)
    before = np.concatenate([[0.0], np.cumsum(x)[:-1]])
    means = np.full(len(x), mean) if rows is None else (rows * mean - before) / (rows - i + 1)
    if (means < 0).any():
        return True
    guess = (0.5 + np.cumsum(x)) / (i + 1)
    spread = (0.25 + np.cumsum((x - guess) ** 2)) / (i + 1)
    spread = np.concatenate([[0.25], spread[:-1]])
    with np.errstate(divide="ignore"):
        stake = np.minimum(np.sqrt(2 * log(2 / alpha) / (i * np.log(i + 1) * spread)), 0.75 / means)
        return bool(np.cumsum(np.log1p(stake * (x - means))).max(initial=-np.inf) >= log(1 / alpha))


def bargain_accuracy(scores: Rows, right: Rows, target: float, delta: float, rng: np.random.Generator) -> Rows:
    """Prefixes of a twentieth of the rows and more, ten labels at a time, until one is not right often enough after 100 labels or at its half."""
    down, places = np.argsort(-scores, kind="stable"), rng.permutation(len(scores))
    asked, best = np.zeros(len(scores), bool), 0
    for part in range(1, 21):
        size = len(scores) * part // 20
        needed = (target * len(scores) - (len(scores) - size)) / size
        rows = down[places[places < size]]
        drawn, won = 0, needed <= 0
        while not won and drawn < size // 2:
            drawn = min(drawn + 10, size // 2)
            asked[rows[:drawn]] = True
            won = _wins(right[rows[:drawn]], needed, delta, size)
            if drawn >= 100 and right[rows[:drawn]].mean() <= needed:
                break
        if not won:
            break
        best = size
    decided = np.full(len(scores), ASKED)
    decided[down[:best]] = OWN
    decided[asked] = ASKED
    return decided


def bargain_precision(scores: Rows, truth: Rows, target: float, delta: float, rng: np.random.Generator) -> Rows:
    """Twenty sizes up to a tenth more than the rows with a score of a half; the first that fails ends it."""
    down, places = np.argsort(-scores, kind="stable"), rng.permutation(len(scores))
    reach, still = min(len(scores), int(1.1 * (scores >= 0.5).sum())), int(SAMPLE * len(scores))
    asked, best = np.zeros(len(scores), bool), 0
    for part in range(1, 21):
        size = reach * part // 20
        rows = down[places[places < size]]
        drawn, won = 0, False
        while not won and drawn < size:
            drawn = min(drawn + 10, size)
            if (~asked[rows[:drawn]]).sum() + asked.sum() > still:
                break
            asked[rows[:drawn]] = True
            won = _wins(truth[rows[:drawn]], target, delta, size)
        if not won:
            break
        best = size
    decided = np.full(len(scores), ASKED)
    decided[down[:best]] = YES
    decided[asked] = ASKED
    return decided


def bargain_recall(scores: Rows, truth: Rows, target: float, delta: float, rng: np.random.Generator) -> Rows:
    """A tenth of the rows drawn evenly; up from the lowest positive while enough of those drawn are at least as high (beta = 0)."""
    at = rng.permutation(len(scores))[: int(SAMPLE * len(scores))]
    positives = scores[at[truth[at]]]
    threshold = -np.inf
    for score in np.unique(positives):
        if not _wins(positives >= score, target, delta, None):
            break
        threshold = score
    decided = np.where(scores >= threshold, ASKED, NO)
    decided[at] = ASKED
    return decided


def lotus_thresholds(scores: Rows, truth: Rows, stands: Rows, recall: float, precision: float, delta: float) -> tuple[float, float]:
    """The thresholds for yes and for no that LOTUS finds in a sample, with what is wrong in them: see docs/promises.md."""
    down = np.argsort(-scores, kind="stable")
    s, y, w = scores[down], truth[down].astype(float), stands[down]
    total = float((y * w).sum())

    def below(target: float) -> float:
        """The highest sampled score that may be dropped so that the sample's recall reaches the target."""
        if not total:
            return 0.0
        sent = np.concatenate([[0.0], np.cumsum(np.where(s < 1.0, y * w, 0.0))])[np.searchsorted(-s, -s, side="left")]
        enough = ((s >= 1.0) * y).sum() + sent >= target * total
        return float(s[enough].max(initial=0.0)) if enough.any() else 0.0

    def bound(z: Rows, drawn: int, sign: int, alpha: float) -> float:
        return 0.0 if not len(z) else _bound(z, drawn, alpha, sign)

    first = below(recall)
    z = y * w
    upper, lower = bound(z[s >= first], len(s), 1, delta / 2), bound(z[s < first], len(s), -1, delta / 2)
    no = below(min(1.0, upper / (upper + lower)) if upper + lower else 1.0)
    ends = np.searchsorted(-s, -s, side="right")
    means = np.cumsum(y)[ends - 1] / ends
    sure = means - np.sqrt(means * (1 - means) / ends) * sqrt(2 * log(len(s) / delta)) > precision
    return max(no, float(s[sure].min(initial=1.0))), no


def lotus(scores: Rows, truth: Rows, target: float, delta: float, rng: np.random.Generator, thresholds: Callable[..., Any] = lotus_thresholds) -> Rows:
    """Both targets alike. Rows come in an order drawn anew, since LOTUS samples among the first 200 alone."""
    edges = np.percentile(scores, np.linspace(0, 100, 51))
    calibrated = np.clip((np.digitize(scores, edges) - 1) / 50, 0, 1)
    shuffled = rng.permutation(len(scores))
    at, stands = _weighted(calibrated[shuffled], 0.1, rng, int(SAMPLE * len(scores)), min(200, len(scores)))
    at = shuffled[at]
    yes, no = thresholds(calibrated[at], truth[at], stands, target, target, delta)
    decided = np.where(calibrated >= yes, YES, np.where(calibrated <= no, NO, ASKED))
    decided[at] = ASKED
    return decided


def lotus_file(path: Path) -> Callable[..., tuple[float, float]]:
    """`learn_cascade_thresholds` of LOTUS's own `cascade_utils.py`, with the rest of `lotus` left out."""
    quiet = types.SimpleNamespace(info=lambda *_: None)
    sys.modules.setdefault("lotus", types.ModuleType("lotus")).__dict__.update(logger=quiet)
    sys.modules.setdefault("lotus.types", types.ModuleType("lotus.types")).__dict__.update(CascadeArgs=object)
    spec = importlib.util.spec_from_file_location("lotus_cascade_utils", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def thresholds(scores: Rows, truth: Rows, stands: Rows, recall: float, precision: float, delta: float) -> tuple[float, float]:
        told = types.SimpleNamespace(recall_target=recall, precision_target=precision, failure_probability=delta)
        yes, no = module.learn_cascade_thresholds(scores.tolist(), truth.tolist(), stands, told)[0]
        return float(yes), float(no)

    return thresholds
