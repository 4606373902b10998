"""New tasks from a few examples of tasks."""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SettingError
from dreamframe.frame.frame import Frame, concat
from dreamframe.models.base import LLM
from dreamframe.prompts.base import Template
from dreamframe.prompts.templates import placeholder

ASK = """Below are tasks that people give an assistant. Write {more} new ones of other kinds and on other subjects, one a line and numbered. \
Each must be clear without anything further, and answerable in writing. Give the tasks alone.

{{__shown}}"""
NUMBER = r"^\s*(?:\d+\s*[.):]|[-*•])\s*"  # what a line of a list begins with
UNFIT = r"(?i)\b(?:image|picture|photo|video|audio|draw|listen|watch|attached)\b"  # what cannot be done in writing


class SelfInstruction(Template):
    """A prompt of Self-Instruct."""

    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2212.10560",)


def self_instruct(
    seeds: Frame,
    llm: LLM | str,
    column: str = "instruction",
    *,
    rounds: int = 2,
    prompts: int = 10,
    shown: int = 4,
    more: int = 5,
    threshold: float = 0.6,
    into: str | None = "output",
    seed: int = 0,
    **settings: Any,
) -> Frame:
    """Make new tasks from a column of example tasks, and answer them: columns `column`, `round` and `into` (None answers nothing).

    Each round asks `prompts` times for `more` tasks, showing `shown` of the pool, drawn by the seed. A new task joins the pool, and may be shown in
    later rounds, if no earlier one shares `threshold` of its letters and word pairs (minhash), it has three words or more, and it can be done in
    writing. Settings as of `df.prompt`. Self-Instruct, Wang et al. 2022 (https://arxiv.org/abs/2212.10560).

    >>> llm = dr.testing.Scripted(["1. Name five rivers of Asia.\\n2. Explain how a kettle works.\\n3. Tea"])
    >>> seeds = dr.frame({"instruction": ["Sum up a story.", "Translate a sentence."]})
    >>> dr.recipes.self_instruct(seeds, llm, rounds=1, prompts=1, into=None).to_dicts()
    [{'instruction': 'Name five rivers of Asia.', 'round': 1}, {'instruction': 'Explain how a kettle works.', 'round': 1}]
    """
    for name, value in (("rounds", rounds), ("prompts", prompts), ("shown", shown), ("more", more)):
        if value < 1:
            raise SettingError(f"self_instruct: {name}={value}; there must be one or more.")
    if column not in seeds.columns:
        raise ColumnNotFoundError(column, columns=seeds.columns, step="self_instruct")
    ask = SelfInstruction.parsed(ASK.format(more=more), step="self_instruct")
    pool = seeds.select(pl.col(column).cast(pl.String), pl.lit(0, dtype=pl.Int32).alias("round")).drop_nulls()
    for turn in range(1, rounds + 1):
        drawn = pool.sample(prompts * shown, with_replacement=True, shuffle=True, seed=seed * 1_000_003 + turn).with_row_index("__at")
        listed = (pl.lit("- ") + pl.col(column)).str.join("\n").alias("__shown")
        examples = drawn.group_by(__prompt=pl.col("__at") // shown).agg(listed)
        said = examples.prompt(llm, ask, into="__said", **{"name": "self_instruct", **settings})
        lines = said.select(pl.col("__said").str.split("\n").alias(column)).explode(column)
        tasks = lines.select(pl.col(column).str.replace(NUMBER, "").str.strip_chars(), pl.lit(turn, dtype=pl.Int32).alias("round"))
        fit = (pl.col(column).str.count_matches(r"\w+") >= 3) & ~pl.col(column).str.contains(UNFIT)
        pool = concat([pool, tasks.filter(fit)]).dedup(column, method="minhash", threshold=threshold)
    made = pool.filter(pl.col("round") > 0)
    return made if into is None else made.prompt(llm, Template.parsed(placeholder(column), step="self_instruct"), into=into, **settings)
