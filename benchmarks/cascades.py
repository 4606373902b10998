"""Whether certified cascades keep what they promise, and what they cost: `python -m benchmarks.cascades [--data FOLDER] [--seeds N] [--lotus FILE]`.

Over many seeds: the share of runs that miss their target, which may be delta at most, and the share of rows that the strong model is asked about, beside
SUPG's selectors, BARGAIN's plain recipes and LOTUS's thresholds (see `cascade_rivals`). A seed draws the samples, and nothing else: scores and labels are
fixed. No model is needed. Without `--data` it runs on two populations made from a seed. `--data FOLDER`: SUPG's sets, `imagenet/source.csv`,
`onto/source.csv` and `tacred/source.csv` in FOLDER, each with columns label and proxy_score (github.com/stanford-futuredata/supg, folder data).
`--lotus FILE`: LOTUS's own `cascade_utils.py`, whose thresholds are then compared with those of our `lotus_thresholds` on a few seeds.
`--only SET ...` runs some sets, `--promises NAME ...` some promises; `--page FILE ...` writes the table of files that hold what this printed, such as one
for each set, into docs/promises.md, and runs nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cascade_rivals as rivals
from benchmarks.cascade_rivals import ASKED, NO, OWN, YES
from benchmarks.figures import Figure, report
from dreamframe.measure.certify import Certifier
from dreamframe.measure.promise import Promise

SETS = ("imagenet", "onto", "tacred")
TARGETS, DELTAS = (0.8, 0.9, 0.95), (0.05, 0.2)
GUARANTEES = ("accuracy", "precision", "recall", "both")
PAGE = Path(__file__).parent.parent / "docs" / "promises.md"


@dataclass(frozen=True)
class Line:
    """What one way to choose thresholds did over all seeds."""

    data: str
    guarantee: str
    target: float
    delta: float
    by: str
    seeds: int
    missed: int
    asked: float  # the mean share of rows that the strong model was asked about


def ours(guarantee: str, scores: Any, truth: Any, target: float, delta: float, rng: np.random.Generator) -> Any:
    targets = dict.fromkeys(("precision", "recall") if guarantee == "both" else (guarantee,), target)
    orders = [rng.permutation(len(scores)) for _ in range(2 if guarantee == "both" else 1)]
    certifier = Certifier(scores, orders[0], Promise(**targets, delta=delta), *orders[1:])
    while positions := certifier.wanted():
        certifier.tell(dict(zip(positions, truth[positions].tolist(), strict=True)))
    outcome = certifier.outcome()
    decided = np.full(len(scores), ASKED)
    decided[outcome.own], decided[outcome.yes], decided[outcome.no] = OWN, YES, NO
    return decided


def missed(decided: Any, truth: Any, guarantee: str, target: float) -> bool:
    """Whether the answers, the strong model's where it was asked, are worse than promised."""
    if guarantee == "accuracy":
        return bool(((decided == OWN) & ~truth).sum() > (1 - target) * len(truth) + 1e-9)
    kept = (decided == YES) | ((decided == ASKED) & truth)
    right = (kept & truth).sum()
    imprecise = guarantee != "recall" and right < target * kept.sum() - 1e-9
    return bool(imprecise or (guarantee != "precision" and right < target * truth.sum() - 1e-9))


def ways(guarantee: str) -> dict[str, tuple[Callable[..., Any], tuple[str, ...]]]:
    """Each way, by its name in the table, with the promises that it gives at once: SUPG and BARGAIN ask about all that recall keeps, which is precise."""
    found: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {"dreamframe": (partial(ours, guarantee), (guarantee,))}
    if guarantee == "accuracy":
        found["BARGAIN"] = rivals.bargain_accuracy, (guarantee,)
    elif guarantee == "precision":
        found |= {"SUPG": (rivals.supg_precision, (guarantee,)), "BARGAIN": (rivals.bargain_precision, (guarantee,))}
    elif guarantee == "recall":
        found |= {"SUPG": (rivals.supg_recall, ("recall", "both")), "BARGAIN": (rivals.bargain_recall, ("recall", "both"))}
    else:
        found["LOTUS"] = rivals.lotus, (guarantee,)
    return found


def lines(data: str, scores: Any, truth: Any, seeds: int, guarantees: Sequence[str] = GUARANTEES) -> Iterator[Line]:
    confidence, right = np.maximum(scores, 1 - scores), (scores >= 0.5) == truth
    for guarantee, target, delta in product(guarantees, TARGETS, DELTAS):
        values, labels = (confidence, right) if guarantee == "accuracy" else (scores, truth)
        for by, (choose, promises) in ways(guarantee).items():
            asked, misses = 0.0, dict.fromkeys(promises, 0)
            for seed in range(seeds):
                decided = choose(values, labels, target, delta, np.random.default_rng(seed))
                asked += float(np.mean(decided == ASKED)) / seeds
                for promise in promises:
                    misses[promise] += missed(decided, labels, promise, target)
            yield from (Line(data, promise, target, delta, by, seeds, misses[promise], asked) for promise in promises)
        print(f"{data} {guarantee} {target} {delta}", file=sys.stderr, flush=True)


def made() -> dict[str, tuple[Any, Any]]:
    """A calibrated proxy on 1,000 rows, and rare positives among 5,000 rows with a proxy that is too sure."""
    rng = np.random.default_rng(0)
    even, rare = rng.random(1_000), rng.random(5_000) ** 12
    return {"calibrated": (even, rng.random(1_000) < even), "rare": (rare**1.5, rng.random(5_000) < 0.9 * rare)}


def read(folder: Path, only: list[str]) -> dict[str, tuple[Any, Any]]:
    import polars as pl

    absent = [str(folder / name / "source.csv") for name in only if not (folder / name / "source.csv").exists()]
    if absent:
        sys.exit(f"cascades: not there: {', '.join(absent)}. They are in the folder data of github.com/stanford-futuredata/supg.")
    tables = {name: pl.read_csv(folder / name / "source.csv") for name in only}
    return {name: (t["proxy_score"].to_numpy().astype(float), t["label"].cast(pl.Float64).to_numpy() > 0.5) for name, t in tables.items()}


def interval(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval at 95 %."""
    share, spread = hits / of, z * sqrt(hits / of * (1 - hits / of) / of + z * z / (4 * of * of))
    return max(0.0, (share + z * z / (2 * of) - spread) / (1 + z * z / of)), min(1.0, (share + z * z / (2 * of) + spread) / (1 + z * z / of))


def figures(found: list[Line]) -> list[Figure]:
    """For each set and promise: the worst share of misses over delta, with room for chance alone, and the rows asked about beside BARGAIN's recipe."""
    kept = []
    for data, guarantee in dict.fromkeys((line.data, line.guarantee) for line in found):
        lines = {by: [x for x in found if (x.data, x.guarantee, x.by) == (data, guarantee, by)] for by in ("dreamframe", "BARGAIN")}
        excess = max((x.missed / x.seeds - x.delta) / sqrt(x.delta * (1 - x.delta) / x.seeds) for x in lines["dreamframe"])
        asked = {by: float(np.mean([x.asked for x in some])) for by, some in lines.items() if some}
        kept.append(Figure(f"cascade, {data}, {guarantee}: misses over delta", excess, "standard errors", most=3.0))
        kept.append(Figure(f"cascade, {data}, {guarantee}: rows asked about", asked["dreamframe"], "of rows", asked.get("BARGAIN"), "BARGAIN's recipe"))
    return kept


def table(found: list[Line]) -> str:
    """The table in markdown: a line for each set, guarantee, target and delta."""
    names = ("dreamframe", "SUPG", "BARGAIN", "LOTUS")
    rows = [("set", "promise", "target", "δ", *(f"{name}: missed, asked" for name in names)), ("---",) * (4 + len(names))]
    by = {(x.data, x.guarantee, x.target, x.delta, x.by): x for x in found}
    for key in sorted({key[:4] for key in by}, key=lambda key: (key[0], GUARANTEES.index(key[1]), key[2:])):
        cells = [str(part) for part in key]
        for name in names:
            x = by.get((*key, name))
            if x is None:
                cells.append("")
                continue
            low, high = interval(x.missed, x.seeds)
            share = f"{x.missed / x.seeds:.3f}"
            cells.append(f"{f'**{share}**' if low > x.delta else share} ({low:.3f}-{high:.3f}), {x.asked:.3f}")
        rows.append(tuple(cells))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def agreement(file: Path) -> float:
    """The share of 40 samples in which LOTUS's own code finds the thresholds that ours finds."""
    theirs, same = rivals.lotus_file(file), 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        scores = np.floor(rng.random(150) * 50) / 50
        truth, stands = rng.random(150) < scores, 0.5 + rng.random(150)
        same += np.allclose(theirs(scores, truth, stands, 0.9, 0.9, 0.2), rivals.lotus_thresholds(scores, truth, stands, 0.9, 0.9, 0.2))
    return same / 40


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", type=Path, metavar="FOLDER")
    options.add_argument("--only", nargs="+", choices=SETS, default=list(SETS), metavar="SET", help=", ".join(SETS))
    options.add_argument("--promises", nargs="+", choices=GUARANTEES, default=list(GUARANTEES), metavar="NAME", help=", ".join(GUARANTEES))
    options.add_argument("--seeds", type=int, default=100)
    options.add_argument("--lotus", type=Path, metavar="FILE")
    options.add_argument("--page", type=Path, nargs="+", metavar="FILE")
    given = options.parse_args()
    if given.page:
        found = [Line(**line) for file in given.page for line in json.loads(file.read_text())["lines"]]
        before, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- table -->")
        PAGE.write_text(f"{before}<!-- table -->\n{table(found)}\n<!-- end -->{rest.partition('<!-- end -->')[2]}", encoding="utf-8")
        return
    populations = read(given.data, given.only) if given.data else made()
    found = [line for name, (scores, truth) in populations.items() for line in lines(name, scores, truth, given.seeds, given.promises)]
    more: dict[str, Any] = {"lines": [asdict(line) for line in found], "on": time.strftime("%Y-%m-%d", time.gmtime())}
    if given.lotus:
        more["lotus_agrees"] = agreement(given.lotus)
    sys.exit(not report("cascades", figures(found), **more))


if __name__ == "__main__":
    main()
