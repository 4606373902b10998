"""Which rows of earlier steps rows were made of: whatever the verbs between, a row has the values of those that it was made of."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.frame.frame import Frame
from dreamframe.run.why.kin import Kin
from dreamframe.testing import Echo, WordEmbedder

N = 12
OTHER = dr.frame({"k": ["y", "x", "z"], "w": [1, 2, 3]})
SHAPES: dict[str, Callable[[Frame], Frame]] = {
    "filter and sort": lambda f: f.filter(pl.col("id") > 3).sort("id", descending=True),
    "a filter that the optimiser moves below the model": lambda f: f.filter(pl.col("k") == "x"),
    "by what the model said": lambda f: f.filter(pl.col("said").str.contains("1")).head(2),
    "join": lambda f: f.join(OTHER, on="k"),
    "explode": lambda f: f.explode("l").filter(pl.col("l") % 2 == 0),
    "groups": lambda f: f.group_by("k").agg(pl.col("id"), pl.col("said")).explode("id", "said"),
    "twice": lambda f: dr.concat([f.head(4), f.tail(4).reverse()]),
    "a search": lambda f: f.select("id", "said").head(3).retrieve(f, query="said", text="said", by=WordEmbedder(), k=2),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_row_has_the_values_of_the_rows_that_it_was_made_of(shape: Callable[[Frame], Frame], session: dr.Session) -> None:
    llm = Echo(temperature=0)
    rows = dr.frame({"id": list(range(N)), "k": ["x", "y"] * (N // 2), "l": [[i, i + 1] for i in range(N)]})
    said = rows.prompt(llm, "Say {id} {k}", into="said", name="said")
    plan = shape(said).prompt(llm, "So {said}", into="so")
    parents, made = said.collect(), plan.collect()
    place = next(i for i, node in enumerate(plan.step.walk()) if node.label == "said")
    found = session._replayed(Kin.between(plan.step, [place], made.height))[place]
    assert llm.calls == len(set(parents["said"])) + len(set(made["said"])), "nobody was asked"
    assert set(found["row"]) == set(range(made.height)), "every row was made of some"
    beside = made.with_row_index("row").join(found, on="row").join(parents.with_row_index("at"), on="at", suffix="_of")
    is_whole = beside["said"] == beside["said_of"]
    assert beside.filter(is_whole)["row"].n_unique() == made.height, "of the one with its answer, whoever else has a part in it"
    if found.height == made.height:
        assert is_whole.all()


def test_of_a_step_whose_rows_may_be_of_any_nobody_tells(session: dr.Session) -> None:
    said = dr.frame({"id": [1, 2]}).prompt(Echo(), "{id}", into="said", name="said")
    plan = said.map_batches(lambda rows: rows.reverse(), schema=said.schema)
    plan.collect()
    assert session._replayed(Kin.between(plan.step, [1], 2)) == {}
