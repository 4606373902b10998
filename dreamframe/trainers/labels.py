"""Labels of training rows: what they are called, and that there are two to be told apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from dreamframe.errors import TrainingError, listed


def plain(values: pl.Series) -> pl.Series:
    """Categories as text, so that they sort by their names."""
    return values.cast(pl.String) if isinstance(values.dtype, pl.Categorical | pl.Enum) else values


def need_two(labels: Sequence[str], *, who: str) -> None:
    """Raise TrainingError where there are not two labels to be told apart."""
    if len(labels) < 2:
        seen = f"only one label ({listed(labels)})" if labels else "no label at all"
        raise TrainingError(f"{who}: the rows have {seen}; a classifier needs two or more.")


def named(value: Any) -> str:
    """A label as the model's config knows it."""
    return str(value).lower() if isinstance(value, bool) else str(value)
