"""Better prompts by gepa: what it finds, what it may ask, what it must not look at, and that it goes the same way again. Only the models are fakes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import AuthenticationError, BudgetExceededError, MissingExtraError, OfflineError, RowsFailedError, RunError, SettingError
from tests.loopback import Loopback
from tests.unit.frame.tuning.task import ASK, FOUND, RIGHT, ROWS, TEXTS, asked_of, learned, named, proposing, small, strong


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def test_it_finds_the_instruction_that_the_model_needs() -> None:
    llm, by = small(), strong()
    better = asked_of(llm).tune("right", by=by, calls=100)
    assert better.candidates().select("name_prompt", "train", "held_out", "chosen").rows() == [(ASK, 0.0, 0.0, False), (FOUND, 1.0, 1.0, True)]
    assert llm.calls + by.calls <= 61
    assert better.collect()["name"].to_list() == RIGHT
    assert llm.calls == 60, "every row was asked with this prompt already"


def test_what_it_gives_is_the_plan_with_that_prompt() -> None:
    llm = small()
    better = asked_of(llm).filter(pl.col("name").str.len_chars() == 2).tune("right", by=strong(), calls=100)
    assert better.step.key({}) == asked_of(llm, FOUND).filter(pl.col("name").str.len_chars() == 2).step.key({})
    assert "tuned: 0 → 1 on 9 held-out rows, by GEPA" in better.explain()
    again = dr.from_json(better.to_json(), functions={"Scripted": dr.testing.Scripted, "small": llm, "named": named})
    assert "tuned: 0 → 1 on 9 held-out rows, by GEPA" in str(again)
    card = better.card()
    assert "tuned: 0 → 1 on 9 held-out rows, by GEPA" in card
    assert "2507.19457" in card


@pytest.mark.parametrize("without", ["", "steps"])
def test_again_it_asks_nothing_also_offline(tmp_path: Path, without: str) -> None:
    llm, by = small(), strong()
    with dr.Session(tmp_path / "s"):
        first = asked_of(llm).tune("right", by=by, calls=100).candidates()
    calls = llm.calls, by.calls
    if without:  # what came out is gone, and the answers are there
        shutil.rmtree(tmp_path / "s" / without)
    with dr.Session(tmp_path / "s", offline=True) as session:
        assert asked_of(llm).tune("right", by=by, calls=100).candidates().equals(first)
        assert bool(session.usage()["from_cache"]) == bool(without)
    assert (llm.calls, by.calls) == calls


def test_offline_without_answers_is_said() -> None:
    with dr.Session(None, offline=True), pytest.raises(OfflineError):
        asked_of(small()).tune("right", by=strong(), calls=100)


def test_rows_that_are_held_out_are_not_looked_at_before_the_end() -> None:
    llm, by = small(), strong()
    llm.log.requests.clear()
    asked_of(llm).tune("right", by=by, calls=100)
    first = [prompt.removeprefix(ASK.removesuffix("{text}")) for prompt in llm.prompts if prompt.startswith("Name it.")]
    learnt_from, held = set(first[:21]), set(first[21:])
    assert (len(learnt_from), len(held)) == (21, 9)
    assert not any(text in asked for text in held for asked in by.prompts)
    assert [prompt for prompt in llm.prompts if any(text in prompt for text in held)] == llm.prompts[-18:]


def test_rows_alike_are_held_out_together() -> None:
    rows = dr.frame({"text": TEXTS[:6] * 5, "right": RIGHT[:6] * 5})
    llm = dr.testing.Scripted(named, model="small")
    found = rows.prompt(llm, ASK, into="name", temperature=0).tune("right", by=strong(), calls=200).candidates()
    assert found["held_out"].to_list() == [0.0, 1.0]
    assert llm.calls == 12


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Give the code.", "it has lost '{text}'"),
        ("Give the code of {product}. Text: {text}", "it has '{product}', which the prompt did not read before"),
        ('Give {"code": 1}. Text: {text}', "which the prompt did not read before"),
        ("Give the code { of it. Text: {text}", "it is not a template"),
        (ASK, "it is the prompt as it was"),
        ("", "it is empty"),
        ("Give the code, " * 200 + "Text: {text}", "and may have 2,000"),
    ],
    ids=["lost", "new", "json", "brace", "same", "empty", "long"],
)
def test_a_prompt_against_the_rules_is_not_tried_and_the_model_is_told_why(text: str, told: str) -> None:
    llm, by = small(), proposing(text, FOUND)
    found = asked_of(llm).tune("right", by=by, calls=100).candidates()
    assert found["name_prompt"].to_list() == [ASK, text.strip(), FOUND]
    assert told in found["note"][1]
    assert found["train"].to_list() == [0.0, None, 1.0]
    assert "It cannot be used: " + found["note"][1].removeprefix("not tried: ") in by.prompts[1]
    assert llm.calls == 60, "nothing was asked with it"


def test_a_prompt_may_not_be_longer_than_it_is_allowed_to_be() -> None:
    found = asked_of(small()).tune("right", by=proposing(FOUND, "Give the code: Text: {text}"), calls=100, max_chars=30).candidates()
    assert found["note"][1] == "not tried: it has 42 characters, and may have 30"
    assert found.filter("chosen")["name_prompt"].to_list() == ["Give the code: Text: {text}"]


def test_where_nothing_is_better_the_plan_comes_back_as_it_was_and_says_so() -> None:
    llm = small()
    with pytest.warns(UserWarning, match="no prompt of 'name' was better than the one there is"):
        same = asked_of(llm).tune("right", by=strong(lambda asked: "```\nHm. Text: {text}\n```"), calls=60)
    assert same.step.key({}) == asked_of(llm).step.key({})
    assert "tuned: no better prompt was found, by GEPA" in same.explain()
    assert same.candidates()["chosen"].to_list() == [True, False]
    assert same.candidates()["note"][0] == "as it was; the search ended since calls=60 are asked, but for those that the rows which are held out take"


def test_a_prompt_that_was_tuned_before_says_so_further_on() -> None:
    better = asked_of(small()).tune("right", by=strong(), calls=100)
    with pytest.warns(UserWarning, match="no prompt"):
        same = better.tune("right", by=strong(), calls=101)
    assert "tuned: 0 → 1 on 9 held-out rows, by GEPA" in same.explain()
    assert same.candidates()["note"].to_list() == ["as it was; the search ended since every row is right"]


def test_what_is_better_only_on_the_rows_that_were_learnt_from_is_not_taken() -> None:
    llm = small()
    asked_of(llm).tune("right", by=strong(), calls=100)
    learnt_from = [prompt.partition("Text: ")[2] for prompt in llm.prompts[:21]]

    def by_heart(asked: str) -> str:
        return named("code " + asked) if "heart" in asked and asked.partition("Text: ")[2] in learnt_from else named("Text:" + asked.partition("Text:")[2])

    with pytest.warns(UserWarning, match="no prompt of 'name' was better"):
        found = asked_of(small(by_heart)).tune("right", by=proposing("By heart. Text: {text}"), calls=100).candidates()
    assert found.select("train", "held_out", "chosen").rows() == [(0.0, 0.0, True), (1.0, 0.0, False)]


@pytest.mark.parametrize("calls", [39, 45, 50, 60, 61])
def test_no_more_is_asked_than_was_said(calls: int) -> None:
    llm, by = small(), strong()
    found = asked_of(llm).tune("right", by=by, calls=calls).candidates()
    assert llm.calls + by.calls <= calls
    assert found["chosen"].to_list() == ([False, True] if calls >= 61 else [True, False][: found.height])


def test_money_is_a_limit_too(tmp_path: Path) -> None:
    prices = {"m": (100.0, 100.0)}

    def reply(body: dict[str, Any]) -> str:
        asked = body["messages"][-1]["content"]
        return learned(asked) if "cannot be used" in asked or "Write a better prompt" in asked else named(asked)

    with Loopback(reply) as server:
        llm = dr.OpenAI("m", base_url=server.url, max_tokens=100)
        for budget in (0.09, 0.2, 2.0):
            with dr.Session(tmp_path / str(budget), prices=prices) as session:
                found = asked_of(llm).tune("right", by=llm, budget=budget).candidates()
                spent = session.usage()["cost"]
                assert 0 < spent <= budget
                assert found["cost"].sum() == pytest.approx(spent)
        assert found["held_out"].to_list() == [0.0, 1.0]
        with dr.Session(None, prices=prices), pytest.raises(BudgetExceededError):
            asked_of(llm).tune("right", by=llm, budget=0.001)
        with dr.Session(None), pytest.raises(BudgetExceededError, match="the price of 'm' is not known"):
            asked_of(llm).tune("right", by=llm, budget=1.0)


def test_rows_that_fail_score_nothing_and_stop_nothing() -> None:
    def lost(row: dict[str, Any]) -> bool:
        return bool(row["name"].upper() == row["right"])  # which a row without an answer would not survive

    failing = dr.testing.Failing(model="small", when=lambda asked: "tea" in asked)
    with pytest.warns(UserWarning, match="no prompt of 'name' was better"):
        found = asked_of(failing).tune("right", by=strong(), calls=300, metric=lost).candidates()
    assert found["train"][0] == 0.0
    assert "There is no answer that can be used: BadRequestError" in "".join(strong_prompts(failing, lost))


def strong_prompts(llm: Any, metric: Any) -> list[str]:
    """What the reflecting model is asked."""
    by = strong(lambda asked: "```\nTry it. Text: {text}\n```")
    with dr.Session(None), pytest.warns(UserWarning, match="no prompt"):
        asked_of(llm).tune("right", by=by, calls=100, metric=metric)
    return by.prompts


def test_where_no_row_gets_an_answer_it_is_not_the_prompt_that_is_to_blame() -> None:
    by = strong()
    with pytest.raises(RunError, match="none of the 21 rows got an answer; the first: BadRequestError: refused"):
        asked_of(dr.testing.Failing()).tune("right", by=by, calls=300)
    assert by.calls == 0


def test_a_reflecting_model_that_fails_ends_the_search() -> None:
    llm = small()
    with pytest.raises(RowsFailedError, match="the key is refused"):
        asked_of(llm).tune("right", by=dr.testing.Failing(error=AuthenticationError("the key is refused", status=401)), calls=300)
    assert asked_of(llm).tune("right", by=strong(), calls=300).candidates()["held_out"].to_list() == [0.0, 1.0]
    assert llm.calls == 60, "what was answered is kept"


@pytest.mark.parametrize(
    "metric",
    [
        dr.metrics.accuracy("name", "right"),
        pl.col("name") == pl.col("right"),
        lambda row: row["name"] == row["right"],
        lambda row: (2.5 * (row["name"] == row["right"]), "It is a matter of codes."),
    ],
    ids=["accuracy", "expression", "function", "told"],
)
def test_a_metric_scores_and_may_say_why(metric: Any) -> None:
    by = strong(lambda asked: f"```\n{FOUND}\n```")
    found = asked_of(small()).tune("right", by=by, metric=metric, calls=120).candidates()
    assert found["train"].to_list()[:2] in ([0.0, 1.0], [0.0, 2.5])
    assert found["chosen"].to_list()[:2] == [False, True]
    assert ("It is a matter of codes. (score 0)" in by.prompts[0]) == (found["train"][1] == 2.5)


def test_of_errors_the_smaller_are_the_better() -> None:
    numbers = dr.frame({"n": [str(n) for n in range(12)], "right": [float(2 * n) for n in range(12)]})
    llm = small(lambda asked: str((2 if "Double" in asked else 1) * int(asked.split()[-1])))
    plan = numbers.prompt(llm, "Number {n}", into="said", schema=float)
    by = strong(lambda asked: "```\nDouble {n}\n```")
    found = plan.tune("right", by=by, metric=dr.metrics.mean_absolute_error("said", "right"), calls=60).candidates()
    assert found["train"][0] < 0
    assert found.filter("chosen").select("train", "held_out").rows() == [(0.0, 0.0)]


@pytest.mark.parametrize(
    "gold",
    [
        ROWS.rename({"right": "name"}),  # called as the answer is
        ROWS.with_columns(extra=pl.lit(1)).select("extra", "text", "right").drop("extra"),
        ROWS.rename({"right": "name"}).collect(),
    ],
    ids=["as the answer", "another name", "polars"],
)
def test_gold_may_be_a_frame_of_its_own(gold: Any) -> None:
    plan = dr.frame({"text": ["tea of another day"], "n": [1]}).prompt(small(), ASK, into="name")
    better = plan.tune(gold, by=strong(), calls=100)
    assert better.candidates()["held_out"].to_list() == [0.0, 1.0]
    assert better.collect().rows() == [("tea of another day", 1, "T1")]


def test_rows_without_a_right_answer_are_left_out() -> None:
    rows = dr.frame({"text": [*TEXTS, "nothing of the kind"], "right": [*RIGHT, None]})
    llm = small()
    rows.prompt(llm, ASK, into="name").tune("right", by=strong(), calls=100)
    assert not any("nothing of the kind" in prompt for prompt in llm.prompts)


def test_two_prompts_one_over_the_other() -> None:
    llm = small(lambda asked: asked.partition("Text: ")[2].split()[0] if asked.startswith("First") else named(asked))
    plan = ROWS.prompt(llm, "First word. Text: {text}", into="word").prompt(llm, "Name it. Text: {word}", into="name")
    by = strong(lambda asked: learned(asked).replace("{text}", "{word}") if "{word}" in asked else "```\nFirst and only. Text: {text}\n```")
    better = plan.tune("right", by=by, calls=500)
    found = better.candidates()
    assert found.columns[2:4] == ["word_prompt", "name_prompt"]
    assert found.filter("chosen").select("train", "held_out").rows() == [(1.0, 1.0)]
    only = plan.tune("right", by=by, calls=500, only=["name"]).candidates()
    assert only.columns[2] == "name_prompt"
    assert only.filter("chosen").select("train", "held_out").rows() == [(1.0, 1.0)]


def test_the_text_of_an_instruction_and_a_filter_are_tuned_too() -> None:
    llm = small(lambda asked: named(("code Text:" if "code" in asked else "Text:") + asked))
    plan = ROWS.prompt(llm, dr.Instruct("Name it.", input="text"), into="name")
    found = plan.tune("right", by=strong(lambda asked: "```\nGive the code.\n```"), calls=100).candidates()
    assert found.filter("chosen")["name_prompt"].to_list() == ["Give the code."]
    drinks = dr.frame({"text": TEXTS, "right": [t.startswith("tea") for t in TEXTS]})
    judge = small(lambda asked: "yes" if "tea" in asked and "drink" in asked else "no")
    kept = drinks.filter_by(judge, "Take it? {text}", free_text=True).tune("right", by=strong(lambda asked: "```\nIs it a drink? {text}\n```"), calls=100)
    assert kept.collect().height == 10


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "say how much may be asked: budget=2.0"),
        ({"calls": 0}, "calls=0"),
        ({"budget": -1}, "budget=-1 is not a number above 0"),
        ({"calls": 38}, "calls=38 does not cover the prompts as they are on 21 rows"),
        ({"calls": 99, "holdout": 1.0}, "holdout=1.0 is a share of the rows"),
        ({"calls": 99, "gold": "rihgt"}, "gold='rihgt' is not a column of the rows that 'name' is asked about; they have 'text', 'right'"),
        ({"calls": 99, "gold": 3}, "gold=the int 3 is neither a column nor a frame"),
        ({"calls": 99, "gold": ROWS.head(1)}, "gold has 1 rows with a right answer"),
        ({"calls": 99, "gold": ROWS.rename({"text": "body"})}, "gold has no column 'text', which the plan reads"),
        ({"calls": 99, "gold": ROWS.with_columns(other=pl.lit("x"))}, "it is not known which is right"),
        ({"calls": 99, "gold": ROWS.select("text")}, "gold has no column besides what the plan reads"),
        ({"calls": 99, "only": ["nmae"]}, "no model writes a column 'nmae'. Did you mean 'name'?"),
        ({"calls": 99, "metric": pl.col("wrong")}, "wrong"),
        ({"calls": 99, "metric": "accuracy"}, "'accuracy' scores no row"),
        ({"calls": 99, "metric": dr.metrics.f1("name", "right")}, "f1 is of many rows together"),
        ({"calls": 99, "by": 3}, "is not a language model"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_asked(given: dict[str, Any], said: str) -> None:
    llm = small()
    plan = dr.frame({"text": TEXTS, "right": RIGHT}).prompt(llm, ASK, into="name")
    if isinstance(given.get("gold"), dr.Frame):
        plan = dr.frame({"text": TEXTS}).prompt(llm, ASK, into="name")
    with pytest.raises(dr.errors.PlanError) as caught:
        plan.tune(**{"gold": "right", "by": strong(), **given})
    assert said in str(caught.value)
    assert llm.calls == 0


def test_what_has_no_text_of_its_own_and_what_was_not_tuned_is_said() -> None:
    with pytest.raises(SettingError, match="the prompt of 'answer' is a Chat, which has no single text"):
        ROWS.prompt(small(), dr.Chat([("user", "{text}")])).tune("right", by=strong(), calls=99)
    with pytest.raises(SettingError, match="no prompt of this plan was tuned"):
        asked_of(small()).candidates()
    better = asked_of(small()).tune("right", by=strong(), calls=100)
    with dr.Session(None), pytest.raises(SettingError, match="does not hold what was tried"):
        better.candidates()


def test_gepa_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamframe.frame.tuning import tune

    def missing(name: str) -> str:
        raise tune.PackageNotFoundError(name)

    monkeypatch.setattr(tune, "version", missing)
    with pytest.raises(MissingExtraError, match=r"pip install 'dreamframe\[tune\]'"):
        asked_of(small()).tune("right", by=strong(), calls=100)
