"""Instructions made harder and rarer, round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import SettingError, did_you_mean
from dreamframe.frame.frame import Frame, concat
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.base import LLM
from dreamframe.prompts.base import Template

DEEPER = "Rewrite the instruction below so that it asks for more, while a person can still understand and answer it. {how} Add 20 words at most."
DEPTH: Mapping[str, str] = {
    "constrain": DEEPER.format(how="Add one more condition that the answer must meet."),
    "deepen": DEEPER.format(how="Where it asks about something, ask further and more thoroughly about it."),
    "concretise": DEEPER.format(how="Put something specific in the place of what is general."),
    "reason": DEEPER.format(how="Where little thought leads to the answer, make several steps of thought necessary."),
    "complicate": DEEPER.format(how="Add data that must be worked with, such as a table, a formula or a few lines of code."),
}
BREADTH: Mapping[str, str] = {
    "broaden": "Write a new instruction that the one below gives you the idea for: of the same field, as long and as hard, but rarer.",
}
WAYS = {**DEPTH, **BREADTH}
ASK = "{__how} Do not answer it. Give the new instruction alone.\n\nInstruction: {__now}"
SAME = """Do these two instructions ask for the same, under the same conditions and equally thoroughly? Answer yes or no.

First: {__now}

Second: {__new}"""
LEAKED = r"(?i)(?:new|given|rewritten|above|below) (?:instruction|prompt)|^\W*(?:i'm |i am )?sorry|as an ai"  # talks about the task, or refuses it


class Evolution(Template):
    """A prompt of Evol-Instruct."""

    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2304.12244",)


def evolve(
    df: Frame,
    llm: LLM | str,
    column: str = "instruction",
    *,
    rounds: int = 1,
    ways: Sequence[str] = tuple(WAYS),
    into: str = "evolved",
    judge: LLM | str | None = None,
    seed: int = 0,
    **settings: Any,
) -> Frame:
    """Make new instructions of given ones, in depth (more conditions, more thought) and in breadth (rarer subjects): a row for each that is worth keeping.

    In each round every instruction is changed in one of the `ways` ("constrain", "deepen", "concretise", "reason", "complicate", "broaden"); the seed
    draws the first, and the others follow. What comes out blank, speaks of its task, refuses, or asks for the same as before (says `judge`, the same
    model if not given) is dropped, and the next round tries another way with what there was. Columns: those of `df`, `into`, `way` and `round`; the
    first round's rows come first. Settings as of `df.prompt`, for the new instructions.
    Evol-Instruct, Xu et al. 2023 (https://arxiv.org/abs/2304.12244).

    >>> llm = dr.testing.Scripted(["Name three teas of China.", "no"])
    >>> df = dr.frame({"instruction": ["Name three teas."]})
    >>> dr.recipes.evolve(df, llm, ways=["constrain"]).to_dicts()[0]["evolved"]
    'Name three teas of China.'
    """
    _refuse_impossible(rounds, ways)
    pool = df.with_columns(__now=pl.col(column).cast(pl.String))
    made = []
    for turn in range(1, rounds + 1):
        tried = _tried(pool, llm, judge or llm, ways, seed=seed, turn=turn, settings=settings)
        names = [*df.columns, pl.col("__new").alias(into), pl.col("__way").alias("way"), pl.lit(turn, dtype=pl.Int32).alias("round")]
        made.append(tried.filter(pl.col("__kept")).select(*names))
        now = pl.when("__kept").then("__new").otherwise("__now")
        pool = tried.select(*df.columns, now.alias("__now"))
    return concat(made)


def _refuse_impossible(rounds: int, ways: Sequence[str]) -> None:
    if rounds < 1:
        raise SettingError(f"evolve: rounds={rounds}; there must be one or more.")
    if not ways or isinstance(ways, str):
        raise SettingError(f"evolve: ways={ways!r} is a list of one or more of {', '.join(WAYS)}.")
    for way in ways:
        if way not in WAYS:
            raise SettingError(f"evolve: no way {way!r}.{did_you_mean(way, list(WAYS))} Possible: {', '.join(WAYS)}.")


def _tried(pool: Frame, llm: LLM | str, judge: LLM | str, ways: Sequence[str], *, seed: int, turn: int, settings: Mapping[str, Any]) -> Frame:
    """The pool with a new instruction for each, and whether it is worth keeping."""
    drawn = (drawn_number(len(ways), seed=seed) + turn) % len(ways)  # another way in every round
    way, how = pl.lit(None, dtype=pl.String), pl.lit(None, dtype=pl.String)
    for i, name in enumerate(ways):
        way, how = pl.when(drawn == i).then(pl.lit(name)).otherwise(way), pl.when(drawn == i).then(pl.lit(WAYS[name])).otherwise(how)
    told = pool.with_row_index("__row").with_columns(way.alias("__way"), how.alias("__how")).drop("__row")
    new = told.prompt(llm, Evolution.parsed(ASK, step="evolve"), into="__said", **{"name": "evolve", **settings})
    new = new.with_columns(__new=pl.col("__said").str.strip_chars())
    sound = (pl.col("__new") != "") & (pl.col("__new") != pl.col("__now")) & ~pl.col("__new").str.contains(LEAKED)
    new = new.with_columns(__new=pl.when(sound).then("__new"))  # nothing is asked about what is dropped in any case
    same = Evolution.parsed(SAME, step="evolve")
    judged = new.prompt(judge, same, into="__same", schema=bool, name="evolve judge")
    return judged.with_columns(__kept=(~pl.col("__same")).fill_null(False))


def drawn_number(n: int, *, seed: int) -> pl.Expr:
    """A number below n for each row of `__row`, by the counter-based generator "squares" (Widynski 2020): arithmetic modulo 2^64 alone."""
    key = pl.lit(int(fingerprint(("drawn number", seed))[:16], 16) | 1, dtype=pl.UInt64)
    y = pl.col("__row").cast(pl.UInt64) * key
    x = _halves_swapped(y * y + y)
    x = _halves_swapped(x * x + y + key)
    x = _halves_swapped(x * x + y)
    return (x * x + y + key) // 2**32 % n


def _halves_swapped(x: pl.Expr) -> pl.Expr:
    return x // 2**32 + x * 2**32
