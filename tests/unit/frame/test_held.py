"""Verbs that ask for a yes, a number or a winner hold the model to it, read free text where it cannot be held, and keep what was sent and said."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import DuplicateColumnError, RowsFailedError, SettingError
from tests.loopback.served import chat, run

ROWS = dr.frame({"t": ["tea"], "u": ["rain"]})
VERBS: dict[str, Any] = {
    "filter_by": lambda df, llm, **more: df.filter_by(llm, "Is {t} hot?", **more),
    "rank_by": lambda df, llm, **more: df.rank_by(llm, "Rate {t}", **more),
    "top_k_by": lambda df, llm, **more: df.top_k_by(llm, "Rate {t}", 1, **more),
    "judge": lambda df, llm, **more: df.judge(llm, a="t", b="u", swap="never", **more),
    "join_by": lambda df, llm, **more: df.select("t").join_by(df.select("u"), llm, "{t} with {u}?", **more),
}
SHAPES = {
    "filter_by": {"type": "boolean"},
    "rank_by": {"type": "number"},
    "top_k_by": {"type": "number"},
    "judge": {"type": "string", "enum": ["Input A", "Input B"]},
    "join_by": {"type": "boolean"},
}
HELD = {"filter_by": "true", "rank_by": "7", "top_k_by": "7", "judge": '"Input B"', "join_by": "true"}
FREE = {"filter_by": "Yes, it is.", "rank_by": "I give it 7 of 10.", "top_k_by": "I give it 7 of 10.", "judge": "I prefer Input B!", "join_by": "Yes, it is."}
GIVEN = {"filter_by": "tea", "rank_by": 7.0, "top_k_by": 7.0, "judge": "b", "join_by": "rain"}
STRANGE = {  # JSON of another shape, with words in it that free text would be read for
    "filter_by": '{"yes": false}', "rank_by": '{"criterion_1": "good"}', "top_k_by": '{"1": 7}', "judge": '{"Input A": "worse"}', "join_by": '{"yes": 0}',
}  # fmt: skip


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def value(verb: str, frame: dr.Frame) -> Any:
    row = frame.to_dicts()[0]
    return row[{"filter_by": "t", "join_by": "u", "judge": "winner"}.get(verb, "score")]


@pytest.mark.parametrize("verb", VERBS)
def test_the_model_is_held_to_what_is_asked(verb: str) -> None:
    llm = dr.testing.Scripted([f'{{"answer": {HELD[verb]}}}'])
    assert value(verb, VERBS[verb](ROWS, llm)) == GIVEN[verb]
    (request,) = llm.log.requests
    assert json.loads(request.question.json_schema or "")["properties"]["answer"] == SHAPES[verb]


@pytest.mark.parametrize("verb", VERBS)
def test_a_model_that_answers_in_words_all_the_same_is_read(verb: str) -> None:
    assert value(verb, VERBS[verb](ROWS, dr.testing.Scripted([FREE[verb]]))) == GIVEN[verb]


@pytest.mark.parametrize("verb", VERBS)
def test_free_text_is_asked_for_without_a_schema(verb: str) -> None:
    llm = dr.testing.Scripted([FREE[verb]])
    assert value(verb, VERBS[verb](ROWS, llm, free_text=True)) == GIVEN[verb]
    (request,) = llm.log.requests
    assert request.question.json_schema is None


def test_free_text_is_the_request_and_the_step_that_it_was_before_models_were_held() -> None:
    llm = dr.testing.Echo()
    asked = [ROWS.filter_by(llm, "Is {t}?", free_text=True), ROWS.judge(llm, a="t", b="u", swap="both", free_text=True)]
    assert [f.step.key({}) for f in asked] == ["10b331ff6d2b5f66707a13d45dfbdfb0", "486980c6424b5b9a97856e9a06332a33"]


@pytest.mark.parametrize("verb", VERBS)
def test_names_in_json_of_another_shape_are_not_taken_for_the_answer(verb: str) -> None:
    llm = dr.testing.Scripted([STRANGE[verb], f'{{"answer": {HELD[verb]}}}'])
    assert value(verb, VERBS[verb](ROWS, llm)) == GIVEN[verb]
    assert llm.calls == 2, "the model is shown its error once"
    with pytest.raises(RowsFailedError, match="ParseError"):
        VERBS[verb](ROWS, dr.testing.Scripted([STRANGE[verb]], model="other"), repairs=0).collect()


def test_a_question_of_the_users_own_may_offer_a_tie() -> None:
    llm = dr.testing.Scripted(['{"answer": "tie"}'])
    judged = ROWS.judge(llm, a="t", b="u", instruction="Which is hot? Say 'Input A', 'Input B' or 'tie'.")
    assert judged.to_dicts()[0]["winner"] == "tie"


@pytest.mark.parametrize("verb", VERBS)
def test_a_server_that_takes_no_schema_is_asked_on(verb: str) -> None:
    def reply(n: int, body: dict[str, Any]) -> Any:
        return (400, {"error": {"message": "response_format is not supported"}}) if "response_format" in body else chat(FREE[verb])

    seen = run(reply, verb=lambda df, llm: VERBS[verb](df.with_columns(u=pl.lit("rain")), llm))
    assert (seen.failures, len(seen.answers)) == ([], 1)


@pytest.mark.parametrize("verb", VERBS)
def test_switches_that_say_two_things_are_refused_on_their_line(verb: str) -> None:
    with pytest.raises(SettingError, match=f"{verb}: free_text=True reads"):
        VERBS[verb](ROWS, dr.testing.Echo(), free_text=True, parse=str)
    with pytest.raises(SettingError, match=f"{verb}: free_text='no' is True or False"):
        VERBS[verb](ROWS, dr.testing.Echo(), free_text="no")
    with pytest.raises(SettingError, match=f"{verb}: keep='prompts'; give 'prompt'"):
        VERBS[verb](ROWS, dr.testing.Echo(), keep="prompts")


# keep=


KEPT_AS = {"filter_by": "filter_by", "rank_by": "score", "top_k_by": "score", "judge": "winner", "join_by": "join_by"}
SENT = {
    "filter_by": "Is tea hot?", "rank_by": "Rate tea", "top_k_by": "Rate tea", "join_by": "tea with rain?",
    "judge": "Input A: tea\n\nInput B: rain\n\nInstruction: Which input is better? Respond with 'Input A' or 'Input B'.",
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_the_prompt_and_the_answer_are_columns_where_they_are_asked_for(verb: str) -> None:
    llm, more = dr.testing.Scripted([FREE[verb]]), {"keep": ["answer", "prompt"]}
    frame = VERBS[verb](ROWS, llm, **more)
    row, name = frame.to_dicts()[0], KEPT_AS[verb]
    assert (row[f"{name}_prompt"], row[f"{name}_answer"]) == (SENT[verb], FREE[verb])
    assert list(row) == frame.columns
    assert value(verb, VERBS[verb](ROWS, llm)) == GIVEN[verb]
    assert llm.calls == 1, "what is kept as a column is no part of the request"


def test_both_ways_of_a_pair_are_kept() -> None:
    row = ROWS.judge(dr.testing.Scripted(lambda asked: "Input A" if asked.startswith("Input A: tea") else "Input B"), a="t", b="u", swap="both", keep="prompt")
    assert row.columns == ["t", "u", "winner_prompt", "winner_swapped_prompt", "winner"]
    kept = row.to_dicts()[0]
    assert kept["winner_prompt"].startswith("Input A: tea")
    assert kept["winner_swapped_prompt"].startswith("Input A: rain")
    assert kept["winner"] == "a"


def test_a_prompt_keeps_its_examples_its_samples_and_what_it_said_before_it_failed() -> None:
    shots = dr.FewShot("Translate.", input="t", output="g", examples=[{"t": "milk", "g": "Milch"}])
    row = ROWS.prompt(dr.testing.Echo(), shots, keep="prompt").to_dicts()[0]
    assert row["answer_prompt"] == row["answer"] == "Translate.\n\nInput: milk\nOutput: Milch\nInput: tea\nOutput:"
    two = ROWS.prompt(dr.testing.Scripted(["1", "2"]), "{t}", schema=int, n=2, keep=("prompt", "answer"), into="x").to_dicts()[0]
    assert (two["x"], two["x_prompt"], two["x_answer"]) == ([1, 2], "tea", ["1", "2"])
    bad = ROWS.prompt(dr.testing.Scripted(["one", "uno"]), "{t}", schema=int, on_error="null", keep="answer").to_dicts()[0]
    assert (bad["answer"], bad["answer_answer"]) == (None, "uno")
    null = dr.frame(pl.DataFrame({"t": [None]}, schema={"t": pl.String})).prompt(dr.testing.Echo(), "{t}", keep=["prompt", "answer"])
    assert null.collect().row(0) == (None, None, None, None)


def test_an_expression_is_one_column() -> None:
    with pytest.raises(SettingError, match=r"prompt: keep= adds columns, and an expression is one: use df\.prompt"):
        dr.prompt(dr.testing.Echo(), "{t}", keep="prompt")


def test_kept_columns_have_names_that_are_free() -> None:
    llm = dr.testing.Scripted(["yes"])
    twice = ROWS.filter_by(llm, "Is {t} hot?", keep="answer").filter_by(llm, "Is {u} wet?", keep="answer", name="wet")
    assert twice.columns == ["t", "u", "filter_by_answer", "wet_answer"]
    with pytest.raises(DuplicateColumnError, match="filter_by: column 'filter_by_answer' exists already"):
        twice.filter_by(llm, "Is {u} wet?", keep="answer")
    assert ROWS.score(llm, {"wit": "is it?"}, "t", keep="answer").columns == ["t", "u", "scores", "scores_answer"]
    assert ROWS.classify(llm, ["a", "b"], "t", keep="prompt").columns == ["t", "u", "label", "label_prompt"]


@pytest.mark.parametrize("verb", VERBS)
def test_words_where_the_value_belongs_are_read_as_words(verb: str) -> None:
    """Of a server that sends JSON and does not hold its model to the types of the fields."""
    for fence in ("{}", "```json\n{}\n```"):
        llm = dr.testing.Scripted([fence.replace("{}", json.dumps({"answer": FREE[verb]}))])
        assert value(verb, VERBS[verb](ROWS, llm)) == GIVEN[verb]


@pytest.mark.parametrize("wrong", [True, 3, "text", ["answer", "answer"], [1]])
def test_what_cannot_be_kept_is_refused(wrong: Any) -> None:
    with pytest.raises(SettingError, match=r"^prompt: keep=.*give 'prompt'"):
        ROWS.prompt(dr.testing.Echo(), "{t}", keep=wrong)


@pytest.mark.parametrize("verb", VERBS)
def test_what_holds_a_model_is_looked_for_before_the_run(verb: str) -> None:
    class Holding(dr.testing.Echo):
        needs_to_hold = ("no_such_library",)

    lacks = lambda frame: [str(error) for step in frame.step.walk() for error in step.missing()]  # noqa: E731
    assert "no_such_library" in "".join(lacks(VERBS[verb](ROWS, Holding())))
    assert lacks(VERBS[verb](ROWS, Holding(), free_text=True)) == []


def test_a_prompt_that_is_a_condition_by_itself_is_asked_for_a_yes_or_no(session: dr.Session):
    llm = dr.testing.Scripted(lambda asked: "yes" if "tea" in asked else "no")
    rows = dr.frame({"t": ["tea", "ice"]})
    said = rows.filter(dr.prompt(llm, "Is {t} warm?", schema=bool))
    told = rows.filter(dr.prompt(llm, "Is {t} warm?"))
    assert told.step.key({}) == said.step.key({})
    assert told.collect()["t"].to_list() == ["tea"]
    assert rows.filter(dr.prompt(llm, "Is {x} warm?", x=pl.col("t").str.to_uppercase()), pl.col("t") != "").collect().is_empty()


@pytest.mark.parametrize("settings", [{"schema": int}, {"parse": str.strip}, {"n": 2}], ids=str)
def test_a_prompt_that_says_what_its_answer_is_keeps_it(settings: dict[str, Any]):
    with pytest.raises(dr.errors.PlanError, match="a condition is true or false, and the model's answer is"):
        dr.frame({"t": ["tea"]}).filter(dr.prompt(dr.testing.Echo(), "Is {t} warm?", **settings))
