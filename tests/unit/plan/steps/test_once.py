"""A prompt of which equal requests are one question."""

from __future__ import annotations

from dataclasses import fields

import dreamframe as dr
from dreamframe.plan.steps.once import AskedOnce
from dreamframe.plan.steps.prompt import PromptStep
from tests.laws.cases import Ordinal


def once(n: int = 1, **settings: object) -> dr.Frame:
    step = dr.frame({"t": ["tea", "jam", "tea"]}).prompt(Ordinal(**settings), "{t}", into="said", n=n).step  # type: ignore[arg-type]
    assert isinstance(step, PromptStep)
    return dr.Frame(AskedOnce(**{f.name: getattr(step, f.name) for f in fields(step)}))


def test_rows_with_the_same_prompt_get_the_same_answer_of_a_sampled_model() -> None:
    with dr.Session(None) as session:
        made = once().collect()["said"].to_list()
        assert made[0] == made[2]
        assert session.usage()["calls"] == 2


def test_several_samples_of_a_row_are_different_questions() -> None:
    with dr.Session(None):
        made = once(n=2).collect()["said"].to_list()
    assert made[0] == made[2]
    assert made[0][0] != made[0][1]


def test_its_rows_may_come_in_any_order() -> None:
    assert not once().step.needs_order
