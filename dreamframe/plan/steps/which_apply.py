"""Which of these apply: one question about a row and many values, in the place of a question about each pair."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import polars as pl

from dreamframe.errors import AnswerError
from dreamframe.models.answer import usable
from dreamframe.models.base import LLM, ModelSettings
from dreamframe.models.request import Question, RowContext, Sampling
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import Rows, TableStep, kept_columns, step
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.templates import as_text

LONGEST = 200  # characters of a value that can stand in a list
ASK = (
    "\n\nIn this question {name} stands for each of the values below. For which of them is the answer yes? "
    "Answer with a list of these values and no others; an empty list if there is none.\n"
)


class Menu(NamedTuple):
    """One request: a question about a row, and the values that are offered."""

    row: int  # of the rows that differ
    values: tuple[str, ...]
    text: str


@step
class WhichApply(TableStep):
    """Adds a guess about each pair: whether the model names the pair's value among those that apply. Each request offers up to `per_call` of the values that
    a row is paired with, in the order in which they come, and the model is held to them.

    A pair has no guess where its value is too long for a list, where the answer cannot be read, or where there would be as many requests as pairs.
    """

    llm: LLM
    prompt: Prompt  # about a pair
    column: str  # whose values are offered
    called: str  # what stands in its place in the question
    into: str
    system: str | None = None
    sampling: Sampling = Sampling()
    per_call: int = 20

    is_expensive: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return self.name or "labels"

    def check(self) -> None:
        super().check()
        self.adds(self.into)

    def models(self) -> tuple[ModelSettings, ...]:
        return (self.llm,)

    def reads(self) -> frozenset[str]:
        return frozenset(self.prompt.columns)

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def rows(self) -> Rows:
        return "same"

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.Boolean()})

    @property
    def certified(self) -> frozenset[str]:
        return frozenset()

    def told(self, rows: pl.DataFrame) -> Mapping[str, Any]:  # noqa: ARG002
        return {}  # it was noted while the step ran

    def describe(self) -> str:
        return f"LABELS which {self.called} apply, {self.per_call} a call ← {self.llm.label} {self.prompt.summary}"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:
        import asyncio

        rows = tables[0]
        keys, offered = self._offered(rows)
        menus = self._menus(rows, offered)
        n_pairs = int(offered.get_column("values").list.len().sum() or 0)
        if len({menu.text for menu in menus}) >= n_pairs:
            return rows.with_columns(pl.lit(None, dtype=pl.Boolean).alias(self.into))
        by_values: dict[tuple[str, ...], list[Menu]] = {}
        for menu in menus:
            by_values.setdefault(menu.values, []).append(menu)
        answers = await asyncio.gather(*(self._asked(values, some, ctx) for values, some in by_values.items()))
        found = {"at": pl.UInt32, "value": pl.String, self.into: pl.Boolean}
        told = pl.DataFrame([one for some in answers for one in some], schema=found, orient="row")
        n_mute = n_pairs - told.height
        ctx.note(
            f"{len(menus):,} requests in the place of {n_pairs:,} different pairs" + (f", {n_mute:,} of which have no guess" if n_mute else ""),
            requests=len(menus), pairs=n_pairs,
        )  # fmt: skip
        placed = keys.join(told, on=["at", "value"], how="left", maintain_order="left")
        return rows.with_columns(placed.get_column(self.into))

    def _offered(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """For each pair the number of its row (`at`) and its value; for each row that differs from the others one that is like it, and its values in order."""
        read = [c for c in self.prompt.columns if c != self.column]
        texts = [as_text(rows.get_column(c)).alias(f"{i}") for i, c in enumerate(read)]
        value = as_text(rows.get_column(self.column)).alias("value")
        keys = pl.DataFrame([*texts, value]).with_row_index("row")
        names = [t.name for t in texts]
        keys = keys.with_columns(at=pl.col("row").first().over(names) if names else pl.lit(0, dtype=pl.UInt32))
        fits = pl.col("value").is_not_null() & (pl.col("value").str.len_chars() <= LONGEST) & (pl.col("value").str.strip_chars() != "")
        fits &= pl.all_horizontal(pl.col(names).is_not_null()) if names else pl.lit(value=True)
        offered = keys.filter(fits).group_by("at", maintain_order=True).agg(values=pl.col("value").unique(maintain_order=True))
        return keys.select("at", "value"), offered

    def _menus(self, rows: pl.DataFrame, offered: pl.DataFrame) -> list[Menu]:
        """Every request, row by row."""
        named = rows[offered.get_column("at")].with_columns(pl.lit(f"[{self.called}]").alias(self.column))
        made: list[Menu] = []
        for at, values, question in zip(offered.get_column("at"), offered.get_column("values").to_list(), self.prompt.render(named), strict=True):
            for i in range(0, len(values), self.per_call):
                some = tuple(values[i : i + self.per_call])
                listed = "\n".join(f"- {json.dumps(v, ensure_ascii=False)}" if "\n" in v else f"- {v}" for v in some)
                made.append(Menu(at, some, f"{question}{ASK.format(name=f'[{self.called}]')}{listed}"))
        return made

    async def _asked(self, values: tuple[str, ...], menus: Sequence[Menu], ctx: RowContext) -> list[tuple[int, str, bool]]:
        """What is said of each value that these requests offer, by the number of the row; nothing where an answer cannot be read."""
        schema = AnswerSchema.of({"type": "array", "items": {"type": "string", "enum": list(values)}}, step=self.label)
        assert schema is not None
        llm = ctx.resolve(self.llm)
        sampling = self.sampling.over(llm.sampling)
        question = Question(llm=llm, system=self.system if self.system is not None else llm.system, sampling=sampling, json_schema=schema.json_schema)
        replies = await ctx.ask(question, pl.Series([menu.text for menu in menus], dtype=pl.String), [0] * len(menus))
        for position, failure in replies.failures.items():
            ctx.fail(menus[position].row, failure)
        made: list[tuple[int, str, bool]] = []
        for menu, (text, finish) in zip(menus, replies.answers.select("text", "finish").iter_rows(), strict=True):
            if finish is None:
                continue
            try:
                named = set(schema.parse(usable(text, finish, max_tokens=sampling.max_tokens)))
            except AnswerError:
                continue
            made += [(menu.row, value, value in named) for value in menu.values]
        return made
