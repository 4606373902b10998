"""Identity: what is equal has one fingerprint in every process, what differs has another, and secrets have no part in it."""

from __future__ import annotations

import copy
import datetime as dt
import functools
import json
import math
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import FingerprintError
from dreamframe.identity.fingerprint import canonical, fingerprint, parts, tagged
from dreamframe.models.request import Question, Sampling
from dreamframe.plan.step import Step, runtime
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.source import Table
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.base import Prompt

ROOT = Path(__file__).resolve().parents[3]
ALIKE = [1, True, 1.0, "1", b"1", 1 + 0j, Decimal(1), Decimal("1.0"), (1,), [1], {1}, frozenset([1]), {1: 1}, (True,), ((1,),), "int(1 3:0x1)", None, 0, -1]
ALIKE += [False, 0.0, -0.0, "", b"", bytearray(), (), [], {}, set(), frozenset(), range(0), range(1), slice(1), ..., math.nan, math.inf, -math.inf]
ALIKE += [dt.date(1, 1, 1), dt.datetime(1, 1, 1), dt.time(), dt.timedelta(), dt.UTC, dt.datetime(1, 1, 1, tzinfo=dt.UTC)]
ALIKE += [PurePosixPath("1"), PureWindowsPath("1"), "None", "True", (None,), ({},), {"": None}, {None: ""}, ["1"], [["1"], []], [[], ["1"]], [["1", []]]]


def test_values_that_python_or_text_takes_for_equal_have_fingerprints_of_their_own():
    assert len({fingerprint(v) for v in ALIKE}) == len(ALIKE)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}),
        ({1, 2, 3, 50, 1000}, {1000, 50, 3, 2, 1}),
        ({"a": 1}, MappingProxyType({"a": 1})),
        ([1, [2]], [1, [2]]),
        ("é", "\u00e9"),
        (10**5000, 10**5000),
        (math.nan, float("nan")),
    ],
    ids=["dicts", "sets in another order", "a read-only dict", "lists", "text", "a number of 5,000 digits", "nan"],
)
def test_equal_values_have_one_fingerprint(one: Any, other: Any):
    assert fingerprint(one) == fingerprint(other)


def test_the_order_of_a_dict_counts():
    assert fingerprint({"a": 1, "b": 2}) != fingerprint({"b": 2, "a": 1})


PLAIN = st.one_of(
    *(st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from([0.0, -0.0, 1.0, 2.0]), st.text("ab(1 :", max_size=4), st.binary(max_size=2)),
    *(st.dates(dt.date(2024, 1, 1), dt.date(2024, 1, 2)), st.decimals(0, 1, places=1)),
)  # fmt: skip
HASHABLE = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3).map(tuple) | st.frozensets(inner, max_size=3), max_leaves=4)
NESTED = st.recursive(
    HASHABLE, lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(HASHABLE, inner, max_size=3), max_leaves=8
)


def shape(value: Any) -> Any:
    """A value with its types, so that == sees them: what a fingerprint is to tell apart."""
    kind = type(value).__name__
    if isinstance(value, float):
        return kind, struct.pack(">d", value)
    if isinstance(value, Decimal):
        return kind, str(value)
    if isinstance(value, list | tuple):
        return kind, [shape(v) for v in value]
    if isinstance(value, frozenset):
        return kind, sorted((shape(v) for v in value), key=repr)
    if isinstance(value, dict):
        return kind, [(shape(k), shape(v)) for k, v in value.items()]
    return kind, value


@given(NESTED, NESTED)
def test_fingerprints_are_equal_exactly_when_values_and_types_are(one: Any, other: Any):
    assert (fingerprint(one) == fingerprint(other)) == (shape(one) == shape(other))


@given(NESTED)
def test_where_a_part_ends_is_part_of_the_bytes(value: Any):
    whole = canonical(value)
    assert fingerprint(whole) != fingerprint(value)
    assert fingerprint([whole]) != fingerprint([value])
    assert tagged("a", whole, b"") != tagged("a", b"", whole)


def test_a_value_that_is_shared_is_as_good_as_an_equal_one():
    inner = {"a": [1, 2]}
    llm = dr.OpenAI("m")
    assert fingerprint([inner, inner, llm, llm]) == fingerprint([{"a": [1, 2]}, {"a": [1, 2]}, dr.OpenAI("m"), dr.OpenAI("m")])


def test_a_value_that_holds_itself_ends():
    one: list[Any] = [1]
    one.append(one)
    other: list[Any] = [2]
    other.append(other)
    assert fingerprint(one) != fingerprint(other)


# Records


@dataclass(frozen=True)
class Setting:
    a: int = 1
    speed: int = field(default=8, metadata={"runtime": True})


@dataclass(frozen=True)
class Further(Setting):
    b: tuple[int, ...] = ()


def test_fields_count_and_runtime_fields_do_not():
    assert fingerprint(Setting(a=1)) == fingerprint(Setting(a=1, speed=9))
    assert fingerprint(Setting(a=1)) != fingerprint(Setting(a=2))
    assert fingerprint(Setting(a=1)) != fingerprint(Further(a=1))
    assert fingerprint(Setting()) != fingerprint(Setting)


def test_parts_say_which_field_differs():
    one, other = parts(Further(a=1, b=(1,))), parts(Further(a=1, b=(2,), speed=9))
    assert list(one) == ["class", "a", "b"]
    assert [name for name in one if one[name] != other[name]] == ["b"]
    assert all(len(digest) == 12 for digest in one.values())


def test_a_class_is_the_same_after_one_of_its_objects_was_copied_or_pickled():
    """Python notes the names of its slots on the class then."""

    class Own:
        def __init__(self) -> None:
            self.n = 1

    before = fingerprint(Own)
    copy.copy(Own())
    assert "__slotnames__" in vars(Own)
    assert fingerprint(Own) == before


def test_a_new_version_of_a_step_class_is_another_step():
    class Newer(Table):
        version = 2

    Newer.__qualname__, Newer.__module__ = Table.__qualname__, Table.__module__
    rows = pl.DataFrame({"a": [1]})
    assert Newer(data=rows).key({}) != Table(data=rows).key({})


def test_renaming_a_step_or_steering_it_changes_no_key():
    below = Table(data=pl.DataFrame({"t": ["x"]}))
    made = PromptStep.over(below, dr.OpenAI("m"), Prompt.of("{t}", step="prompt"))
    renamed = PromptStep.over(below, dr.OpenAI("m", concurrency=2, timeout_s=1.0), Prompt.of("{t}", step="prompt"), name="another name")
    assert made.key({}) == renamed.key({})
    assert made.key_parts() == renamed.key_parts()


def test_settings_given_to_the_model_or_to_the_verb_are_one_question():
    given_to_model, given_to_verb = dr.OpenAI("m", temperature=0, system="Be brief."), dr.OpenAI("m")
    assert Question(llm=given_to_model, system="Be brief.", sampling=given_to_model.sampling).digest == (
        Question(llm=given_to_verb, system="Be brief.", sampling=Sampling.of(temperature=0.0)).digest
    )


def test_a_functions_version_stands_for_its_code():
    def versions(work: Callable[[int], int]) -> Callable[..., str]:
        def clean(x: int) -> int:
            return x

        clean.__code__ = work.__code__
        return lambda version=1, **more: fingerprint(dr.versioned(clean, version=version, **more))

    one, other = versions(lambda x: x + 1), versions(lambda x: x + 2)
    assert one() == other()
    assert one() != other(version=2)
    assert one() != other(depends=["b"])
    assert dr.versioned(abs, version=1)(-1) == 1


def test_a_versioned_function_needs_a_name_of_its_own():
    for function in (lambda x: x, functools.partial(lambda k, x: x, 1)):
        with pytest.raises(FingerprintError, match=r"a lambda has no name.*name='what it does'"):
            dr.versioned(function, version=1)


class Client:
    def __init__(self, held: Any) -> None:
        self.held = held

    def ask(self, x: int) -> int:
        return x


def test_what_a_name_does_not_tell_is_refused_where_it_has_no_content_and_a_given_name_tells_it():
    connected = Client(iter([]))
    with pytest.raises(FingerprintError, match=r"object of .*Client\.ask"):
        fingerprint(dr.versioned(connected.ask, version=1))
    named = [dr.versioned(connected.ask, version=1, name=name) for name in ("one", "one", "other")]
    assert [fingerprint(n) == fingerprint(named[0]) for n in named] == [True, True, False]
    assert fingerprint(dr.versioned(Client(1).ask, version=1)) == fingerprint(dr.versioned(Client(1).ask, version=1))


@pytest.mark.parametrize(
    "made",
    [
        lambda inner: [inner],
        lambda inner: {"a": inner},
        lambda inner: functools.partial(print, inner),
        Client,
        lambda inner: lambda: inner,
    ],
    ids=["lists", "dicts", "partials", "objects", "closures"],
)
def test_what_is_nested_10_000_deep_has_an_error_of_its_own(made: Callable[[Any], Any]):
    value: Any = 1
    for _ in range(10_000):
        value = made(value)
    with pytest.raises(FingerprintError, match="nested too deeply"):
        fingerprint(value)
    while not isinstance(value, int):  # let go of it level by level: Python's own way out of it is deep, too
        value = next(iter(_inside(value)))


def _inside(value: Any) -> Any:
    match value:
        case list():
            return value
        case dict():
            return value.values()
        case functools.partial():
            return value.args
        case Client():
            return [value.held]
    return [value.__closure__[0].cell_contents]


# Secrets


@pytest.mark.parametrize(
    "llm",
    [
        lambda canary: dr.OpenAI("m", api_key=canary),
        lambda canary: dr.OpenAI("m", headers={"X-Key": canary}, base_url="http://localhost:1/v1"),
        lambda canary: dr.OpenAI("m", base_url=f"https://me:{canary}@host.invalid/v1"),
        lambda canary: dr.OpenAI("m", base_url=f"https://host.invalid/v1?key={canary}"),
    ],
    ids=["a key", "a header", "a password in the address", "a key in the address"],
)
def test_a_secret_is_no_part_of_a_fingerprint(llm: Callable[[str], dr.LLM]):
    made = llm("canary-1")
    step = PromptStep.over(Table(data=pl.DataFrame({"t": ["x"]})), made, Prompt.of("{t}", step="prompt"))
    question = Question(llm=made)
    for seen in (canonical(made), canonical(step), question.key_prefix, json.dumps(step.key_parts()).encode(), repr(made).encode()):
        assert b"canary" not in seen
    assert fingerprint(llm("canary-2")) == fingerprint(made)
    assert Question(llm=llm("canary-2")).key_prefix == question.key_prefix


# The same in every process


def table(**columns: list[Any]) -> Step:
    return Table(data=pl.DataFrame(columns))


def prompted(**settings: Any) -> Step:
    llm = dr.OpenAI("gpt-4o-mini", temperature=0, base_url="http://localhost:8000/v1")
    return PromptStep.over(table(t=["tea", None]), llm, Prompt.of("Sum up {t}", step="prompt"), into="sum", **settings)


def trained() -> Step:
    return dr.frame({"p": ["a"], "c": ["b"]}).train(dr.SFT("base", steps=4), prompt="p", completion="c").step


# Changing one of these digests makes every session's results of that kind unusable: raise the version of the step and tell it in CHANGELOG.md.
PINNED: dict[str, tuple[Callable[[], str], str]] = {
    "plain values": (lambda: fingerprint((None, True, 1, -2.5, "é", b"\0", [1, (2,)], {"a": {1, 2}}, frozenset("ab"))), "a0698a4e42c2f9e37e267f15c65888a2"),
    "times": (lambda: fingerprint((dt.date(2024, 2, 29), dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.timedelta(1, 2, 3))), "bfa3cd89ccf40865f74eaff001a5913e"),
    "a record": (lambda: fingerprint(Sampling.of(temperature=0.5, stop=["\n"], max_tokens=5)), "ef5d2b1723f2846908e37400b2408f32"),
    "a model": (lambda: fingerprint(dr.OpenAI("gpt-4o-mini", temperature=0, system="Be brief.")), "3b8eaab5133cc3ac97020a1a2631ada9"),
    "a question": (lambda: Question(llm=dr.OpenAI("gpt-4o-mini"), system="Be brief.", sampling=Sampling.of(seed=1)).digest, "9bdcc1db7489856396606f14888ed65e"),
    "a schema": (lambda: fingerprint(AnswerSchema.of(["good", "bad"])), "7fe8b12c3d6f85b3b895f59a5d9352fa"),
    "a table": (lambda: table(t=["tea", None], v=[1, 2], f=[0.5, None], l=[[1], []]).key({}), "d4dba1dd343329ed3ada29acd04b1706"),
    "a table with an enum": (lambda: Table(data=pl.DataFrame({"e": ["x"]}, schema={"e": pl.Enum(["x", "y"])})).key({}), "e22fa5801b0d635d645e7a00e4a9f359"),
    "a prompt": (lambda: prompted().key({}), "169a4ee4344ea734132d979bf477e30e"),
    "a prompt for labels": (lambda: prompted(schema_=AnswerSchema.of(["good", "bad"]), n=3).key({}), "c170ad4f10d20089154aa5d0abfec822"),
    "a versioned function": (lambda: fingerprint(dr.versioned(print, version=3, depends=["model-7"])), "421413df58ae0069a279d6b3b18b4ddd"),
    "a training": (lambda: trained().key({}), "31ea0cedcbd37a294eef4661f9bcb896"),
}


@pytest.mark.parametrize("name", PINNED)
def test_the_fingerprint_is_as_it_was_of(name: str):
    make, pinned = PINNED[name]
    assert make() == pinned


@pytest.mark.parametrize("seed", ["0", "77"])
def test_pinned_fingerprints_are_the_same_in_another_process(seed: str, tmp_path: Path):
    code = "import json; from tests.unit.identity.test_fingerprint import PINNED; print(json.dumps({n: make() for n, (make, _) in PINNED.items()}))"
    env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {name: pinned for name, (_, pinned) in PINNED.items()}


# Errors


class Opaque:
    def __init__(self) -> None:
        self.inner = {"numbers": [1, (i for i in range(3))]}


HELD = Opaque()


def reads_held(row: dict[str, Any]) -> dict[str, Any]:
    return {"b": HELD}


def test_an_error_says_what_was_found_where_and_the_way_out():
    with pytest.raises(FingerprintError) as caught:
        fingerprint(reads_held)
    assert str(caught.value) == (
        "a generator (found at reads_held → HELD → inner → ['numbers'] → [1]) has no identity that another run could find again. "
        "Wrap the function: dr.versioned(function, version=1, depends=[...]), and raise the version when its meaning changes."
    )


def test_an_error_in_a_step_names_its_field():
    @dataclass(frozen=True)
    class Mine:
        work: Any
        progress: Any = runtime()

    with pytest.raises(FingerprintError, match=r"found at Mine\.work → \[0\]"):
        fingerprint(Mine([open(os.devnull)]))  # noqa: SIM115
    assert fingerprint(Mine(1, progress=iter([]))) == fingerprint(Mine(1))


def test_the_way_out_works():
    frame = dr.frame({"a": [1]})
    with pytest.raises(FingerprintError):
        frame.map(reads_held, schema={"b": int}).collect()
    step = frame.map(dr.versioned(reads_held, version=1), schema={"b": int}).step
    assert step.key({}) == replace_function(step).key({})


def replace_function(step: Any) -> Any:
    """The same step over an edited function of the same name and version."""

    def edited(row: dict[str, Any]) -> dict[str, Any]:
        return {}

    edited.__qualname__ = reads_held.__qualname__
    return replace(step, function=dr.versioned(edited, version=1))


def test_constants_that_somebody_put_into_a_function_count() -> None:
    def made(constant: object) -> object:
        def function() -> int:
            return 1

        function.__code__ = function.__code__.replace(co_consts=(*function.__code__.co_consts, constant))
        return function

    found = [fingerprint(made(constant)) for constant in ([1], [2], 1, True, 1.0, (1,), (True,))]
    assert len(set(found)) == len(found)
    assert fingerprint(made([1])) == found[0]
