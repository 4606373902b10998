"""One of several parts of a frame, by what its rows hold: where each row is asked when many processes share a plan and nobody leads them."""

from __future__ import annotations

import polars as pl
import xxhash

from dreamframe.errors import SettingError
from dreamframe.plan.by_content import contents
from dreamframe.plan.step import PolarsStep, Rows, kept_columns, step

WORD = (1 << 64) - 1
FACTOR = 2862933555777941757  # of the generator that Lamping and Veach use


def part_of(content: str, n: int) -> int:
    """Which of n parts a content belongs to: the same in every process, and with n + 1 parts only one of n + 1 contents moves, into the new part.

    "A Fast, Minimal Memory, Consistent Hash Algorithm", https://arxiv.org/abs/1406.2294.

    >>> [part_of(text, 4) for text in ("tea", "jam", "rain")], [part_of(text, 5) for text in ("tea", "jam", "rain")]
    ([3, 3, 1], [3, 3, 1])
    """
    key = xxhash.xxh3_64_intdigest(content.encode("utf-8", "surrogatepass"))
    found, jump = -1, 0
    while jump < n:
        found = jump
        key = (key * FACTOR + 1) & WORD
        jump = int((found + 1) * ((1 << 31) / ((key >> 33) + 1)))
    return found


@step
class Part(PolarsStep):
    """The rows of part i of n by what some columns hold: rows that are alike in them are in one part."""

    i: int
    n: int
    columns: tuple[str, ...]

    def check(self) -> None:
        check_part(self.i, self.n, where=self.where)
        super().check()

    def reads(self) -> frozenset[str]:
        return frozenset(self.columns)

    def passes(self) -> dict[str, str]:
        return kept_columns(self)

    @property
    def rows(self) -> Rows:
        return "fewer"

    @property
    def is_streamed(self) -> bool:
        return True

    def output_schema(self) -> pl.Schema:
        return self.inputs[0].schema

    def describe(self) -> str:
        return f"PART {self.i} of {self.n} by {', '.join(self.columns) or 'nothing'}"

    def apply(self, *frames: pl.LazyFrame) -> pl.LazyFrame:
        return frames[0].map_batches(self._mine, schema=self.schema, streamable=True)

    def _mine(self, rows: pl.DataFrame) -> pl.DataFrame:
        return rows.filter(pl.Series([part_of(content, self.n) == self.i for content in contents(rows, self.columns)], dtype=pl.Boolean))


def check_part(i: int, n: int, *, where: str) -> None:
    """Raise SettingError for what is not one of n parts, which are numbered from 0."""
    if type(i) is not int or type(n) is not int or n < 1 or not 0 <= i < n:
        last = f"0/{n} … {n - 1}/{n}" if type(n) is int and n > 1 else "0/1" if n == 1 else "0/4 … 3/4"
        raise SettingError(f"{where}: shard {i}/{n} is not one of {last}: shards are numbered from 0.")
