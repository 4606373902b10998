"""Rows drawn by what they hold."""

from __future__ import annotations

import random

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from dreamframe.plan.by_content import contents, parted, sample

TEXTS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=30)


def rows(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame({"t": texts, "at": list(range(len(texts)))})


@given(texts=TEXTS, n=st.integers(1, 40), seed=st.integers(0, 3))
def test_what_is_drawn_does_not_depend_on_the_order(texts: list[str], n: int, seed: int) -> None:
    other = list(texts)
    random.Random(seed).shuffle(other)
    taken, again = (sample(rows(given), ["t"], n, seed=seed) for given in (texts, other))
    assert len(taken) == min(n, len(texts))
    assert sorted(texts[at] for at in taken) == sorted(other[at] for at in again)


@given(texts=TEXTS, n=st.integers(1, 40))
def test_of_rows_alike_the_first_ones_are_drawn(texts: list[str], n: int) -> None:
    taken = sample(rows(texts), ["t"], n, seed=0)
    for at in taken:
        assert all(earlier in taken for earlier in range(at) if texts[earlier] == texts[at])


@given(texts=TEXTS, share=st.floats(0.1, 0.5))
def test_rows_alike_are_in_one_part(texts: list[str], share: float) -> None:
    kept, held = parted(rows(texts), ["t"], share, seed=0)
    assert sorted(kept + held) == list(range(len(texts)))
    assert not {texts[at] for at in kept} & {texts[at] for at in held}


def test_rows_are_drawn_evenly() -> None:
    drawn = [at for seed in range(2_000) for at in sample(rows(list("abcdefgh")), ["t"], 2, seed=seed)]
    assert all(430 < drawn.count(at) < 570 for at in range(8))


def test_values_do_not_run_into_each_other() -> None:
    told = contents(pl.DataFrame({"a": ["x", "x1:y", None, ""], "b": ["1:y", "", "", None]}), ["a", "b"])
    assert len(set(told)) == 4
