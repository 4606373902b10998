"""Instructions for texts that were there first."""

from __future__ import annotations

from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.frame import Frame
from dreamframe.models.base import LLM
from dreamframe.prompts.base import Template
from dreamframe.prompts.templates import placeholder

ASK = """The text below was written by an expert in answer to an instruction or a question, which is lost. \
Write the instruction. It must stand on its own and not mention the text. Give the instruction alone.

Text: {column}"""
JUDGE = """How good an answer to the instruction is the text?
1: it is about something else, or is no answer. 2: it answers a part. 3: it answers, with gaps, or with much that was not asked for.
4: it is a good answer. 5: it is what an expert would write, to the point and complete. Say the number.

Instruction: {into}

Text: {column}"""


class Backtranslation(Template):
    """A prompt of instruction backtranslation."""

    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2308.06259",)


def backtranslate(
    df: Frame,
    llm: LLM | str,
    column: str = "text",
    *,
    into: str = "instruction",
    judge: LLM | str | None = None,
    threshold: int | None = 4,
    **settings: Any,
) -> Frame:
    """Make an instruction for each text, and keep the pairs that `judge` (the same model, if not given) gives `threshold` of 5 points or more.

    The column `fit` holds the points. `threshold=None` judges nothing. Settings as of `df.prompt`, for the instructions.
    Instruction backtranslation, Li et al. 2023 (https://arxiv.org/abs/2308.06259): train on the kept pairs, and go again with the better model.

    >>> llm = dr.testing.Scripted(["How is tea made?", '{"answer": 5}'])
    >>> df = dr.frame({"text": ["Pour hot water over the leaves and wait."]})
    >>> dr.recipes.backtranslate(df, llm).to_dicts()[0]["instruction"]
    'How is tea made?'
    """
    if threshold is not None and not 1 <= threshold <= 5:
        raise SettingError(f"backtranslate: threshold={threshold}; points go from 1 to 5.")
    ask = Backtranslation.parsed(ASK.format(column=placeholder(column)), step="backtranslate")
    made = df.prompt(llm, ask, into=into, **{"name": "backtranslate", **settings})
    if threshold is None:
        return made
    points = {"type": "integer", "minimum": 1, "maximum": 5}
    ask = Backtranslation.parsed(JUDGE.format(column=placeholder(column), into=placeholder(into)), step="backtranslate")
    return made.prompt(judge or llm, ask, into="fit", schema=points, name="backtranslate judge").filter(pl.col("fit") >= threshold)
