"""Calls with arguments that other libraries have, with too many, or too few: said by the verb's name, at the user's own line."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.frame.calls import CALLS

LLM = dr.testing.Echo()
df = dr.frame({"text": ["tea"], "n": [1]})
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "of pandas' sort": (lambda: df.sort("n", ascending=False), r"sort: no argument 'ascending'. Write df.sort\('a', descending=True\)"),
    "of Python's sort": (lambda: df.sort("n", reverse=True), "sort: no argument 'reverse'. Did you mean 'descending'"),
    "of pandas' rename": (lambda: df.rename(columns={"n": "m"}), r"rename: no argument 'columns'. Write df.rename\("),
    "of pandas' drop": (lambda: df.drop(columns=["n"]), r"drop: no argument 'columns'. Write df.drop\('a', 'b'\)"),
    "of pandas' sample": (lambda: df.sample(frac=0.5), "sample: no argument 'frac'. Did you mean 'fraction'"),
    "with pandas' seed": (lambda: df.sample(1, random_state=1), "sample: no argument 'random_state'. Did you mean 'seed'"),
    "in place": (lambda: df.unique("n", inplace=True), "unique: no argument 'inplace'. A frame never changes"),
    "a misspelt one": (lambda: df.map(len, shema=int), "map: no argument 'shema'. Did you mean 'schema'"),
    "a schema by its place": (lambda: df.prompt(LLM, "{text}", "sum", str), "prompt: 4 values stand without a name; only llm, prompt, into can. By name"),
    "frames by their places": (lambda: dr.concat(df, df), r"concat: 2 values stand .* as a list: dr.concat\(\[one, other\]\)"),
    "a number by its place": (lambda: dr.generate(LLM, "A haiku.", 3), "generate: 3 values stand without a name; only llm, prompt can. By name: 'n'"),
    "no columns": (lambda: df.judge(LLM), r"judge: a= and b= are missing. Write df.judge\(llm, a='one', b='other'\)"),
    "nothing to join": (df.join, "join: other= is missing"),
    "twice": (lambda: df.prompt(LLM, "{text}", llm=LLM), "prompt: llm= is given twice"),
    "a model without a name": (dr.OpenAI, r"dr.OpenAI: model= is missing. Write dr.OpenAI\('…'\)"),
    "a prompt without columns": (lambda: dr.Rag("text"), "dr.Rag: docs= and text= and by= are missing.$"),
    "of groups": (lambda: df.group_by("n").reduce_by(LLM), "reduce_by: prompt= is missing"),
    "of a session": (lambda: dr.Session("a", 3), "dr.Session: 2 values stand without a name; only folder can"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_it_is_said_in_the_words_of_the_verb(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DREAMFRAME_TRACEBACK", raising=False)
    call, said = WRONG[name]
    with pytest.raises(dr.errors.ArgumentError, match=f"^{said}") as caught:
        call()
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, dr.errors.SettingError)
    assert {frame.filename for frame in traceback.extract_tb(caught.value.__traceback__)} == {__file__}


def test_an_error_inside_of_a_call_that_fits_is_left_alone() -> None:
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'x'") as caught:
        df.pipe(lambda frame, x: frame)
    assert not isinstance(caught.value, dr.errors.DreamframeError)


@pytest.mark.parametrize(("verb", "argument"), CALLS)
def test_what_a_row_answers_is_no_argument_of_the_verb(verb: str, argument: str) -> None:
    own = inspect.signature(getattr(dr.Frame, verb, None) or getattr(dr, verb)).parameters
    assert argument not in own or own[argument].kind is inspect.Parameter.VAR_POSITIONAL


COUNTS: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (lambda **own: dr.OpenAI("m", **own), {"concurrency": "8"}),
    (lambda **own: dr.OpenAI("m", **own), {"attempts": 2.5}),
    (lambda **own: dr.OpenAI("m", **own), {"timeout_s": "1"}),
    (lambda **own: dr.OpenAI("m", **own), {"rpm": "60"}),
    (lambda **own: dr.Rag("text", docs=df, text="text", by=dr.testing.WordEmbedder(), **own), {"k": "5"}),
    (lambda **own: dr.Rag("text", docs=df, text="text", by=dr.testing.WordEmbedder(), **own), {"max_documents": "2"}),
    (lambda **own: dr.Rag("text", docs=df, text="text", by=dr.testing.WordEmbedder(), **own), {"context": "900"}),
    (lambda **own: dr.FewShot("So", input="text", output="text", examples=df, **own), {"max_examples": "2"}),
    (lambda **own: dr.FewShot("So", input="text", output="text", examples=df, by=dr.testing.WordEmbedder(), **own), {"k": "2"}),
]


@pytest.mark.parametrize(("make", "own"), COUNTS, ids=[str(own) for _, own in COUNTS])
def test_a_text_is_no_number(make: Callable[..., Any], own: dict[str, Any]) -> None:
    with pytest.raises(dr.errors.SettingError, match=rf": {next(iter(own))}=.* is not a (whole )?number\.$"):
        make(**own)
