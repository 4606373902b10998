"""A prompt that is asked ahead of its place in the plan."""

from __future__ import annotations

from dataclasses import fields

import pytest

import dreamframe as dr
from dreamframe.plan.steps.ahead import Ahead
from dreamframe.plan.steps.prompt import PromptStep


def ahead(llm: dr.LLM) -> dr.Frame:
    step = dr.frame({"t": ["tea", "jam"]}).prompt(llm, "{t}", into="said").step
    assert isinstance(step, PromptStep)
    return dr.Frame(Ahead(**{f.name: getattr(step, f.name) for f in fields(step)}))


def test_a_row_that_fails_gets_a_null_and_no_failure() -> None:
    with dr.Session(None):
        df = ahead(dr.testing.Failing())
        assert df.collect()["said"].to_list() == [None, None]
        assert df.failures().height == 0
        with pytest.raises(dr.errors.DreamframeError):
            dr.frame({"t": ["tea"]}).prompt(dr.testing.Failing(), "{t}", into="said").collect()


def test_what_it_asked_is_not_asked_again_where_the_prompt_stands() -> None:
    with dr.Session(None) as session:
        assert ahead(dr.testing.Echo(temperature=0)).collect()["said"].to_list() == ["tea", "jam"]
        dr.frame({"t": ["tea", "jam"]}).prompt(dr.testing.Echo(temperature=0), "{t}", into="said").collect()
        assert session.usage()["calls"] == 2


def test_its_rows_may_come_in_any_order() -> None:
    assert not ahead(dr.testing.Echo()).step.needs_order
