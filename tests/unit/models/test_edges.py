"""Edges of a plan inside records: settings, trainers and prompts hold the step that makes a model or rows, never a frame."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.edges import Rows, Trained, as_edge
from dreamframe.prompts.base import Prompt
from dreamframe.testing import Echo, WordEmbedder

ROWS = dr.frame({"prompt": ["a"], "completion": ["b"]})


def tuned(**settings: Any) -> dr.Model:
    return ROWS.train(dr.SFT("base", **settings))


HOLDERS: dict[str, tuple[Any, str]] = {
    "Transformers": (lambda m: dr.Transformers("base", adapter=m), "adapter"),
    "VLLM": (lambda m: dr.VLLM("base", adapter=m), "adapter"),
    "HFClassifier": (dr.HFClassifier, "model"),
    "SentenceTransformer": (dr.SentenceTransformer, "model"),
    "SFT": (dr.SFT, "base"),
    "Distill": (lambda m: dr.Distill("base", teacher=m), "teacher"),
    "OpenAIFineTune": (dr.OpenAIFineTune, "base"),
}


@pytest.mark.parametrize("name", HOLDERS)
def test_settings_hold_the_training_and_not_the_model(name: str) -> None:
    make, field = HOLDERS[name]
    model = tuned()
    made = make(model)
    assert getattr(made, field) == Trained(model.step)
    assert made.edges() == (Trained(model.step),)
    assert make(model) == made


def test_prompts_hold_the_step_of_a_frame() -> None:
    shots = dr.FewShot("Say.", input="prompt", output="completion", examples=ROWS)
    asked = dr.Rag("q", docs=ROWS, text="prompt", by=WordEmbedder())
    assert (shots.examples, asked.docs) == (Rows(ROWS.step), Rows(ROWS.step))


def test_an_edge_is_the_step_that_it_leads_to() -> None:
    model = tuned()
    assert as_edge(model) == Trained(model.step) != Trained(tuned().step)
    assert as_edge((model, "x")) == (Trained(model.step), "x")
    assert as_edge("x") == "x"
    assert Trained(model.step) != Rows(model.step)
    assert copy.copy(Rows(ROWS.step)) == Rows(ROWS.step)
    with pytest.raises(AttributeError, match="immutable"):
        Rows(ROWS.step).step = None


def test_a_model_has_one_number_however_often_it_is_wrapped() -> None:
    """A plan that was read holds a record of its own at each place; its key is that of the plan that was written."""
    model = tuned()
    same = type(model)(model.step)
    one, two = (dr.Distill(model, teacher=teacher) for teacher in (model, same))
    assert one.key_fields() == two.key_fields()
    plan = ROWS.train(one)
    assert dr.from_json(plan.to_json()).step.key({}) == plan.step.key({})


@dataclass(frozen=True)
class Joined(Prompt):
    """A prompt of a user's own, which holds a frame as it is."""

    pool: Any

    @property
    def columns(self) -> tuple[str, ...]:
        return ("prompt",)

    @property
    def inputs(self) -> tuple[Any, ...]:
        return (self.pool,)

    @property
    def summary(self) -> str:
        return "Joined"

    def check(self, schema: pl.Schema, *, step: str) -> None:
        del schema, step

    def bound(self, tables: tuple[pl.DataFrame, ...]) -> Prompt:
        return Joined(tables[0]["completion"].to_list())

    def render(self, rows: pl.DataFrame) -> pl.Series:
        return rows["prompt"] + " of " + " ".join(self.pool)

    def renamed(self, names: Any) -> Prompt:
        del names
        return self


def test_a_prompt_of_a_users_own_may_hold_a_frame() -> None:
    df = ROWS.prompt(dr.testing.Echo(), Joined(ROWS))
    assert df.collect()["answer"].to_list() == ["a of b"]
    assert df.step.key({}) == ROWS.prompt(dr.testing.Echo(), Joined(ROWS)).step.key({})


def pickled(value: Any) -> Any:
    """The value as another process would have it."""
    return pickle.loads(pickle.dumps(value))  # noqa: S301


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickled], ids=["copy", "deepcopy", "pickle"])
def test_frames_and_what_holds_them_are_copied_as_the_values_that_they_are(copied: Callable[[Any], Any]) -> None:
    rows = dr.frame({"t": ["tea"], "u": ["TEA"]})
    shots = dr.FewShot("Shout.", input="t", output="u", examples=rows)
    plan = rows.prompt(Echo(), shots, into="said")
    assert copied(plan).step.key({}) == plan.step.key({})
    assert rows.prompt(Echo(), copied(shots), into="said").step.key({}) == plan.step.key({})


def test_settings_over_a_plan_of_thousands_of_steps_are_copied() -> None:
    rows = dr.frame({"t": ["tea"], "u": ["TEA"]})
    for n in range(3000):
        rows = rows.with_columns(n=n)
    shots = dr.FewShot("Shout.", input="t", output="u", examples=rows)
    assert copy.deepcopy(shots) == shots
