"""Two ways of doing the same, measured in turn: medians of the ratios of paired rounds, so that a busy machine is busy for both."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

Way = Callable[[], int]  # does the work; the units (tokens, texts) that were made
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}  # processor time is that of all threads of this process


@dataclass(frozen=True)
class Pair:
    """What is compared: how many units a second `ours` makes, over those of `other`."""

    name: str
    unit: str
    ours: Way
    other: Way
    least: float | None = None  # the ratio that shall hold

    def measured(self, rounds: int, *, clock: str = "wall") -> dict[str, Any]:
        """Ratios above 1 mean that ours is faster. `clock` says which of both holds; a first round of each warms up and is not counted."""
        self.other()
        self.ours()
        took: list[dict[str, dict[str, float]]] = []
        for i in range(rounds):
            ways = {"ours": self.ours, "other": self.other}
            took.append({who: _rates(ways[who]) for who in (("ours", "other") if i % 2 else ("other", "ours"))})
        ratios = {c: median(t["ours"][c] / t["other"][c] for t in took) for c in CLOCKS}
        speeds = {f"{who}_{self.unit}_per_{c}_s": round(median(t[who][c] for t in took), 2) for who in ("ours", "other") for c in CLOCKS}
        found = {"ratio": round(ratios[clock], 3), **{f"{c}_ratio": round(r, 3) for c, r in ratios.items()}, "rounds": rounds, **speeds}
        if self.least is not None:
            found |= {"least": self.least, "holds": ratios[clock] >= self.least}
        print(f"{self.name}: {found['ratio']}x", file=sys.stderr, flush=True)
        return found


def _rates(way: Way) -> dict[str, float]:
    """Units a second of one round, by each clock."""
    began = {c: read() for c, read in CLOCKS.items()}
    made = way()
    return {c: made / max(1e-9, read() - began[c]) for c, read in CLOCKS.items()}
