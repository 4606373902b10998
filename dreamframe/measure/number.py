"""A figure in words."""

from __future__ import annotations

import math


def number(value: float | None) -> str:
    """Three significant digits; whole numbers whole.

    >>> number(0.71234), number(1234.5), number(None)
    ('0.712', '1,234', 'not defined')
    """
    if value is None or not math.isfinite(value):
        return "not defined"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
