"""Trying models and prompts on some rows: what the table says, what is asked, and that the whole plan asks it no more."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import RunError, SettingError
from dreamframe.testing import Scripted
from tests.loopback import Loopback

TEXTS = [f"tea {i}" if i % 3 else f"jam {i}" for i in range(60)]
GOLD = ["yes" if i % 3 else "no" for i in range(60)]
ROWS = dr.frame({"t": TEXTS, "gold": GOLD})
RIGHT = pl.col("drink") == pl.col("gold")


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def reader(model: str = "reader") -> dr.testing.Scripted:
    return dr.testing.Scripted(lambda asked: "yes" if "tea" in asked else "no", model=model)


def denier(model: str = "denier") -> dr.testing.Scripted:
    return dr.testing.Scripted(lambda asked: "no", model=model)


def asked_by(llm: object) -> dr.Frame:
    return ROWS.prompt(llm, "A drink? {t}", into="drink")


def test_quality_is_agreement_with_the_first_model() -> None:
    told = asked_by(reader()).compare_models([reader("one"), denier(), reader("two")], on=20)
    share = told["quality"][1]
    assert told.select("model", "quality", "rows").rows() == [("one", 1.0, 20), ("denier", share, 20), ("two", 1.0, 20)]
    assert 0 < share < 0.7


def test_quality_is_agreement_with_the_model_that_is_named() -> None:
    told = asked_by(reader()).compare_models([reader("one")], by=denier(), on=None)
    assert told.select("model", "quality", "rows").rows() == [("denier", 1.0, 60), ("one", pytest.approx(1 / 3), 60)]


@pytest.mark.parametrize(
    "metric",
    [RIGHT, lambda row: row["drink"] == row["gold"], lambda row: (row["drink"] == row["gold"], "said"), dr.metrics.accuracy("drink", "gold")],
    ids=["expression", "function", "told", "accuracy"],
)
def test_quality_is_what_a_metric_says_with_its_interval(metric: object) -> None:
    told = asked_by(reader()).compare_models({"a": reader(), "b": denier()}, metric=metric, on=None)
    assert told.select("model", "quality").rows() == [("a", 1.0), ("b", pytest.approx(1 / 3))]
    report = ROWS.with_columns(drink=pl.lit("no")).evaluate(dr.metrics.accuracy("drink", "gold"))["accuracy"]
    assert told.select("low", "high").row(1) == pytest.approx((report.low, report.high))


def test_quality_may_be_a_figure_of_all_rows_together() -> None:
    f1 = dr.metrics.f1("drink", "gold", average="macro")
    told = asked_by(reader()).compare_models([denier()], metric=f1, on=None)
    assert told["quality"][0] == pytest.approx(ROWS.with_columns(drink=pl.lit("no")).evaluate(f1)["f1"].value)


def test_scores_that_are_no_shares_have_an_interval_too() -> None:
    told = asked_by(reader()).compare_models([reader()], metric=pl.col("t").str.len_chars(), on=None).row(0, named=True)
    assert 5 < told["low"] < told["quality"] < told["high"] < 6


def test_the_whole_plan_asks_nothing_again_about_the_rows() -> None:
    one, other = reader("one"), denier("other")
    asked_by(one).compare_models([one, other], on=20)
    assert (one.calls, other.calls) == (20, 20)
    asked_by(one).collect()
    asked_by(other).collect()
    assert (one.calls, other.calls) == (60, 60)


def test_a_grid_of_prompts_asks_nothing_again_either() -> None:
    one, other = reader("one"), denier("other")
    prompts = {"short": "{t}?", "long": "Is {t} a drink?"}
    told = asked_by(one).compare_models([one, other], prompts=prompts, metric=RIGHT, on=15)
    assert told.select("model", "prompt").rows() == [("one", "short"), ("one", "long"), ("other", "short"), ("other", "long")]
    ROWS.prompt(one, prompts["long"], into="drink").collect()
    assert (one.calls, other.calls) == (15 + 60, 30)


def test_a_second_call_asks_nothing_and_says_the_same() -> None:
    one, other = reader("one"), denier("other")
    first = asked_by(one).compare_models([one, other], on=20)
    assert asked_by(one).compare_models([one, other], on=20).equals(first)
    assert (one.calls, other.calls) == (20, 20)


def test_the_rows_are_drawn_by_their_content_wherever_they_stand() -> None:
    one, shuffled = reader("one"), ROWS.reverse()
    asked_by(one).compare_models([one], on=20)
    shuffled.prompt(one, "A drink? {t}", into="drink").compare_models([one], on=20)
    assert one.calls == 20
    asked_by(one).compare_models([one], on=20, seed=1)
    assert one.calls > 20


def test_steps_below_are_asked_about_the_same_rows_alone() -> None:
    below, one = denier("below"), reader("one")
    plan = ROWS.prompt(below, "Shorten {t}", into="short").prompt(one, "{t}: {short}", into="drink")
    plan.compare_models([one], only="drink", on=10)
    assert (below.calls, one.calls) == (10, 10)


def test_rows_that_fail_stop_nothing_and_count_as_wrong() -> None:
    failing = dr.testing.Failing(when=lambda asked: "jam" in asked)
    told = asked_by(reader()).filter(pl.col("drink") != "maybe").compare_models([reader("one"), failing], on=None, metric=pl.col("drink").is_not_null())
    assert told.select("failed", "rows", "quality").rows() == [(0, 60, 1.0), (20, 60, pytest.approx(2 / 3))]


def test_tokens_cost_and_seconds_are_those_of_the_kept_answers() -> None:
    with Loopback(lambda body: "yes now") as server, dr.Session(None, prices={"m": (1.0, 10.0)}) as session:
        llm = dr.OpenAI("m", base_url=server.url)
        told = [asked_by(llm).compare_models([llm], on=10).row(0, named=True) for _ in range(2)]
        used = session.usage()
    assert told[0] == told[1]
    assert (told[0]["calls"], told[0]["tokens_in"], told[0]["tokens_out"]) == (used["calls"], used["tokens_in"], used["tokens_out"])
    assert told[0]["cost"] == pytest.approx(used["cost"])
    assert 0 <= told[0]["seconds"] < 60


def test_a_price_that_is_not_known_is_null() -> None:
    with Loopback() as server:
        llm = dr.OpenAI("m", base_url=server.url)
        assert asked_by(llm).compare_models([llm], on=2)["cost"].to_list() == [None]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give the models to try"),
        ({"models": []}, "models= is empty"),
        ({"models": [reader(), reader()]}, "two models are called 'reader'; give them names"),
        ({"models": [reader()], "only": "drnk"}, "no model writes a column 'drnk'. Did you mean 'drink'?"),
        ({"models": [reader()], "on": 0}, "on=0"),
        ({"models": [reader()], "metric": pl.col("god")}, "god"),
        ({"models": [reader()], "metric": dr.metrics.accuracy("drink", "god")}, "no column 'god'"),
        ({"models": [reader()], "metric": "accuracy"}, "'accuracy' scores no row"),
        ({"models": [reader()], "metric": RIGHT, "by": denier()}, "give one of them"),
        ({"prompts": {"short": "{tt}"}}, "prompt 'short'"),
        ({"prompts": "{t}"}, "is not a dict of names and prompts"),
        ({"models": [3]}, "is not a language model"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_asked(given: dict[str, object], said: str) -> None:
    llm = reader()
    with pytest.raises(dr.errors.PlanError) as caught:
        asked_by(llm).compare_models(**given)
    assert said in str(caught.value)
    assert llm.calls == 0


def test_of_several_steps_one_is_named() -> None:
    plan = asked_by(reader()).prompt(denier(), "{t}", into="other")
    with pytest.raises(SettingError, match=r"2 steps of this plan ask a model .*; say which one is compared: only='other'"):
        plan.compare_models([reader("one")])
    with pytest.raises(SettingError, match="no step of this plan asks a language model"):
        ROWS.compare_models([reader()])


def test_a_metric_that_raises_is_named_with_its_row() -> None:
    with pytest.raises(RunError, match=r"metric= raised KeyError: 'golden'. It was given the row .*'drink'"):
        asked_by(reader()).compare_models([reader("one")], metric=lambda row: row["golden"], on=1)


def test_a_name_stands_for_a_model_and_columns_of_other_verbs_are_meant_by_the_verb() -> None:
    plan = ROWS.filter_by(reader(), "A drink? {t}", free_text=True)
    told = plan.compare_models([reader("one"), denier()], only="filter_by", on=None)
    assert told["quality"].to_list() == [1.0, pytest.approx(1 / 3)]


def test_labels_of_a_frame_stay_those_of_every_variant(session: dr.Session) -> None:
    labels = dr.frame({"label": ["tea", "jam"]})
    tea, jam = (Scripted(lambda _, said=said: said, model=said) for said in ("tea", "jam"))  # type: ignore[misc]
    df = dr.frame({"t": ["cup", "pot"]}).classify(tea, labels["label"], "t", into="topic")
    assert df.compare_models([tea, jam]).select("model", "quality", "failed").rows() == [("tea", 1.0, 0), ("jam", 0.0, 0)]


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(lambda llm, df: df.filter_by(llm, "{t}?", cascade=dr.Cascade(Scripted({"?": "yes"}), recall=0.9)), id="cascade"),
        pytest.param(lambda llm, df: df.filter_by(llm, "{t}?", distil=dr.Distil(dr.testing.WordEmbedder(), labels=40)), id="distil"),
        pytest.param(lambda llm, df: df.join_by(dr.frame({"u": ["a"]}), llm, "{t} {u}?", asked="labels"), id="asked"),
    ],
)
def test_what_is_certified_against_one_model_is_not_asked_of_another(frame: Any) -> None:
    llm = Scripted(lambda _: "yes")
    made = frame(llm, dr.frame({"t": ["cup", "pot"]}))
    name = "join_by" if "join_by" in made.explain() else "filter_by"
    with pytest.raises(SettingError, match=f"compare_models: '{name}' asks one question in several steps"):
        made.compare_models([llm], only=name)
    with pytest.raises(SettingError, match=f"tune: '{name}' asks one question in several steps"):
        made.with_columns(gold=True).tune("gold", by=llm, calls=100, only=name)
