"""Which models a step asks: what progress, limits and engines read instead of the names of its fields."""

from __future__ import annotations

import polars as pl

import dreamframe as dr
from dreamframe.models.base import ModelSettings
from dreamframe.plan.step import RowStep, step
from dreamframe.testing import Echo, NamingClassifier, WordEmbedder

ROWS = dr.frame({"t": ["tea"], "k": ["a"]})
ECHO, WORDS, NAMING = Echo(), WordEmbedder(), NamingClassifier()


def test_a_step_that_asks_says_whom():
    assert ROWS.prompt(ECHO, "{t}").step.models() == (ECHO,)
    assert ROWS.embed(WORDS, "t", into="v").step.models() == (WORDS,)
    assert ROWS.classify(NAMING, ["tea", "rain"], "t").step.models() == (NAMING,)
    assert ROWS.group_by("k").reduce_by(ECHO, "Sum up {t}", context=4000).step.models() == (ECHO,)


def test_a_prompt_that_looks_things_up_asks_its_embedder_too():
    shots = dr.FewShot("Translate.", input="t", output="k", examples=ROWS.collect().to_dicts(), k=1, by=WORDS)
    assert ROWS.prompt(ECHO, shots).step.models() == (ECHO, WORDS)


def test_a_step_that_asks_nobody_says_so():
    assert ROWS.step.models() == ROWS.filter(pl.col("t") == "tea").step.models() == ()
    assert ROWS.map(lambda row: {"w": row["t"]}, schema={"w": pl.String}).step.models() == ()


def test_a_step_of_the_users_own_says_nothing_and_is_taken_to_ask_all_models_that_it_holds():
    @step
    class Vote(RowStep):
        judges: tuple[ModelSettings, ...]
        chair: ModelSettings

        def output_schema(self):
            return self.inputs[0].schema

        async def run(self, rows, ctx):
            return rows

    one, two, chair = Echo("one"), Echo("two"), Echo("chair")
    assert Vote(inputs=(ROWS.step,), judges=(one, two), chair=chair).models() == (one, two, chair)
