"""One row of each item that was compared, with its strength: the step behind `df.bradley_terry(...)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import SchemaError, SettingError
from dreamframe.measure.bradley_terry import strengths
from dreamframe.models.request import RowContext
from dreamframe.plan.step import TableStep, step
from dreamframe.prompts.parsers import VERDICTS

TEXTS = (pl.String, pl.Enum, pl.Categorical)


@step
class Strengths(TableStep):
    """Strengths by the model of Bradley and Terry, from who won of each pair; intervals by the bootstrap."""

    a: str
    b: str
    winner: str = "winner"
    prior: float = 0.5  # wins, and as many losses, of each item against one of strength one
    confidence: float = 0.95
    draws: int = 1_000  # resamples
    seed: int = 0

    cites: ClassVar[tuple[str, ...]] = ("https://doi.org/10.2307/2334029", "https://doi.org/10.1080/10618600.2012.638220")

    @property
    def label(self) -> str:
        return self.name or "bradley_terry"

    def check(self) -> None:
        super().check()
        if isinstance(self.prior, bool) or not isinstance(self.prior, int | float) or not 0 <= self.prior < float("inf"):
            raise SettingError(f"{self.label}: prior={self.prior!r}; give a number of wins of 0 or more, e.g. 0.5.")
        if not isinstance(self.confidence, int | float) or not 0 < self.confidence < 1:
            raise SettingError(f"{self.label}: confidence={self.confidence!r}; give a share between 0 and 1, e.g. 0.95.")
        if isinstance(self.draws, bool) or not isinstance(self.draws, int) or self.draws < 0:
            raise SettingError(f"{self.label}: draws={self.draws!r}; give a number of resamples, 0 for no interval.")
        if self.a == self.b:
            raise SettingError(f"{self.label}: a and b are both {self.a!r}; name the two columns of what was compared.")
        have = self.inputs[0].schema
        if _kind(have[self.a]) != _kind(have[self.b]):
            raise SchemaError(f"{self.label}: {self.a!r} is {have[self.a]} and {self.b!r} is {have[self.b]}; cast one of them.")

    def reads(self) -> frozenset[str]:
        return frozenset({self.a, self.b, self.winner})

    def output_schema(self) -> pl.Schema:
        points = dict.fromkeys(("elo", "elo_low", "elo_high"), pl.Float64())
        return pl.Schema({"item": _kind(self.inputs[0].schema[self.a]), **points, **dict.fromkeys(("wins", "losses", "ties"), pl.UInt32())})

    def describe(self) -> str:
        interval = f", {self.confidence:.0%} intervals of {self.draws:,} resamples" if self.draws else ""
        return f"BRADLEY TERRY ← {self.a} or {self.b} by {self.winner}{interval}"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        import asyncio

        return await asyncio.to_thread(self._made, tables[0])

    def _made(self, rows: pl.DataFrame) -> pl.DataFrame:
        kind = self.schema["item"]
        one, two = (rows.get_column(c).cast(kind).to_list() for c in (self.a, self.b))
        said = rows.get_column(self.winner)
        won = [self._won(*game) for game in zip(one, two, said.cast(pl.String).to_list() if _kind(said.dtype) == pl.String else said.to_list(), strict=True)]
        games = [(a, b, share) for a, b, share in zip(one, two, won, strict=True) if share is not None]
        found = strengths(*zip(*games, strict=True), prior=self.prior, confidence=self.confidence, draws=self.draws, seed=self.seed) if games else []
        return pl.DataFrame([(s.item, s.elo, s.low, s.high, s.wins, s.losses, s.ties) for s in found], schema=self.schema, orient="row")

    def _won(self, a: Any, b: Any, winner: Any) -> float | None:
        """1 where a won, 0 where b did, 0.5 for a tie; None where the row says nothing."""
        if a is None or b is None or winner is None or a == b:
            return None
        readings: list[Mapping[Any, float]] = [{"a": 1.0, "b": 0.0, "tie": 0.5, "tie (bothbad)": 0.5}, {self.a: 1.0, self.b: 0.0}, {a: 1.0, b: 0.0}]
        found = {reading[winner] for reading in readings if winner in reading}
        where = f"{self.label}: {self.winner!r} is {winner!r} where {self.a!r} is {a!r} and {self.b!r} is {b!r}"
        if len(found) == 1:
            return found.pop()
        if found:
            raise SchemaError(f"{where}, which can be either of the two. Name them otherwise.")
        raise SchemaError(
            f"{where}; it must be {', '.join(map(repr, VERDICTS))}, the name of one of the columns, or one of the two."
        )


def _kind(dtype: pl.DataType) -> pl.DataType:
    """The type of items: texts of any type are String."""
    return pl.String() if isinstance(dtype, TEXTS) else dtype
