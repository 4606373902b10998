"""What cascades did, in words, and the money that they saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from dreamframe.plan.ledgers import saved, words

TOLD = {"rows": 1000, "scored": 1000, "sampled": 100, "by_proxy": 600, "by_strong": 400, "yes_from": 0.91, "no_below": None, "own_from": None}


@dataclass(frozen=True)
class Ran:
    asked: int
    cost: float | None
    told: Mapping[str, Any] = field(default_factory=dict)


def test_the_ledger_in_words() -> None:
    assert words(TOLD) == ["1,000 rows", "100 sampled", "600 decided by the proxy (yes from 0.91)", "400 by the strong model"]


def test_a_strangers_figures_are_told_only_if_they_are_figures() -> None:
    assert words({**TOLD, "rows": "many"}) == []
    assert words({}) == []


@pytest.mark.parametrize(
    ("strong", "proxies", "said"),
    [
        ([Ran(100, 1.0), Ran(300, 3.0)], [Ran(1000, 0.5)], ["$5.50 saved"]),
        ([Ran(400, 4.0)], [Ran(1000, 8.0)], ["$2.00 lost"]),
        ([Ran(400, None)], [Ran(1000, 0.5)], []),
        ([Ran(0, 0.0)], [Ran(0, 0.0)], []),
    ],
    ids=["saved", "lost", "a price that nobody knows", "all of it was kept"],
)
def test_what_was_saved(strong: list[Ran], proxies: list[Ran], said: list[str]) -> None:
    assert saved(TOLD, strong, proxies) == said
