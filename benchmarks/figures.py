"""One figure of a benchmark: what dreamframe took, what the least took in the same run, their ratio, and the limit that it keeps or does not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A figure; the limit is one of the ratio where there is a floor, and else of what we took."""

    name: str
    ours: float
    unit: str
    floor: float | None = None
    over: str = ""  # what the floor is
    most: float | None = None
    least: float | None = None
    median_ratio: float | None = None  # of paired rounds; else the ratio of the two figures

    @property
    def ratio(self) -> float | None:
        if self.median_ratio is not None:
            return self.median_ratio
        return None if self.floor is None else self.ours / self.floor if self.floor else float("inf")

    @property
    def holds(self) -> bool:
        value = self.ours if self.ratio is None else self.ratio
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    def record(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "holds": self.holds}


def read(record: dict[str, Any]) -> Figure:
    """The figure of a record that `report` printed."""
    return Figure(**{name: record[name] for name in Figure.__dataclass_fields__})


def report(benchmark: str, figures: Sequence[Figure], **more: Any) -> bool:
    """Print a benchmark's figures and whatever else it found as one JSON object; True if all hold."""
    holds = all(figure.holds for figure in figures)
    print(json.dumps({"benchmark": benchmark, "figures": [figure.record() for figure in figures], **more, "holds": holds}, indent=1))
    return holds


def reported(printed: str) -> list[Figure]:
    """The figures in what a benchmark printed. Raises ValueError where it printed none."""
    at = printed.find('{\n "benchmark"')
    if at < 0:
        raise ValueError("no figures were printed")
    return [read(record) for record in json.JSONDecoder().raw_decode(printed[at:])[0]["figures"]]
