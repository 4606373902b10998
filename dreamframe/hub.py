"""Hugging Face's world: rows as a `datasets.Dataset`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from dreamframe.errors import MissingExtraError

if TYPE_CHECKING:
    import datasets


def as_dataset(rows: pl.DataFrame) -> datasets.Dataset:
    """A `Dataset` over the same Arrow memory. Raises MissingExtraError where datasets is not installed.

    >>> from dreamframe.hub import as_dataset
    >>> as_dataset(pl.DataFrame({"a": [1]})).features["a"].dtype
    'int64'
    """
    try:
        import datasets
    except ImportError as exc:
        raise MissingExtraError("datasets", extra="hub", needed_for="to_hf_dataset") from exc
    return datasets.Dataset(datasets.table.InMemoryTable(rows.to_arrow()))
