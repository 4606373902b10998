"""Values as JSON: whatever polars holds, JavaScript reads it as it is."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any

import pytest

from dreamframe.session.page.cells import LARGEST, SHORT, cell

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 8


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (None, None),
        (True, True),
        (LARGEST - 1, LARGEST - 1),
        (-LARGEST, {"num": str(-LARGEST)}),
        (float("-inf"), {"num": "-∞"}),
        ("x" * (SHORT + 1), {"cut": "x" * SHORT, "n": SHORT + 1}),
        ({"a": {"b": [None]}}, {"fields": [["a", {"fields": [["b", {"list": [None], "n": 1}]]}]]}),
        (b"abc", {"bytes": 3}),
        (b"<svg onload=alert(1)>", {"bytes": 21}),
        (b"RIFF....JUNK", {"bytes": 12}),
        (PNG, {"picture": "data:image/png;base64,iVBORw0KGgowMDAwMDAwMA=="}),
        (datetime.date(2026, 1, 31), {"text": "2026-01-31"}),
        (Decimal("0.10"), {"text": "0.10"}),
    ],
)
def test_a_value_is_told_as_what_it_is(value: Any, made: Any) -> None:
    assert cell(value) == made
    json.dumps(cell(value), allow_nan=False)


def test_lists_without_end_and_structs_without_bottom_are_cut() -> None:
    deep: Any = 1
    for _ in range(100):
        deep = [deep]
    assert len(json.dumps(cell(deep))) < 400
    assert cell(list(range(100)))["n"] == 100
    assert len(cell(list(range(100)))["list"]) < 100
