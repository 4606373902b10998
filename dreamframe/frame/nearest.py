"""Joins of the nearest pairs: a join's plan in which pairs further apart than is certified are not asked about."""

from __future__ import annotations

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.asked import Sides
from dreamframe.plan.hidden import hidden
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.cascade import Cascade, cascaded
from dreamframe.plan.steps.embed import Embed
from dreamframe.plan.steps.pair_ranks import Nearest, PairRanks
from dreamframe.plan.steps.prompt import PromptStep


def of_nearest(asks: PromptStep, nearest: Nearest, left: Step, right: Step, sides: Sides, *, label: str) -> Step:
    """What answers the question about each pair: no for those that are far apart, the model for all others."""
    if asks.prompt.inputs or asks.prompt.models:
        raise SettingError(f"{label}: block=dr.Nearest(…) is for prompts that read nothing but the pair; {asks.prompt.summary} is another.")
    for side, read in (("left", sides.left), ("right", sides.right)):
        if not read:
            raise SettingError(f"{label}: block=dr.Nearest(…) ranks by what the prompt reads of either side, and it reads no column of the {side} side.")
    n = len(asks.inputs[0].schema)
    text, vector, guess, likely = (hidden(what, n=n) for what in ("text", "vector", "guess", "likely"))

    def embedded(rows: Step, columns: tuple[str, ...]) -> Step:
        table = relational("select", inputs=(rows,), args=([pl.col(c) for c in columns],), name=label)
        read, told = one_text(table, columns, text, name=label)
        made = Embed.over(told, nearest.embedder, column=read, into=vector, on_error="null", name=f"{label} vectors")
        return relational("select", inputs=(made,), args=([pl.col(vector)],), name=label)

    beside = [embedded(rows, tuple(dict.fromkeys(name for _, name in read))) for rows, read in ((left, sides.left), (right, sides.right))]
    ranked = PairRanks(inputs=(asks.inputs[0], *beside), vector=vector, guess=guess, likely=likely, name=f"{label} nearest")
    promise = Cascade(recall=nearest.recall, delta=nearest.delta, labels=nearest.labels, seed=nearest.seed)
    made = cascaded(asks, ranked, promise, guess=guess, likely=likely)
    return relational("drop", inputs=(made,), args=(guess, likely), name=label)


def one_text(rows: Step, columns: tuple[str, ...], into: str, *, name: str) -> tuple[str, Step]:
    """The column to embed: the one that the prompt reads, or all of them, each under its name."""
    if len(columns) == 1 and rows.schema[columns[0]] == pl.String:
        return columns[0], rows
    parts = [pl.concat_str(pl.lit(f"{c}: "), pl.col(c).cast(pl.String)) for c in columns]
    told = parts[0] if len(parts) == 1 else pl.concat_str(parts, separator="\n")
    return into, relational("with_columns", inputs=(rows,), args=([told.alias(into)],), name=name)
