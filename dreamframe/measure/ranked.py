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
        if np.isinf(given).any():
            raise SettingError("a score is infinite: scores are finite numbers, and None or NaN where there is none")
        rows, turn = np.flatnonzero(~np.isnan(given)), _turns(order, len(given))
        position = rows[np.argsort(-given[rows], kind="stable")]
        is_new = np.diff(given[position], prepend=np.inf) != 0
        equal = np.flatnonzero(~(is_new & np.append(is_new[1:], True)))  # few, so that they alone are sorted by two keys
        position[equal] = position[equal][np.lexsort((turn[position[equal]], -given[position[equal]]))]
        self.position: Any = position  # (places,) position of the row at each place; of equal scores, the first drawn
        self.score: Any = given[self.position]  # (places,) falling
        self.turn: Any = turn[self.position]  # (places,) the place's turn to be sampled, smallest first
        ends = np.flatnonzero(is_new)[1:]
        self.cuts: Any = np.concatenate([ends, [len(rows)]]) if len(rows) else np.empty(0, np.int64)  # rising

    def sample_by(self, order: Sequence[int], rows: int) -> None:
        """Draw further samples by another order of all positions."""
        self.turn = _turns(order, rows)[self.position]

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


def _turns(order: Sequence[int], rows: int) -> Any:
    """(positions,) when each is drawn."""
    import numpy as np

    positions, turns = np.asarray(order, dtype=np.int64), np.full(rows, -1, dtype=np.int64)
    if len(positions) == rows and rows and positions.min() >= 0 and positions.max() < rows:
        turns[positions] = np.arange(rows)
    if len(positions) != rows or (turns < 0).any():
        raise SettingError(f"an order of sampling has to hold each of the {rows} positions once")
    return turns
