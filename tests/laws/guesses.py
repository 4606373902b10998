"""Examples of the steps that guess, check guesses, and rank pairs: as those of `tests.laws.cases`, which holds them to the laws."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

import dreamframe as dr
from dreamframe.models.base import Artefact
from dreamframe.models.edges import Trained
from dreamframe.models.request import Sampling
from dreamframe.plan.step import Step
from dreamframe.plan.steps.checked import Agreement, AskOpen, DrawChecked
from dreamframe.plan.steps.head_guess import DrawLearnt, HeadGuess
from dreamframe.plan.steps.pair_ranks import PairRanks
from dreamframe.plan.steps.source import Table
from dreamframe.plan.steps.which_apply import WhichApply
from dreamframe.prompts.base import Prompt
from dreamframe.testing import WordEmbedder
from tests.laws.ordinal import Ordinal

LLM, WORDS = Ordinal(max_tokens=5), WordEmbedder(size=32)
OTHER: dict[str, Any] = {"name": "other"}
Given = tuple[Callable[[Step], Step], Mapping[str, Any], bool, Callable[[pl.DataFrame], int]]  # of a Case


def guessed(below: Step) -> Step:
    """Guesses, what is known beside them, and what was said."""
    odd, great = pl.col("v") % 2 == 1, pl.col("v") > 2
    return dr.Frame(below).with_columns(g=odd, h=great, known=pl.when(great).then(odd), said=odd & great, text=pl.when(great).then("k")).step


def beside_values(below: Step) -> Step:
    """Pairs of rows and values."""
    return dr.Frame(below).join(dr.frame({"w": ["x", "y", "z"]}), how="cross").step


def learnt(below: Step) -> Step:
    """What a head that learns from two rows guesses about others."""
    drawn = DrawLearnt(inputs=(Table(data=pl.DataFrame({"t": ["tea", "rain", "tea"]})),), columns=("t",), n=2)
    labelled = dr.Frame(drawn).with_columns(said=pl.col("t") == "tea").embed(WORDS, "t", into="e")
    head = labelled.train(dr.LogisticRegression(may_abstain=True), embedding="e", label="said").step
    rows = dr.Frame(below).with_columns(x=pl.concat_str(pl.col("t"), "k")).embed(WORDS, "x", into="e").step
    model = dr.LinearClassifier(Trained(head))
    return HeadGuess(inputs=(rows, drawn, head), llm=model, embedding="e", columns=("x",), seed=0, into="guess", likely="likely")


def ranked(below: Step) -> Step:
    """Pairs of rows and words, and how near these are."""
    words = dr.frame({"w": ["tea", "rain or tea", "snow"]})
    left, right = (rows.embed(WORDS, column, into="e").with_columns(f="e").step for rows, column in ((dr.Frame(below), "t"), (words, "w")))
    return PairRanks(inputs=(dr.Frame(below).join(words, how="cross").step, left, right), vector="e", guess="guess", likely="likely")


def of_lists(below: Step) -> Step:
    """Which of three values apply to each row."""
    return WhichApply(inputs=(beside_values(below),), llm=LLM, prompt=Prompt.of("Is {t} {w}?", step="x"), column="w", called="w", into="guess")


LISTS: dict[str, Any] = {
    "llm": Ordinal(max_tokens=6), "prompt": Prompt.of("Is {t} {w} {k}?", step="x"), "column": "t", "called": "word", "into": "other",
    "system": "You are brief.", "sampling": Sampling.of(temperature=0.5), "per_call": 2,
}  # fmt: skip
HEAD: dict[str, Any] = {
    "on_error": "null", "llm": dr.LinearClassifier(Artefact("/nowhere", "0" * 32)), "embedding": "v", "columns": ("t",), "seed": 1, "into": "other",
    "likely": "surely", "labels": ("true", "false"),
}  # fmt: skip


def none(rows: pl.DataFrame) -> int:
    """Calls of a step that asks nobody."""
    return 0 * rows.height


def of_open(rows: pl.DataFrame) -> int:
    """Rows of which nothing is known."""
    return rows.filter(pl.col("t").is_not_null(), pl.col("k").is_null() | (pl.col("v") <= 2) | pl.col("v").is_null()).height


def cases(prompt_changes: Mapping[str, Any]) -> dict[str, Given]:
    """Each step over an input, other values for its fields, and the calls of a first run."""

    def drawn(below: Step) -> Step:
        return DrawChecked(inputs=(guessed(below),), guess="g", columns=("t", "k"), into="drawn", n=2)

    def asked(below: Step) -> Step:
        return AskOpen.over(guessed(below), LLM, Prompt.of("Say {t}", step="prompt"), into="answer", known="text")

    def agreed(below: Step) -> Step:
        return Agreement(inputs=(guessed(below),), guess="g", known="known", said="said", into="settled", least=0.5, otherwise="pairs")

    def to_learn(below: Step) -> Step:
        return DrawLearnt(inputs=(below,), columns=("t", "k"), n=2)

    otherwise = {"guess": "h", "known": "said", "said": "h", "into": "other", "least": 1.0, "otherwise": "raise", "way": "lists"}
    return {
        "DrawChecked": (drawn, {**OTHER, "guess": "h", "columns": ("k",), "into": "other", "n": 3, "seed": 1}, True, none),
        "AskOpen": (asked, {**prompt_changes, "into": "other", "known": "k", "once": True, "decides": True, "rows_asked": "others"}, True, of_open),
        "Agreement": (agreed, {**OTHER, **otherwise}, True, none),
        "WhichApply": (of_lists, {**OTHER, **LISTS}, True, lambda rows: rows["t"].drop_nulls().n_unique()),
        "PairRanks": (ranked, {**OTHER, "vector": "f", "guess": "other", "likely": "surely"}, True, none),
        "DrawLearnt": (to_learn, {**OTHER, "columns": ("k",), "n": 3, "seed": 1}, True, none),
        "HeadGuess": (learnt, {**OTHER, **HEAD}, True, none),
    }
