"""Joins that cut: only the rows with a partner are asked about, also where a model has chosen them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import dreamframe as dr
from tests.laws.cases import Ordinal
from tests.unit.plan.optimizer.running import calls

SAMPLED, GREEDY = Ordinal(), Ordinal(temperature=0)


def rows() -> dr.Frame:
    return dr.frame({"i": range(10), "t": ["tea", "jam"] * 5})


def said(model: Ordinal = SAMPLED) -> dr.Frame:
    return rows().prompt(model, "Say {t} {i}", into="said")


def chosen(model: Ordinal = SAMPLED) -> dr.Frame:
    return rows().filter(dr.prompt(model, "Is {t} {i}?").str.len_chars() > 0)


def three() -> dr.Frame:
    return dr.frame({"i": [3, 4, 4, 11], "w": ["a", "b", "c", "d"]})


CUTS: dict[str, tuple[Callable[[Ordinal], dr.Frame], int]] = {  # plan → what it asks
    "inner": (lambda m: said(m).join(three(), on="i"), 2),
    "other names": (lambda m: said(m).join(three().rename({"i": "k"}), left_on="i", right_on="k"), 2),
    "inner, the right side": (lambda m: three().join(said(m), on="i"), 2),
    "left, the right side": (lambda m: three().join(said(m), on="i", how="left"), 2),
    "right, the left side": (lambda m: said(m).join(three(), on="i", how="right"), 2),
    "rows that a model has chosen": (lambda m: chosen(m).join(three(), on="i"), 2),
    "semi-join of those": (lambda m: chosen(m).join(three(), on="i", how="semi"), 2),
    "two filters of models": (lambda _: chosen(GREEDY).filter(dr.prompt(GREEDY, "And {i}?") != "").join(three(), on="i"), 4),
    "a prompt above the join": (lambda m: chosen(m).join(three(), on="i").prompt(m, "Of {w}", into="of"), 5),
}


@pytest.mark.parametrize("model", [SAMPLED, GREEDY], ids=["sampled", "greedy"])
@pytest.mark.parametrize("name", CUTS)
def test_only_rows_with_a_partner_are_asked_about(name: str, model: Ordinal) -> None:
    plan, n = CUTS[name]
    most, asked = calls(lambda: plan(model))
    assert asked == n < most


def test_samples_of_rows_that_a_model_has_chosen_are_numbered_among_these() -> None:
    """The second model's samples are counted over the rows that pass the first, which is therefore asked about all."""
    assert calls(lambda: chosen().filter(dr.prompt(SAMPLED, "And {i}?") != "").join(three(), on="i")) == (20, 12)


WHOLE: dict[str, Callable[[], dr.Frame]] = {
    "left, the left side": lambda: said().join(three(), on="i", how="left"),
    "full": lambda: said().join(three(), on="i", how="full"),
    "checked": lambda: said().join(three(), on="i", validate="1:m"),
    "cross": lambda: said().join(three(), how="cross"),
    "by the answer": lambda: said().join(dr.frame({"said": ["x"]}), on="said"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_keeps_rows_without_a_partner_asks_about_all(name: str) -> None:
    assert calls(WHOLE[name]) == (10, 10)


def test_rows_that_a_model_has_chosen_on_the_other_side_cut_this_one() -> None:
    few = dr.frame({"i": [1, 2, 3, 4]}).filter(dr.prompt(GREEDY, "Few {i}").str.contains("Few 3 "))
    most, asked = calls(lambda: chosen().join(few, on="i"))
    assert (most, asked) == (14, 5)


def test_equal_questions_below_unique_cost_nothing_more() -> None:
    plan = lambda: rows().filter(dr.prompt(GREEDY, "Is {t}?").str.len_chars() > 0).unique("t")  # noqa: E731
    assert calls(plan) == (2, 2)


def test_a_semi_join_over_other_columns_has_those_that_polars_gives_it() -> None:
    left, right = dr.frame({"i": [1], "a": ["x"]}), dr.frame({"i": [1, 2], "b": [0, 1]})
    semi = left.join(right, on="i", how="semi").step
    for other in (dr.frame({"c": [True], "i": [2]}), dr.frame({"i": [1], "a": [1.5]})):
        moved = semi.with_inputs((other.step, right.step))
        assert list(moved.schema.items()) == list(moved.output_schema().items()) == list(other.schema.items())
    with pytest.raises(dr.errors.PlanError):
        semi.with_inputs((dr.frame({"i": ["x"]}).step, right.step))
