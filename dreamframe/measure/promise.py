"""What is promised of rows that a cheap model decides: how good they are against the strong model's answers, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dreamframe.errors import SettingError

MOST_DELTA = 0.5  # what is missed more often than held is no promise; whoever gives more means 1 - delta
_CERTAIN = "a sample cannot promise it: 1.0 means that the strong model is asked about every row, which needs no cascade"


@dataclass(frozen=True)
class Promise:
    """Targets between 0 and 1, each held with probability at least 1 - delta over the draw of the sample, against the strong model's answers.

    Either `accuracy` (share of all rows whose answer is the strong model's), or `precision` (share of the rows answered yes to which the strong model
    says yes), `recall` (share of the rows to which the strong model says yes that are answered yes), or both of these, with half of `delta` each.
    `labels`: the most that may be asked for to find the thresholds, None for as many as pay.
    `elsewhere`: who answers the rows of which no target speaks, under `precision` or `recall` alone: the strong model, so that nothing is lost there, or
    the proxy: yes above the threshold of `recall`, no below the threshold of `precision`.

    Raises SettingError for a target, a delta or a number of labels that cannot be.

    >>> Promise(recall=0.9).side_delta, Promise(recall=0.9, precision=0.8).side_delta
    (0.05, 0.025)
    """

    accuracy: float | None = None
    precision: float | None = None
    recall: float | None = None
    delta: float = 0.05
    labels: int | None = None
    elsewhere: Literal["strong", "proxy"] = "strong"

    def __post_init__(self) -> None:
        targets = {name: value for name in ("accuracy", "precision", "recall") if (value := getattr(self, name)) is not None}
        if not targets:
            raise SettingError("a promise needs a target: accuracy=, precision= or recall=, for instance recall=0.9")
        if len(targets) > 1 and "accuracy" in targets:
            raise SettingError("a promise is of accuracy= or of precision= and recall=, not of both kinds: leave one out")
        for name, value in {**targets, "delta": self.delta}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
                why = f": {_CERTAIN}" if value == 1 and name != "delta" else ""
                raise SettingError(f"{name}={value!r} is not between 0 and 1{why}. Give a share such as {'0.05' if name == 'delta' else '0.9'}.")
        if self.delta > MOST_DELTA:
            raise SettingError(f"delta={self.delta!r} is the probability that the target is missed, not that it is held. Give a share such as 0.05.")
        if self.labels is not None and (isinstance(self.labels, bool) or not isinstance(self.labels, int) or self.labels < 0):
            raise SettingError(f"labels={self.labels!r} is not a number of labels: give a whole number from 0, or None for as many as pay")
        if self.elsewhere not in ("strong", "proxy"):
            raise SettingError(f"elsewhere={self.elsewhere!r} is not 'strong' or 'proxy'")
        if self.elsewhere == "proxy" and (len(targets) > 1 or self.accuracy is not None):
            raise SettingError("elsewhere='proxy' is for precision= or recall= alone: under other promises the rest is what the strong model must answer")

    @property
    def side_delta(self) -> float:
        """The probability of failing that each target has to itself."""
        return self.delta / 2 if self.precision is not None and self.recall is not None else self.delta
