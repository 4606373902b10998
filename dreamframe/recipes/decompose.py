"""Questions cut into simpler ones."""

from __future__ import annotations

from typing import Any, ClassVar

from dreamframe.errors import SettingError
from dreamframe.frame.frame import Frame
from dreamframe.models.base import LLM
from dreamframe.prompts.base import Template
from dreamframe.prompts.templates import placeholder

ASK = """Cut the question into simpler questions that, answered one after the other, lead to its answer. \
Use {least} to {most} of them; a later one may build on the answers of those before it.

Question: {column}"""


class Decomposition(Template):
    """The prompt of the first stage of least-to-most prompting."""

    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2205.10625",)


def decompose(df: Frame, llm: LLM | str, column: str = "question", *, into: str = "steps", least: int = 2, most: int = 5, **settings: Any) -> Frame:
    """Add a list of simpler questions that lead to the answer of each question, in the order in which to answer them.

    The model is held to a list of `least` to `most` questions. Settings as of `df.prompt`. `.explode("steps")` makes a row of each.
    The first stage of least-to-most prompting, Zhou et al. 2022 (https://arxiv.org/abs/2205.10625).

    >>> llm = dr.testing.Scripted(['{"answer": ["Who wrote Faust?", "Where was he born?"]}'])
    >>> df = dr.frame({"question": ["Where was the author of Faust born?"]})
    >>> dr.recipes.decompose(df, llm).to_dicts()[0]["steps"]
    ['Who wrote Faust?', 'Where was he born?']
    """
    if not 1 <= least <= most:
        raise SettingError(f"decompose: least={least} and most={most}; there must be one question or more.")
    ask = Decomposition.parsed(ASK.format(least=least, most=most, column=placeholder(column)), step="decompose")
    shape = {"type": "array", "items": {"type": "string"}, "minItems": least, "maxItems": most}
    return df.prompt(llm, ask, into=into, **{"schema": shape, "name": "decompose", **settings})
