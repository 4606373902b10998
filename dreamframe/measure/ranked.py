"""Rows in the order of their scores: rows of equal score stay together, and rows without a score are left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dreamframe.errors import SettingError


class Ranked:
    """The rows that have a score, highest first; a place is a row's number in this order, and a cut is a number of rows that a threshold can take."""

    def __init__(self, scores: Sequence[float | None], order: Sequence[int]) -> None:
        import numpy as np

        given = np.asarray(scores, dtype=np.float64)  # None becomes NaN
        turn = np.asarray(order, dtype=np.int64)
        drawn_as = np.full(len(given), -1, dtype=np.int64)
        if len(turn) == len(given) and len(turn) and turn.min() >= 0 and turn.max() < len(given):
            drawn_as[turn] = np.arange(len(given))
        if len(turn) != len(given) or (drawn_as < 0).any():
            raise SettingError(f"the order of sampling has to hold each of the {len(given)} positions once")
        if np.isinf(given).any():
            raise SettingError("a score is infinite: scores are finite numbers, and None or NaN where there is none")
        rows = np.flatnonzero(~np.isnan(given))
        self.position: Any = rows[np.lexsort((drawn_as[rows], -given[rows]))]  # (places,) position of the row at each place
        self.score: Any = given[self.position]  # (places,) falling
        self.turn: Any = drawn_as[self.position]  # (places,) the place's turn to be sampled, smallest first
        ends = np.flatnonzero(np.diff(self.score) != 0) + 1
        self.cuts: Any = np.concatenate([ends, [len(rows)]]) if len(rows) else np.empty(0, np.int64)  # rising

    def __len__(self) -> int:
        return len(self.position)

    def cut_up(self, count: float) -> int:
        """The smallest cut of at least `count` rows."""
        import numpy as np

        return int(self.cuts[min(int(np.searchsorted(self.cuts, count)), len(self.cuts) - 1)]) if len(self.cuts) else 0

    def cut_down(self, count: float) -> int:
        """The largest cut of at most `count` rows; 0 where there is none."""
        import numpy as np

        at = int(np.searchsorted(self.cuts, count, side="right")) - 1
        return int(self.cuts[at]) if at >= 0 else 0

    def drawn_from(self, start: int, stop: int) -> Any:
        """The places from `start` to before `stop`, in the order of sampling."""
        import numpy as np

        return start + np.argsort(self.turn[start:stop], kind="stable")
