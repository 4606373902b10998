"""What can be promised, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from dreamframe.errors import SettingError
from dreamframe.measure.promise import Promise


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"recall": 1.0}, "1.0 means that the strong model is asked about every row"),
        ({"accuracy": 1}, "accuracy=1 is not between 0 and 1: a sample cannot promise it"),
        ({"recall": 0.0}, "recall=0.0 is not between 0 and 1. Give a share such as 0.9"),
        ({"precision": 1.2}, "precision=1.2"),
        ({"precision": float("nan")}, "precision=nan"),
        ({"precision": True}, "precision=True"),
        ({"accuracy": 90}, "accuracy=90"),
        ({"recall": 0.9, "delta": 0.0}, "delta=0.0"),
        ({"recall": 0.9, "delta": 1.0}, "delta=1.0 is not between 0 and 1. Give a share such as 0.05"),
        ({"recall": 0.9, "delta": 0.95}, "delta=0.95 is the probability that the target is missed"),
        ({"recall": 0.9, "labels": -1}, "labels=-1"),
        ({"recall": 0.9, "labels": 1.5}, "labels=1.5"),
        ({}, "needs a target"),
        ({"accuracy": 0.9, "recall": 0.9}, "not of both kinds"),
        ({"recall": 0.9, "elsewhere": "cheap"}, "elsewhere='cheap'"),
        ({"accuracy": 0.9, "elsewhere": "proxy"}, "for precision= or recall= alone"),
        ({"precision": 0.9, "recall": 0.9, "elsewhere": "proxy"}, "for precision= or recall= alone"),
    ],
    ids=str,
)
def test_what_cannot_be_promised_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=said.replace(".", r"\.")):
        Promise(**settings)


def test_a_promise_of_both_has_half_of_delta_for_each() -> None:
    assert Promise(precision=0.8, recall=0.9, delta=0.1).side_delta == 0.05
    assert Promise(recall=0.9, delta=0.1).side_delta == 0.1
