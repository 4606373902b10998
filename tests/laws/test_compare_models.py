"""What `compare_models` has asked, the whole plan never asks again, whatever stands below and above the step, however many rows are alike."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr

Shape = Callable[[dr.Frame, object, object], dr.Frame]  # rows, the model that is compared, another
SHAPES: dict[str, Shape] = {
    "alone": lambda rows, llm, other: rows.prompt(llm, "{t}", into="said"),
    "several samples": lambda rows, llm, other: rows.prompt(llm, "{t}", into="said", n=2),
    "equal requests asked once": lambda rows, llm, other: rows.prompt(llm, "{t}", into="said", temperature=0),
    "over another prompt": lambda rows, llm, other: rows.prompt(other, "{t}", into="x").prompt(llm, "{x}", into="said"),
    "below another prompt": lambda rows, llm, other: rows.prompt(llm, "{t}", into="said").prompt(other, "{said}", into="x"),
    "between filters": lambda rows, llm, other: rows.filter(pl.col("n") > 1).prompt(llm, "{t}", into="said").filter(pl.col("n") > 2).sort("n"),
    "over a model's filter": lambda rows, llm, other: rows.filter_by(other, "{t}", parse=lambda text: "a" in text).prompt(llm, "{t}", into="said"),
    "in an expression": lambda rows, llm, other: rows.with_columns(dr.prompt(llm, "{t}", into="said").str.to_uppercase()),
}


@pytest.mark.parametrize("shape", SHAPES)
@given(texts=st.lists(st.sampled_from(["a", "ab", "b", "c"]), min_size=1, max_size=8), n=st.integers(1, 9))
@settings(max_examples=6, deadline=None)
def test_what_was_compared_is_never_asked_again(shape: str, texts: list[str], n: int) -> None:
    llm, other, instead = dr.testing.Echo(model="one"), dr.testing.Echo(model="other"), dr.testing.Echo(model="instead")
    rows = dr.frame({"t": texts, "n": [i % 4 for i in range(len(texts))]})

    def made(asked: object) -> dr.Frame:
        return SHAPES[shape](rows, asked, other)

    with dr.Session(None):  # what the whole plan asks by itself
        made(llm).collect()
        alone = llm.calls
    with dr.Session(None):
        before = llm.calls
        made(llm).compare_models([llm, instead], on=n, only="said", metric=pl.lit(1.0))
        made(llm).collect()
        assert llm.calls - before == alone
        seen = other.calls, instead.calls
        made(llm).compare_models([llm, instead], on=n, only="said", metric=pl.lit(1.0))
        assert (llm.calls - before, other.calls, instead.calls) == (alone, *seen)
