"""A question about a pair that is the same whichever comes first."""

from __future__ import annotations

import polars as pl

from dreamframe.prompts.base import Template
from dreamframe.prompts.either_way import EitherWay

ASKED = EitherWay(Template("{a} = {b} in {c}?"), (("a", "b"), ("b", "a"), ("c", "c")))
PAIRS = pl.DataFrame({"a": ["tea", "jam", None], "b": ["jam", "tea", "rye"], "c": ["x", "x", "x"]})


def test_both_orders_are_one_text_and_a_null_is_none() -> None:
    assert ASKED.render(PAIRS).to_list() == ["jam = tea in x?", "jam = tea in x?", None]


def test_it_reads_columns_under_other_names() -> None:
    again = ASKED.renamed({"a": "one", "b": "other"})
    assert set(again.columns) == {"one", "other", "c"}
    assert again.render(PAIRS.rename({"a": "one", "b": "other"})).equals(ASKED.render(PAIRS))
