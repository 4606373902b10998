"""What a judge of two texts likes beside their worth: the one that is shown first, and the longer one."""

from __future__ import annotations

import polars as pl

from dreamframe.errors import SchemaError
from dreamframe.measure.labels import is_text, proportion
from dreamframe.measure.statistic import Statistic

BIASES = ("first_wins", "longer_wins")


def check(kind: str, columns: tuple[str, ...], types: list[pl.DataType], *, where: str) -> None:
    """Raise SchemaError where columns of these types are no verdicts, texts or truth values."""
    if not is_text(types[0]):
        raise SchemaError(f"{where}: {columns[0]!r} is {types[0]}, not verdicts 'a', 'b' or 'tie'.")
    if kind == "first_wins" and types[1] != pl.Boolean:
        raise SchemaError(f"{where}: {columns[1]!r} is {types[1]}; it is to be true where b was shown first.")
    if kind == "longer_wins" and (wrong := next((c for c, t in zip(columns[1:], types[1:], strict=True) if not is_text(t)), None)):
        raise SchemaError(f"{where}: {wrong!r} has no texts, whose lengths could be compared.")


def of(kind: str, rows: pl.DataFrame, columns: tuple[str, ...]) -> Statistic:
    """Of the rows with a winner, the share that the text shown first, or the longer one, has won."""
    verdict = pl.col(columns[0]).cast(pl.String)
    if kind == "first_wins":
        is_a = ~pl.col(columns[1])
    else:
        a, b = (pl.col(c).cast(pl.String).str.len_chars() for c in columns[1:])
        is_a = pl.when(a != b).then(a > b)
    found = rows.select((pl.when(verdict.is_in(["a", "b"])).then(verdict == "a") == is_a).alias("won")).to_series()
    return proportion(found.drop_nulls(), n_missing=0, note="")
