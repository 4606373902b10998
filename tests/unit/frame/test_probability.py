"""Verbs that decide, with a column of how likely the model finds its answer."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, DuplicateColumnError, RowsFailedError, SettingError
from dreamframe.run.calls import batch_api
from tests.loopback import Desk, Loopback
from tests.micro import micro_causal
from tests.micro_gguf import micro_gguf

ROWS = dr.frame({"t": ["the cup", "a vote", None]})


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def sporty() -> dr.testing.Scripted:
    return dr.testing.Scripted(lambda asked: {True: 0.9, False: 0.1} if "cup" in asked else {True: 0.15, False: 0.6})


VERBS: dict[str, Any] = {
    "prompt": lambda df, llm, **more: df.prompt(llm, "Sports? {t}", "sports", schema=bool, **more),
    "classify": lambda df, llm, **more: df.classify(llm, ["yes", "no"], "t", **more),
    "filter_by": lambda df, llm, **more: df.filter_by(llm, "Sports? {t}", **more),
    "rank_by": lambda df, llm, **more: df.rank_by(llm, "Rate {t}", scale=(1, 3), **more),
    "top_k_by": lambda df, llm, **more: df.top_k_by(llm, "Rate {t}", 1, scale=(1, 3), **more),
    "judge": lambda df, llm, **more: df.with_columns(u=pl.lit("rain")).judge(llm, "t", "u", swap="never", **more),
    "join_by": lambda df, llm, **more: df.join_by(dr.frame({"u": ["tea"]}), llm, "{t} {u}?", **more),
    "join_by, symmetric": lambda df, llm, **more: df.join_by(dr.frame({"t": ["tea"]}), llm, "{t} {t_right}?", symmetric=True, **more),
}
WEIGHS: dict[str, Any] = {
    "rank_by": {1: 0.2, 2: 0.2, 3: 0.6}, "top_k_by": {3: 0.6, 2: 0.4}, "judge": {"Input A": 0.6, "Input B": 0.4},
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_decides_tells_how_likely_its_answer_is(verb: str):
    llm = dr.testing.Scripted(lambda _: WEIGHS.get(verb, {"yes": 0.6, "no": 0.4}))
    made = VERBS[verb](ROWS.head(1), llm, probability="p").collect()
    assert made.schema["p"] == pl.Float64
    assert made["p"].to_list() == [0.6]
    assert llm.log.requests[0].question.labels


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_tells_it_behind_an_api_at_once_and_in_a_batch(verb: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batch_api, "QUIET_S", 0.01)
    found = []
    for mode in ("batch", "calls"):
        with Loopback(desk=Desk()) as server, dr.Session(None) as session:
            llm = dr.OpenAI("m", base_url=server.url, api_key="k", batch_poll_s=0.01)
            plan = VERBS[verb](dr.frame({"t": ["rain", "the cup"]}), llm, probability="p")
            found.append(plan.collect(mode=mode))
            assert session.usage()["calls"] == 2
            assert [len(sent) for sent in server.desk.submitted] == ([2] if mode == "batch" else [])
            n_calls = server.n_calls
            assert plan.collect().equals(found[-1])
            assert server.n_calls == n_calls, "kept with the answer"
    assert found[0].equals(found[1])
    assert found[0]["p"].to_list() == [0.75] * found[0].height
    assert found[0].height == (2 if verb in ("prompt", "classify", "rank_by", "judge") else 1)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("engine", ["Transformers", "LlamaCpp"])
def test_every_verb_tells_it_of_a_model_in_this_process(engine: str, verb: str):
    llm = dr.Transformers(micro_causal(), threads=1) if engine == "Transformers" else dr.LlamaCpp(str(micro_gguf()), threads=1)
    made = VERBS[verb](dr.frame({"t": ["rain", "tea"]}), llm, probability="p")
    assert made.schema["p"] == pl.Float64
    found = made.collect()
    assert found["p"].is_between(0.3, 1).all(), "of three labels at most, the likeliest"
    assert found["p"].null_count() == 0
    assert made.collect(offline=True).equals(found)


def test_the_column_is_null_where_nothing_was_asked_and_where_the_row_failed():
    llm = dr.testing.Scripted(lambda asked: {True: 0.9} if "cup" in asked else {True: 0.01})
    out = ROWS.prompt(llm, "Sports? {t}", "sports", schema=bool, probability="p", on_error="null")
    assert out.collect().rows() == [("the cup", True, 1.0), ("a vote", None, None), (None, None, None)]
    assert "1.0% of the probability" in out.failures()["message"][0]
    with pytest.raises(RowsFailedError, match="less than 5%"):
        ROWS.prompt(llm, "Sports? {t}", "sports", schema=bool, probability="p").collect()


def test_the_answer_is_the_likeliest_label_as_the_column_takes_it():
    llm = dr.testing.Scripted(lambda _: {"2": 0.5, "3": 0.4})
    made = ROWS.head(1).prompt(llm, "{t}", schema=Literal[1, 2, 3], probability="p").collect()
    assert made["answer"].to_list() == [2]
    assert made["p"].to_list() == [pytest.approx(5 / 9)]


def test_another_threshold_and_another_name_ask_nothing():
    llm = sporty()
    first = ROWS.prompt(llm, "Sports? {t}", "sports", schema=bool, probability="p")
    assert first.collect()["p"].to_list() == [0.9, pytest.approx(0.8), None]
    again = ROWS.prompt(llm, "Sports? {t}", "is_sports", schema=bool, probability="sure").filter(pl.col("sure") > 0.85)
    assert again.collect(offline=True)["is_sports"].to_list() == [True]
    assert ROWS.filter_by(llm, "Sports? {t}", probability="q").collect(offline=True)["q"].to_list() == [0.9]
    assert llm.calls == 2


def test_equal_rows_are_one_question_whatever_the_temperature_of_the_model_is():
    llm = dr.testing.Scripted(lambda _: {True: 0.7, False: 0.3}, temperature=1.0, max_tokens=50, top_p=0.5)
    made = dr.frame({"t": ["tea"] * 5}).prompt(llm, "{t}?", schema=bool, probability="p").collect()
    assert made["p"].to_list() == [0.7] * 5
    assert llm.calls == 1
    assert llm.log.requests[0].question.sampling.given() == {"max_tokens": 1, "temperature": 0.0}


def test_what_was_sent_and_said_can_be_kept():
    made = ROWS.head(1).prompt(sporty(), "Sports? {t}", "sports", schema=bool, probability="p", keep=["prompt", "answer"]).to_dicts()[0]
    assert made["sports_prompt"].startswith("Sports? the cup\n\nAnswer with one letter")
    assert made["sports_answer"] == '{"label": "yes", "score": 0.9, "all": [["yes", 0.9], ["no", 0.1]], "outside": 0.0}'


def test_what_it_will_cost_is_told_with_answers_that_the_step_can_read():
    plan = ROWS.filter_by(sporty(), "Sports? {t}", probability="p").prompt(dr.testing.Scripted(str), "Why? {t}", into="why")
    assert [step.calls for step in plan.estimate().steps] == [2, 2], "as if each of the rows were a yes"


def test_without_probabilities_the_same_model_is_asked_as_ever():
    llm = sporty()
    assert ROWS.prompt(llm, "Sports? {t}", "sports", schema=bool).collect()["sports"].to_list() == [True, False, None]
    (request, _) = llm.log.requests
    assert request.prompt == "Sports? the cup"
    assert request.question.json_schema is not None
    assert not request.question.labels


def test_the_story_of_a_row_tells_how_likely_each_label_was():
    plan = ROWS.prompt(sporty(), "Sports? {t}", "sports", schema=bool, probability="p")
    plan.collect()
    (call,) = plan.why(1).calls
    assert (call.answer, call.probabilities, call.outside) == ("no", pytest.approx({"yes": 0.2, "no": 0.8}), pytest.approx(0.25))
    assert "likely     no 80.0% · yes 20.0% (25.0% on none of them)" in str(plan.why(1))
    assert "no 80.0% · yes 20.0%" in plan.why(1)._repr_html_()


REFUSED: dict[str, tuple[Any, str]] = {
    "a model that gives none": (lambda: VERBS["filter_by"](ROWS, dr.testing.Echo(), probability="p"), "filter_by: probability= cannot be told: echo gives no"),
    "free text": (lambda: ROWS.prompt(sporty(), "{t}", probability="p"), "the answer is String"),
    "a number": (lambda: ROWS.prompt(sporty(), "{t}", schema=float, probability="p"), "the answer is Float64"),
    "one label": (lambda: ROWS.classify(sporty(), ["yes"], "t", probability="p"), "classify: .* the answer is one label"),
    "too many labels": (lambda: ROWS.classify(sporty(), [f"l{i}" for i in range(27)], "t", probability="p"), "26 labels at most, and there are 27"),
    "samples": (lambda: ROWS.prompt(sporty(), "{t}", schema=bool, probability="p", n=2), "n=2 asks for several"),
    "a temperature": (lambda: ROWS.prompt(sporty(), "{t}", schema=bool, probability="p", temperature=0.5), "temperature= says how"),
    "a limit": (lambda: ROWS.filter_by(sporty(), "{t}", probability="p", max_tokens=5), "filter_by: max_tokens= says how"),
    "a parser": (lambda: ROWS.prompt(sporty(), "{t}", schema=bool, probability="p", parse=str), "no text that parse="),
    "free_text": (lambda: ROWS.filter_by(sporty(), "{t}", probability="p", free_text=True), "filter_by: probability= tells how likely"),
    "no name": (lambda: ROWS.prompt(sporty(), "{t}", schema=bool, probability=True), "probability=True is not a name"),
    "both ways round": (lambda: ROWS.judge(sporty(), "t", "t", swap="both", probability="p"), "swap='both' has two verdicts"),
    "an expression": (lambda: ROWS.select(dr.prompt(sporty(), "{t}", schema=bool, probability="p")), "an expression is one: use df.prompt"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_probability_says_so_when_the_plan_is_built(what: str):
    make, words = REFUSED[what]
    with pytest.raises(SettingError, match=words):
        make()


def test_the_column_is_one_like_any_other():
    with pytest.raises(DuplicateColumnError, match="'t'"):
        ROWS.filter_by(sporty(), "{t}", probability="t")
    with pytest.raises(DuplicateColumnError, match="'answer'"):
        ROWS.prompt(sporty(), "{t}", schema=bool, probability="answer")
    with pytest.raises(ColumnNotFoundError):
        ROWS.prompt(sporty(), "{t}", schema=bool, probability="p").filter(pl.col("q") > 0)


def test_a_task_model_tells_its_score_under_that_name():
    made = ROWS.classify(dr.testing.NamingClassifier(), ["vote", "cup"], "t", probability="p").collect()
    assert made.rows() == [("the cup", "cup", 1.0), ("a vote", "vote", 1.0), (None, None, None)]
    with pytest.raises(DuplicateColumnError, match="'t'"):
        ROWS.classify(dr.testing.NamingClassifier(), ["vote", "cup"], "t", probability="t")


def test_the_plan_says_which_column_it_is():
    assert ROWS.prompt(sporty(), "Sports? {t}", "s", schema=bool, probability="p").explain().splitlines()[0].startswith("PROMPT s → Boolean probability=p ←")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        pytest.param(lambda df, llm: df.prompt(llm, "{t}", schema=bool, probabilities="p"), "Did you mean 'probability'", id="a near miss"),
        pytest.param(lambda df, llm: df.classify(llm, ["a", "b"], "t", logprobs=True), "Write probability='p'", id="another library's"),
        pytest.param(lambda df, llm: df.prompt(llm, "{t}", cascade=1), "cascade= is an argument of filter_by, classify and join_by", id="of other verbs"),
        pytest.param(lambda df, llm: df.rank_by(llm, "{t}", compare=True), "compare= is an argument of top_k_by", id="of another verb"),
    ],
)
def test_a_setting_that_is_not_there_names_the_one_that_is_meant(call: Any, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        call(ROWS, sporty())
