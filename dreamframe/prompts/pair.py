"""Which of two texts is better: the question of a pairwise judge, as DataDreamer's judges write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import polars as pl

from dreamframe.prompts import templates as template
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.instruct import need_writable


@dataclass(frozen=True)
class Pair(Prompt):
    r"""Two texts and the instruction: `Input A: {a}\n\nInput B: {b}\n\nInstruction: {i}`.

    With `prompt`, a column of what both texts answer: `Prompt: {p}\n\nResponse A: {a}\n\nResponse B: {b}\n\nInstruction: {i}`. Rows for which the
    column `swapped` is true show b first. The technique is that of Zheng et al. 2023 (https://arxiv.org/abs/2306.05685); the strings are DataDreamer's.

    >>> Pair("a", "b").text
    "Which input is better? Respond with 'Input A' or 'Input B'."
    """

    a: str
    b: str
    prompt: str | None = None
    criteria: str | None = field(default=None, kw_only=True)
    instruction: str | None = field(default=None, kw_only=True)
    swapped: str | None = field(default=None, kw_only=True)  # a Boolean column
    always_swapped: bool = field(default=False, kw_only=True)

    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2306.05685",)

    @property
    def kind(self) -> str:
        """What the two texts are called."""
        return "Input" if self.prompt is None else "Response"

    @property
    def text(self) -> str:
        """The instruction."""
        if self.instruction is not None:
            return self.instruction
        by = f", judged by {self.criteria}" if self.criteria else ""
        return f"Which {self.kind.lower()} is better{by}? Respond with '{self.kind} A' or '{self.kind} B'."

    @property
    def verdicts(self) -> list[str]:
        """What a model that is held to the question may answer: what the usual question asks for; one of the user's own may also offer a tie."""
        return [f"{self.kind} A", f"{self.kind} B", *(["tie"] if self.instruction is not None else [])]

    @property
    def columns(self) -> tuple[str, ...]:
        named = (self.prompt, self.a, self.b, self.swapped)
        return tuple(dict.fromkeys(c for c in named if c is not None))

    @property
    def summary(self) -> str:
        to = f" to {self.prompt!r}" if self.prompt else ""
        by = f" by {self.criteria!r}" if self.criteria else ""
        first, second = (self.b, self.a) if self.always_swapped else (self.a, self.b)
        return f"Pair({first!r} or {second!r}{to}{by})"

    def check(self, schema: pl.Schema, *, step: str) -> None:
        for column in self.columns:
            need_writable(column, schema, step=step)

    def render(self, rows: pl.DataFrame) -> pl.Series:
        texts = {"a": self.a, "b": self.b, **({"p": self.prompt} if self.prompt is not None else {})}
        held = pl.DataFrame([template.as_text(rows.get_column(c)).alias(n) for n, c in texts.items()])
        swap = rows.get_column(self.swapped) if self.swapped is not None else pl.repeat(self.always_swapped, rows.height, eager=True)
        first, second = (pl.when(swap).then(pl.col(x)).otherwise(pl.col(y)) for x, y in (("b", "a"), ("a", "b")))
        shown = [pl.lit(f"{self.kind} A: "), first, pl.lit(f"\n\n{self.kind} B: "), second, pl.lit(f"\n\nInstruction: {self.text}")]
        before = [pl.lit("Prompt: "), pl.col("p"), pl.lit("\n\n")] if self.prompt is not None else []
        return held.select(pl.concat_str([*before, *shown]).alias("prompt")).to_series()

    def with_order(self, *, swapped: str | None = None, always_swapped: bool = False) -> Pair:
        """The same pair, shown in another order."""
        return replace(self, swapped=swapped, always_swapped=always_swapped)

    def renamed(self, names: Mapping[str, str]) -> Pair:
        held = {f: names.get(c, c) for f in ("a", "b", "prompt", "swapped") if (c := getattr(self, f)) is not None}
        return replace(self, **held)
