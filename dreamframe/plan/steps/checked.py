"""Answers that were had in a cheaper way, checked on some rows that are asked about as was meant: the rows to check, the asking, and what follows from it.

The cheaper way writes a column of guesses. `DrawChecked` draws some rows, half of them guessed yes; `AskOpen` asks about these; `Agreement` compares, and
hands the guesses on where they hold, none where they do not; a second `AskOpen` asks about every row that has none. So no guess counts without its check.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import polars as pl

from dreamframe.errors import AgreementError
from dreamframe.models.request import RowContext
from dreamframe.plan.by_content import content_hashes
from dreamframe.plan.schemas import with_columns, without_columns
from dreamframe.plan.step import Rows, TableStep, kept_columns, runtime, step
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.room import offer_room

Otherwise = Literal["pairs", "raise"]


@step
class DrawChecked(TableStep):
    """Adds what is known of each row: its guess, or nothing, for the rows that are drawn to be checked. Rows without a guess are not drawn, and have a no.

    Half of the rows are drawn of those guessed yes, half of those guessed no, more of the one where the other has too few; of equal rows the first. Their
    own values and the seed decide which.
    """

    guess: str
    columns: tuple[str, ...]  # whose values decide: those that are asked about
    into: str
    n: int
    seed: int = 0

    @property
    def label(self) -> str:
        return self.name or "check"

    def check(self) -> None:
        super().check()
        self.adds(self.into)

    def reads(self) -> frozenset[str]:
        return frozenset({self.guess, *self.columns})

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def rows(self) -> Rows:
        return "same"

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.Boolean()})

    def describe(self) -> str:
        return f"DRAW {self.n} rows to check, half of them guessed yes, seed={self.seed}"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        rows = tables[0]
        hashed = pl.DataFrame({"hash": content_hashes(rows, self.columns, self.seed), "guess": rows.get_column(self.guess)}).with_row_index("row")
        known = hashed.filter(pl.col("guess").is_not_null()).unique("hash", keep="first", maintain_order=True).sort("hash", "row")
        yes, no = (known.filter(pl.col("guess") == said).get_column("row") for said in (True, False))
        n_yes = min(len(yes), max(self.n // 2, self.n - len(no)))
        drawn = pl.concat([yes.head(n_yes), no.head(self.n - n_yes)])
        is_drawn = hashed.get_column("row").is_in(drawn.implode())
        return rows.with_columns(pl.when(~is_drawn).then(pl.col(self.guess).fill_null(value=False)).alias(self.into))


@step
class AskOpen(PromptStep):
    """Asks about the rows of which nothing is known; all others have what is known of them, and no call is made.

    Samples have the numbers that they have where every row is asked about.
    """

    known: str
    once: bool = False  # whether equal requests are one question, as in AskedOnce
    decides: bool = runtime(default=False)  # whether it depends on the answers what becomes of the other rows
    rows_asked: str = runtime(default="the rows that are open")  # in words, for explain

    def reads(self) -> frozenset[str]:
        return super().reads() | {self.known}

    @property
    def needs_order(self) -> bool:
        return super().needs_order and not self.once

    def describe(self) -> str:
        return f"{super().describe()}, of {self.rows_asked}"

    @property
    def needs_real(self) -> bool:  # type: ignore[override]  # of those that are checked, whose answers decide about the others
        return self.decides

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        question = ctx.once("question", lambda: self.question(ctx))
        offer_room(question, ctx)
        prompts = self.as_asked(self.each_sample(await ctx.once("prompt", lambda: self.prompt).rendered(rows, ctx)))
        known = rows.get_column(self.known)
        for position in [p for p in ctx.failures if known[p] is not None]:  # its prompt cannot be written, and need not be
            del ctx.failures[position]
        samples = await ctx.number(question, prompts) if self.needs_order else None if self._sampling.is_greedy else [0] * len(prompts)
        is_open = self.each_sample(known.is_null())
        made = await self.answered(rows, pl.select(pl.when(is_open).then(prompts)).to_series().alias("prompt"), samples, ctx)
        return made.with_columns(pl.coalesce(self.known, self.into).alias(self.into))


@step
class Agreement(TableStep):
    """Hands the guesses on where those of the checked rows agree with what was answered about them, and none where they do not.

    Of the checked rows that were guessed yes a part of at least `least` must agree, and of those guessed no as well: one cannot make up for the other.
    The guess of a checked row is left out in any case: its answer counts. A check is an estimate, and no certificate.
    """

    guess: str
    known: str
    said: str
    into: str
    least: float
    otherwise: Otherwise
    way: str = runtime(default="guesses")  # how they were had, in words

    @property
    def label(self) -> str:
        return self.name or "agreement"

    def reads(self) -> frozenset[str]:
        return frozenset({self.guess, self.known, self.said})

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.inputs[0].schema if c not in self.reads()}

    @property
    def rows(self) -> Rows:
        return "same"

    def output_schema(self) -> pl.Schema:
        return with_columns(without_columns(self.inputs[0].schema, sorted(self.reads())), {self.into: pl.Boolean()})

    @property
    def certified(self) -> frozenset[str]:
        return frozenset()

    def told(self, rows: pl.DataFrame) -> Mapping[str, Any]:  # noqa: ARG002
        return {}  # it was noted while the step ran: its rows do not say it

    def describe(self) -> str:
        other = "every pair is asked" if self.otherwise == "pairs" else "an error"
        return f"AGREEMENT of {self.way} with pairs on {self.least:g} of those checked, else {other}"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:
        rows = tables[0]
        checked = rows.select(guess=self.guess, known=self.known, said=self.said).filter(pl.col("known").is_null() & pl.col("guess").is_not_null())
        told = checked.drop_nulls("said")
        of = {said: told.filter(pl.col("guess") == said) for said in (True, False)}
        agreed = {said: int((some["said"] == said).sum()) for said, some in of.items()}
        holds = told.height > 0 and all(agreed[said] >= self.least * some.height for said, some in of.items())
        is_settled = pl.col(self.known).is_not_null() & pl.lit(value=holds)
        made = rows.with_columns(pl.when(is_settled).then(pl.col(self.guess)).alias(self.into)).drop(sorted(self.reads()))
        self._tell(ctx, of, agreed, made, holds=holds, n_failed=checked.height - told.height)
        return made

    def _tell(
        self, ctx: RowContext, of: Mapping[bool, pl.DataFrame], agreed: Mapping[bool, int], made: pl.DataFrame, *, holds: bool, n_failed: int
    ) -> None:
        n_checked, n_agreed = sum(some.height for some in of.values()), sum(agreed.values())
        n_settled = made.height - made.get_column(self.into).null_count()
        parts = ", ".join(f"{agreed[said]} of {some.height} guessed {'yes' if said else 'no'}" for said, some in of.items() if some.height)
        found = f"{self.way} agree with {n_agreed} of {n_checked} checked pairs ({parts}; {self.least:g} wanted)" if n_checked else "no pair could be checked"
        found += f", {n_failed} checked pairs have no answer" if n_failed else ""
        then = f"{n_settled:,} of {made.height:,} pairs are settled by them" if holds else f"each of {made.height:,} pairs is asked"
        if not holds and self.otherwise == "raise" and n_checked:
            raise AgreementError(
                f"{self.label}: {found}. Ask pair by pair (asked='pairs', or otherwise='pairs'), or be content with less (agree={self.least:g} now). "
                "Every answer is kept."
            )
        ctx.note(f"{found}: {then}", warns=not holds and n_checked > 0, checked=n_checked, agreed=n_agreed, pairs=made.height, settled=n_settled)
