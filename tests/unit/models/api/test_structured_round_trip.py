"""Structured answers over the wire: any schema's values come back typed, and JSON that does not fit is repaired or a failure with its text."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterator
from typing import Any, Literal

import jsonschema
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import RowsFailedError
from tests.loopback import Loopback


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str


SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**53), 2**53),
    float: st.floats(allow_nan=False, allow_infinity=False, width=32),
    bool: st.booleans(),
    str: st.text(max_size=6),
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
    Mood: st.sampled_from(["good", "bad"]),
}
NAMES = ["a", "name", "class_", "x1", "größe"]


@st.composite
def models(draw: st.DrawFn, depth: int = 2) -> tuple[Any, st.SearchStrategy[Any]]:
    """A pydantic model, and the values (as JSON has them) that fit it."""
    fields, values = {}, {}
    for name in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True)):
        kind, value = draw(kinds(depth))
        fields[name], values[name] = (kind, ...), value
    made = pydantic.create_model(f"M{len(fields)}", **fields)  # type: ignore[call-overload]
    return made, st.fixed_dictionaries(values)


@st.composite
def kinds(draw: st.DrawFn, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
    form = draw(st.sampled_from(["scalar", "scalar", "optional", "list", "model", "union"] if depth else ["scalar"]))
    if form == "scalar":
        kind = draw(st.sampled_from(list(SCALARS)))
        return kind, SCALARS[kind]
    if form == "model":
        return draw(models(depth - 1))
    if form == "union":
        cats = st.fixed_dictionaries({"kind": st.just("cat"), "lives": st.integers(0, 9)})
        return Cat | Dog, cats | st.fixed_dictionaries({"kind": st.just("dog"), "name": st.text(max_size=4)})
    kind, value = draw(kinds(depth - 1))
    return (kind | None, st.none() | value) if form == "optional" else (list[kind], st.lists(value, max_size=3))  # type: ignore[valid-type]


@st.composite
def cases(draw: st.DrawFn) -> tuple[Any, list[Any]]:
    """What a user gives as schema=, and values of it."""
    top = draw(st.sampled_from(["model", "scalar", "list"]))
    kind, values = draw(models()) if top == "model" else draw(kinds(1 if top == "list" else 0))
    if kind is str:
        kind, values = int, SCALARS[int]  # text alone is no schema
    return kind, draw(st.lists(values, min_size=1, max_size=4))


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


def sent_schema(body: dict[str, Any]) -> dict[str, Any]:
    """What a request says about the answer, in whatever way."""
    if "tools" in body:
        return dict(body["tools"][0]["input_schema"])
    if "output_config" in body:
        return dict(body["output_config"]["format"]["schema"])
    return dict(body["response_format"]["json_schema"]["schema"])


def plain(value: Any) -> Any:
    """A value of a column without the fields that a struct has only for the other members of a union."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if v is not None}
    return [plain(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("protocol", ["openai", "anthropic"])
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_any_schema_round_trips(server: Loopback, protocol: str, case: tuple[Any, list[Any]]) -> None:
    kind, values = case
    made = dr.frame({"i": range(len(values))})
    wrapped = not (isinstance(kind, type) and issubclass(kind, pydantic.BaseModel))
    texts = [json.dumps({"answer": v} if wrapped else v) for v in values]
    server.calls.clear()
    server.reply = lambda body: texts[int(body["messages"][-1]["content"].split()[-1])]
    llm: Any = dr.OpenAI("m", base_url=server.url) if protocol == "openai" else dr.Anthropic("m", base_url=server.url.removesuffix("/v1"), max_tokens=99)
    with dr.Session(None, progress=False):
        out = made.prompt(llm, "row {i}", schema=kind, into="a", repairs=0).collect()
    assert plain(out.get_column("a").to_list()) == plain(values)
    assert out.schema["a"] == made.prompt(llm, "row {i}", schema=kind, into="a").schema["a"]
    assert len(server.calls) == len(values)
    for call in server.calls:
        jsonschema.validate(json.loads(texts[int(call.prompt.split()[-1])]), sent_schema(call.body))


@pytest.fixture
def _in_memory() -> Iterator[None]:
    with dr.Session(None, progress=False):
        yield


class Person(pydantic.BaseModel):
    name: str
    age: int


BAD = ["no JSON at all", '{"name": "Ann"}', '{"name": "Ann", "age": "many"}']


@pytest.mark.usefixtures("_in_memory")
@pytest.mark.parametrize("repairs", [0, 1, 2, 3])
@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_an_answer_that_is_wrong_k_times_is_repaired_or_kept_as_a_failure(server: Loopback, k: int, repairs: int) -> None:
    server.calls.clear()
    server.reply = lambda body: BAD[turn] if (turn := len(body["messages"]) // 2) < k else '{"name": "Ann", "age": 30}'
    df = dr.frame({"i": [1]}).prompt(dr.OpenAI("m", base_url=server.url), "Who is {i}?", schema=Person, into="who", repairs=repairs)
    if k <= repairs:
        assert df.collect().get_column("who").to_list() == [{"name": "Ann", "age": 30}]
    else:
        with pytest.raises(RowsFailedError) as caught:
            df.collect()
        assert [(f["error"], f["text"]) for f in caught.value.failures] == [("ParseError", BAD[repairs])]
    assert len(server.calls) == min(k, repairs) + 1
    for turn, call in enumerate(server.calls):
        told = call.body["messages"]
        assert [m["content"] for m in told if m["role"] == "assistant"] == BAD[:turn], "the model sees what it said"
        assert not turn or "age" in told[-1]["content"] or "JSON" in told[-1]["content"], "and what was wrong with it"
