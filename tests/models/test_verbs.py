"""The verbs as the README writes them, on a model of 135M parameters: whatever it thinks, every answer can be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pydantic
import pytest

import dreamframe as dr

pytestmark = pytest.mark.models

WORDS = (
    "tea rain wind snow bread cheese apple river stone horse football tennis chess violin piano novel poem bus train ship moon star salt pepper lamp "
    "chair table wool silk iron gold copper tiger wolf bear salmon oak pine rose tulip honey garlic onion pasta soup cake coffee cocoa marathon cricket"
)
THINGS = WORDS.split()
ROWS = dr.frame({"article": [f"I like {t}." for t in THINGS], "essay": [f"On {t}" for t in THINGS], "other": [f"On {t}" for t in THINGS[1:] + THINGS[:1]]})


class Liking(pydantic.BaseModel):
    """What somebody likes."""

    thing: str
    mood: Literal["glad", "sad"]


VERBS: dict[str, Callable[[dr.SmolLM2], dr.Frame]] = {
    "filter_by": lambda llm: ROWS.filter_by(llm, "Is {article} about sports?"),
    "rank_by": lambda llm: ROWS.rank_by(llm, "Rate {essay} from 1 to 10"),
    "judge": lambda llm: ROWS.judge(llm, a="essay", b="other"),
    "score": lambda llm: ROWS.score(llm, {"clarity": "easy to follow"}, "essay"),
    "classify": lambda llm: ROWS.classify(llm, ["food", "sport"], "essay"),
    "extract": lambda llm: ROWS.extract(llm, Liking, "article"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_fifty_rows_have_no_answer_that_cannot_be_read(verb: str) -> None:
    assert len(THINGS) == 50
    asked = VERBS[verb](dr.SmolLM2(temperature=0, max_tokens=40))  # the model of the README's first program
    with dr.Session(None) as session:
        rows = asked.collect()  # a row whose answer cannot be read would raise
        assert session.usage()["calls"] == 50, "and none was asked twice"
    assert rows.height == 50 or verb == "filter_by"
    assert rows[rows.columns[-1]].null_count() == 0
