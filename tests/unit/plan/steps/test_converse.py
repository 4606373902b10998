"""Conversations in rows: whose turn it is, when they end, what is asked again and what is not."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import RowsFailedError, SettingError
from dreamframe.models.request import Completion
from dreamframe.testing import Scripted


def spoken(df: dr.Frame) -> list[list[tuple[str, str]] | None]:
    rows = df.collect()["messages"].to_list()
    return [None if row is None else [(m["role"], m["content"]) for m in row] for row in rows]


def words(text: str) -> str:
    return f"I heard {text}."


USER = Scripted(lambda text: f"More of {text.split()[-1]}", model="user")


def test_the_user_and_the_assistant_take_turns_until_the_last_one():
    with dr.Session(None):
        (found,) = spoken(dr.frame({"q": ["tea"]}).converse(Scripted(words), "{q}", user=USER, system="Be kind.", max_turns=2))
    assert found == [
        ("system", "Be kind."), ("user", "tea"), ("assistant", "I heard tea."), ("user", "More of tea."), ("assistant", "I heard More of tea.."),
    ]  # fmt: skip


def test_the_simulated_user_speaks_first_where_there_is_no_prompt_and_hears_whom_it_plays():
    user = Scripted(lambda text: "Hello" if "persona" not in text else f"I am {text[-3:]}", model="user")
    with dr.Session(None):
        (found,) = spoken(dr.frame({"who": ["Ann"]}).converse(Scripted(words), user=user, user_prompt="Your persona: {who}", max_turns=1))
    assert found == [("user", "I am Ann"), ("assistant", "I heard I am Ann.")]


def test_the_simulated_user_sees_the_assistant_as_its_user():
    user = Scripted(lambda text: "Bye", model="user")
    with dr.Session(None):
        dr.frame({"q": ["tea"]}).converse(Scripted(words), "{q}", user=user, user_prompt="You are Ann.", max_turns=2).collect()
    (request,) = user.log.requests
    assert [(m["role"], m["content"]) for m in request.messages()] == [("user", "You are Ann."), ("assistant", "tea"), ("user", "I heard tea.")]


@pytest.mark.parametrize(
    ("until", "n"),
    [("More", 3), ("heard More", 4), (lambda messages: len(messages) == 3, 3), (lambda messages: messages[-1]["content"] == "no", 8)],
    ids=["a text of the user's", "a text of the assistant's", "a condition", "a condition that never holds"],
)
def test_a_conversation_ends_where_until_holds(until: Any, n: int):
    with dr.Session(None):
        (found,) = spoken(dr.frame({"q": ["tea"]}).converse(Scripted(words), "{q}", user=USER, until=until, max_turns=4))
    assert found is not None
    assert len(found) == n


def test_a_condition_that_fails_fails_its_row():
    with dr.Session(None):
        df = dr.frame({"q": ["tea"]}).converse(Scripted(words), "{q}", until=lambda messages: messages[9], on_error="null")
        assert spoken(df) == [None]
        assert df.failures()["message"].to_list() == ["turn 1, until=: list index out of range"]


def test_a_chat_may_open_it_and_null_prompts_ask_nothing():
    llm = Scripted(words)
    chat = dr.Chat([("user", "Hi"), ("assistant", "Hello"), ("user", "{q}")])
    with dr.Session(None):
        found = spoken(dr.frame({"q": ["tea", None]}).converse(llm, chat))
    assert found == [[("user", "Hi"), ("assistant", "Hello"), ("user", "tea"), ("assistant", "I heard tea.")], None]
    assert llm.calls == 1


def test_equal_rows_are_samples_and_greedy_ones_are_one_conversation():
    for temperature, n in ((None, 4), (0, 2)):
        llm = Scripted(words, temperature=temperature)
        with dr.Session(None):
            dr.frame({"q": ["tea", "tea"]}).converse(llm, "{q}", user=Scripted(lambda t: "more", model="u", temperature=0), max_turns=2).collect()
        assert llm.calls == n


RAN: list[str] = []


def book(item: str) -> str:
    RAN.append(item)
    return f"booked {item}"


def price(item: str) -> float:
    RAN.append(f"price {item}")
    return {"tea": 4.5, "jam": 6.0}[item]


def dearer(item: str) -> float:
    RAN.append(f"dearer {item}")
    return {"tea": 5.5, "jam": 7.0}[item]


def buys(messages: list[dict[str, Any]], tools: list[Any]) -> Any:
    """Asks for the price of what the user names, then books it; who names nothing is answered at once."""
    last, n = messages[-1], sum(m["role"] == "tool" for m in messages)
    if last["role"] == "user" and last["content"] == "nothing":
        return "Then nothing."
    if n < 2:
        item = next(m["content"] for m in messages if m["role"] == "user")
        return {"content": "", "tool_calls": [{"id": f"c{n}", "function": {"name": ("price", "book")[n], "arguments": json.dumps({"item": item})}}]}
    return f"Done: {messages[-3]['content']}, {last['content']}."


ASKED: list[int] = []


def counted(messages: list[dict[str, Any]], tools: list[Any]) -> Any:
    ASKED.append(len(messages))
    return buys(messages, tools)


LLM = dr.FunctionLLM(dr.versioned(counted, version=1))
VERSIONED = dr.versioned(book, version=1)


def shop(tool: Any, items: list[str], **settings: Any) -> dr.Frame:
    return dr.frame({"q": items}).converse(LLM, "{q}", tools=[dr.Tool(dr.versioned(tool, version=1), name="price", pure=True), VERSIONED], **settings)


def test_an_edited_tool_runs_again_what_called_it_from_that_turn_on(tmp_path: Any):
    RAN.clear()
    with dr.Session(tmp_path):
        first = spoken(shop(price, ["tea", "nothing", "jam"]))
    assert sorted(RAN) == ["jam", "price jam", "price tea", "tea"]
    RAN.clear()
    ASKED.clear()
    with dr.Session(tmp_path):
        second = spoken(shop(dearer, ["tea", "nothing", "jam"]))
    assert sorted(RAN) == ["dearer jam", "dearer tea", "jam", "tea"], "what was booked after another price is another booking"
    assert sorted(ASKED) == [3, 3, 5, 5], "the first turns, and the row that called nothing, are kept"
    assert second[1] == first[1]
    assert second[0] is not None
    assert second[0][-1] == ("assistant", "Done: 5.5, booked tea.")


def test_what_a_tool_did_is_done_once_whatever_else_changes(tmp_path: Any):
    """Impure calls are kept for their row and the calls before them: other words of the system's change neither."""
    RAN.clear()
    for system in ("Be kind.", "Be brief.", "Be brief."):
        with dr.Session(tmp_path):
            spoken(shop(price, ["tea", "tea"], system=system))
    assert RAN.count("tea") == 2, "two equal rows book for themselves"
    assert RAN.count("price tea") == 1, "equal calls of a pure tool are one"


def test_offline_replays_all_of_it(tmp_path: Any):
    with dr.Session(tmp_path):
        first = shop(price, ["tea", "jam"]).collect()
    RAN.clear()
    ASKED.clear()
    with dr.Session(tmp_path, offline=True):
        again = shop(price, ["tea", "jam"]).collect()
    assert again.equals(first)
    assert (RAN, ASKED) == ([], [])


def test_until_a_tool_is_called():
    with dr.Session(None):
        (found,) = spoken(shop(price, ["tea"], until=VERSIONED))
    assert found is not None
    assert found[-1] == ("tool", "booked tea")


def test_errors_of_tools_are_counted_for_the_story_of_the_run(session: dr.Session):
    df = shop(price, ["rain"])
    assert "Error: KeyError: 'rain'" in [text for _, text in spoken(df)[0] or ()]
    (step,) = [s for s in session.runs()[-1].steps if s.label == "messages"] if hasattr(session, "runs") else [None]
    if step is not None:
        assert step.told["errors_of_tools"] == 1


def test_a_row_that_takes_too_long_fails_and_goes_on_in_the_next_run(tmp_path: Any):
    slow = Scripted(words, latency_s=0.15)
    df = dr.frame({"q": ["tea"]}).converse(slow, "{q}", user=USER, max_turns=3, timeout_s=0.3)
    with dr.Session(tmp_path), pytest.raises(RowsFailedError, match="did not end within"):
        df.collect()
    before = slow.calls
    assert before < 3
    with dr.Session(tmp_path):
        dr.frame({"q": ["tea"]}).converse(slow, "{q}", user=USER, max_turns=3).collect()
    assert slow.calls <= 3 + 1, "what was in flight, and no turn before it"


def test_a_turn_without_an_answer_fails_its_row_and_names_the_turn():
    def says(text: str) -> Completion:
        return Completion(None, finish="content_filter") if "More" in text else Completion("One.")

    with dr.Session(None):
        df = dr.frame({"q": ["tea"]}).converse(Scripted(says), "{q}", user=USER, max_turns=2, on_error="null")
        assert spoken(df) == [None]
        assert df.failures()["message"].to_list() == ["turn 2, the assistant: the model gave no answer (finish_reason 'content_filter')"]


def test_the_column_has_the_shape_of_trl_and_openai():
    plain = dr.frame({"q": ["x"]}).converse(Scripted(words), "{q}")
    assert plain.schema["messages"] == pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
    calls = pl.List(pl.Struct({"id": pl.String, "type": pl.String, "function": pl.Struct({"name": pl.String, "arguments": pl.String})}))
    held = pl.Struct({"role": pl.String, "content": pl.String, "tool_calls": calls, "tool_call_id": pl.String, "name": pl.String})
    assert shop(price, ["x"]).schema["messages"] == pl.List(held)


def test_an_estimate_of_kept_and_of_new_conversations_calls_nothing(session: dr.Session):
    shop(price, ["tea"]).collect()
    RAN.clear()
    ASKED.clear()
    found = shop(price, ["tea", "jam"]).estimate()
    assert (RAN, ASKED) == ([], [])
    assert found.calls > 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "nobody speaks first"),
        ({"prompt": "{q}", "user_prompt": "x"}, "give the model that plays it, user=llm"),
        ({"prompt": "{q}", "max_turns": 0}, "one turn or more"),
        ({"prompt": "{q}", "tools": [book, book]}, "two tools are called 'book'"),
        ({"prompt": "{q}", "tools": book}, "is not a list"),
        ({"prompt": "{q}", "tools": ["search"]}, "is not a tool"),
        ({"prompt": "{q}", "until": 3}, "is not a text"),
        ({"prompt": "{q}", "until": dr.Tool(book)}, "which is not among tools="),
        ({"prompt": "{q}", "into": "q"}, "column 'q' exists already"),
        ({"prompt": "{q}", "max_turn": 3}, "max_turn"),
        ({"prompt": "{w}"}, "no column 'w'"),
    ],
)
def test_what_cannot_be_is_refused_when_the_plan_is_built(arguments: dict[str, Any], said: str):
    with pytest.raises(dr.errors.PlanError, match=said):
        dr.frame({"q": ["x"]}).converse(Scripted(words), **arguments)


def test_the_step_is_a_setting_error_without_a_model():
    with pytest.raises(SettingError):
        dr.frame({"q": ["x"]}).converse("{q}", Scripted(words))  # type: ignore[arg-type]
