"""Pairwise judgement: which text is shown first, and who has won."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import ClassVar

import polars as pl

from dreamframe.models.request import RowContext
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import RowStep, kept_columns, step
from dreamframe.prompts import templates as template
from dreamframe.prompts.parsers import VERDICTS

WINNER = pl.Enum(VERDICTS)


@step
class Coin(RowStep):
    """Adds true or false to each row, as its own texts and a seed decide: the same whatever other rows there are, and in which order.

    sha256, since its bits are even and it is the same in every version of every library.
    """

    columns: tuple[str, ...]
    into: str
    seed: int = 0

    @property
    def label(self) -> str:
        return self.name or "coin"

    def check(self) -> None:
        super().check()
        self.adds(self.into)

    def reads(self) -> frozenset[str]:
        return frozenset(self.columns)

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.Boolean()})

    def describe(self) -> str:
        return f"COIN {self.into} ← {', '.join(self.columns)} seed={self.seed}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        texts = [template.as_text(rows.get_column(c)).to_list() for c in self.columns]
        thrown = [self._throw(values) for values in zip(*texts, strict=True)]
        return rows.with_columns(pl.Series(self.into, thrown, dtype=pl.Boolean))

    def _throw(self, values: tuple[str | None, ...]) -> bool:
        digest = hashlib.sha256(f"coin {self.seed}\n".encode())
        for value in values:
            held = b"" if value is None else value.encode("utf-8", "surrogatepass")
            digest.update(f"{-1 if value is None else len(held)}:".encode() + held)
        return bool(digest.digest()[0] & 1)


@step
class Judge(RowStep):
    """Turns what a judge said about the texts as they were shown into the winner: "a", "b" or "tie"; null where it said nothing.

    `first` and `second` are columns of verdicts ("a" for the text that was shown first). `second` is of the pair shown the other way round: verdicts that
    disagree are a tie. `swapped` tells for which rows `first` saw b first. All three are dropped.
    """

    a: str
    b: str
    prompt: str | None = None
    into: str = "winner"
    first: str
    second: str | None = None
    swapped: str | None = None

    # Zheng et al. 2023, Judging LLM-as-a-Judge; Wang et al. 2023, Large Language Models are not Fair Evaluators
    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2306.05685", "https://arxiv.org/abs/2305.17926")

    @property
    def label(self) -> str:
        return self.name or "judge"

    def check(self) -> None:
        super().check()
        self.adds(self.into)

    def reads(self) -> frozenset[str]:
        return frozenset(c for c in (self.a, self.b, self.prompt, *self._told) if c is not None)

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def _told(self) -> tuple[str, ...]:
        return tuple(c for c in (self.first, self.second, self.swapped) if c is not None)

    def output_schema(self) -> pl.Schema:
        kept = {n: t for n, t in self.inputs[0].schema.items() if n not in self._told}
        return pl.Schema({**kept, self.into: WINNER})

    def describe(self) -> str:
        order = "each way round" if self.second else "in random order" if self.swapped else "in this order"
        return f"JUDGE {self.into} ← {self.a} or {self.b}, {order}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        said = pl.col(self.first).cast(pl.String)
        if self.swapped is not None:
            said = pl.when(pl.col(self.swapped)).then(turned(said)).otherwise(said)
        if self.second is not None:
            other = turned(pl.col(self.second).cast(pl.String))
            said = pl.when(other.is_null()).then(None).when(said == other).then(said).when(said.is_not_null()).then(pl.lit("tie"))
        return rows.with_columns(said.cast(WINNER).alias(self.into)).drop(self._told)


def turned(verdict: pl.Expr) -> pl.Expr:
    """A verdict about a pair that was shown b first, in terms of a and b."""
    return verdict.replace({"a": "b", "b": "a"})
