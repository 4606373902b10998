"""Verbs that ask take a model in every form in which a user has one."""

from __future__ import annotations

from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.testing import Echo, NamingClassifier

ROWS = dr.frame({"q": ["2+2?"], "a": ["4"]})
ASKS = {
    "prompt": lambda llm: ROWS.prompt(llm, "{q}", into="x"),
    "expression": lambda llm: ROWS.with_columns(dr.prompt(llm, "{q}", into="x")),
    "filter_by": lambda llm: ROWS.filter_by(llm, "Is {q} a sum?"),
    "extract": lambda llm: ROWS.extract(llm, {"type": "object", "properties": {"n": {"type": "integer"}}}, "q"),
    "reduce_by": lambda llm: ROWS.group_by("a").reduce_by(llm, "Sum up {q}"),
}


@pytest.mark.parametrize("verb", ASKS)
def test_a_model_of_the_plan_is_asked_as_its_llm(verb: str) -> None:
    model = ROWS.train(dr.SFT("base", steps=2), prompt="q", completion="a")
    assert ASKS[verb](model).step.key({}) == ASKS[verb](model.llm()).step.key({})


@pytest.mark.parametrize("verb", ASKS)
@pytest.mark.parametrize("wrong", [ROWS, NamingClassifier(labels=("a",)), None, Echo], ids=["frame", "task model", "nothing", "class"])
def test_what_is_not_a_language_model_is_refused_on_its_line(verb: str, wrong: Any) -> None:
    with pytest.raises(SettingError, match=r"is not a language model(; give one such as|\. Call it:|, but tells labels)"):
        ASKS[verb](wrong)


@pytest.mark.parametrize(("value", "way"), [("text", r"t=pl\.col\('text'\)"), (3, "t=pl.col"), (None, "t=pl.col")])
def test_a_name_of_the_template_that_is_given_no_expression(value: Any, way: str) -> None:
    with pytest.raises(SettingError, match=rf"^prompt: t= stands for {{t}} of the prompt, and is no expression. Write {way}"):
        dr.prompt(Echo(), "Sum up {t}", t=value)


def test_one_prompt_reads_no_column() -> None:
    with pytest.raises(dr.errors.TemplateError, match=r"^generate: the prompt reads 'topic', and here are no rows.*dr\.grid\({'topic'"):
        dr.generate(Echo(), "A haiku on {topic}", n=2)
