"""A prompt over other inputs than those that it was written over, as rules put it."""

from __future__ import annotations

from dataclasses import fields

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import DuplicateColumnError
from dreamframe.plan.steps.ordinals import in_two
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.base import Template

ROWS = dr.frame({"t": ["a"], "v": [1]})
WIDE = dr.frame({"w": [True], "t": ["a"], "v": [1.5]}).step  # a column more, and one of another type that is not read


def _asked() -> PromptStep:
    step = ROWS.prompt(dr.testing.Echo(), "{t}", into="said", n=2, keep="prompt").step
    assert isinstance(step, PromptStep)
    return step


def test_a_prompt_over_more_columns_is_not_checked_again_and_has_the_columns_that_it_would_have(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _asked()
    expected = asked.but(inputs=(WIDE,)).schema
    checked: list[str] = []
    monkeypatch.setattr(Template, "check", lambda *_, step: checked.append(step))
    made = asked.with_inputs([WIDE])
    assert (list(made.schema.items()), checked) == (list(expected.items()), [])
    assert made.schema["said"] == pl.List(pl.String)


def test_a_numbered_prompt_over_more_columns_leaves_its_numbers_out() -> None:
    halves = in_two(_asked(), ROWS.step)
    assert halves is not None
    numbers, asks = halves
    wide = numbers.with_inputs([WIDE])
    assert list(wide.schema) == ["w", "t", "v", numbers.into]
    assert list(asks.with_inputs([wide]).schema.items()) == list(asks.but(inputs=(wide,)).schema.items())


def test_a_prompt_over_a_column_of_its_own_name_fails() -> None:
    with pytest.raises(DuplicateColumnError, match="'said' exists already"):
        _asked().with_inputs([ROWS.with_columns(said=pl.lit("x")).step])


def test_a_prompt_over_a_column_of_another_type_is_checked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, checked = _asked(), list[str]()
    monkeypatch.setattr(Template, "check", lambda *_, step: checked.append(step))
    asked.with_inputs([dr.frame({"t": [1], "v": [1]}).step])
    assert len(checked) == 1


def test_a_prompt_in_two_has_the_fields_and_columns_that_it_would_have_if_it_were_made_anew() -> None:
    asked = _asked()
    halves = in_two(asked, ROWS.step)
    assert halves is not None
    for half in halves:
        anew = half.but()
        assert list(half.schema.items()) == list(anew.schema.items())
        assert {f.name: getattr(half, f.name) for f in fields(half)} == {f.name: getattr(anew, f.name) for f in fields(half)}
        assert half.made_from is asked
    numbers, asks = halves
    assert (asks.key({}), asks.prompt, asks.n, numbers.keep) == (asks.but().key({}), asked.prompt, 2, ())
