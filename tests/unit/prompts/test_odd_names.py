"""A column may have any name: verbs that take it write it into their questions, and users may write it themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, TemplateError
from dreamframe.prompts.templates import columns, pieces, placeholder, renamed

ECHO = dr.testing.Echo()
NAMES = ["review.text", "x:y", "l[0]", "w!", "a b", " a ", "a{b", "a}b", "}", "{", "{x}", 'say "{hi}"', "{\\}", " ", "", "é.ü", "{{a}}", "tab\t.", '"q"']
SHAPE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def asked(run: Callable[[Any, dr.Frame, str], dr.Frame], column: str, answer: str) -> list[str]:
    """What a model is asked when a verb reads a column of this name."""
    seen: list[str] = []

    def reply(prompt: str) -> str:
        seen.append(prompt)
        return answer

    with dr.Session(None):
        run(dr.testing.Scripted(reply), dr.frame({column: ["WORD"]}), column).collect()
    return seen


VERBS: dict[str, tuple[Callable[[Any, dr.Frame, str], dr.Frame], str]] = {
    "extract": (lambda llm, f, c: f.extract(llm, SHAPE, c), '{"city": "Bern"}'),
    "classify": (lambda llm, f, c: f.classify(llm, ["good", "bad"], c), "good"),
    "score": (lambda llm, f, c: f.score(llm, {"wit": "is it funny?"}, c), '{"wit": 3}'),
    "backtranslate": (lambda llm, f, c: dr.recipes.backtranslate(f, llm, c, threshold=None), "Ask."),
    "decompose": (lambda llm, f, c: dr.recipes.decompose(f, llm, c), '{"answer": ["a", "b"]}'),
    "prompt": (lambda llm, f, c: f.prompt(llm, f"Read {placeholder(c)}"), "ok"),
    "Chat": (lambda llm, f, c: f.prompt(llm, dr.Chat([("user", f"Read {placeholder(c)}")])), "ok"),
    "filter_by": (lambda llm, f, c: f.filter_by(llm, placeholder(c)), "yes"),
    "dr.prompt": (lambda llm, f, c: f.with_columns(dr.prompt(llm, placeholder(c), into="said")), "ok"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_reads_a_column_of_any_name(verb: str) -> None:
    run, answer = VERBS[verb]
    for column in NAMES:
        (prompt,) = asked(run, column, answer)
        assert "WORD" in prompt
        assert prompt == asked(run, "plain", answer)[0]


def test_a_column_may_be_written_by_hand_whatever_str_format_would_make_of_it() -> None:
    for column in ("review.text", "x:y", "l[0]", "w!", "a b"):
        assert dr.frame({column: ["WORD"]}).prompt(ECHO, f"{{{column}}}").collect()["answer"].to_list() == ["WORD"]


@pytest.mark.parametrize("column", NAMES)
def test_what_stands_for_a_column_is_read_as_that_column(column: str) -> None:
    assert columns(f"a {placeholder(column)}{{{{}}}} b") == (column,)
    assert columns(renamed("{x} {{y}}", {"x": column})) == (column,)
    assert renamed(renamed("{x} {{y}}", {"x": column}), {column: "x"}) == "{x} {{y}}"


@pytest.mark.parametrize("text", ['{{"a": {x}}}', '{{"a": "{x}"}}', '{{{x}}}', '{"a"}', '{x}{{"}}'])
def test_templates_that_were_read_before_are_read_as_before(text: str) -> None:
    expected = {
        '{{"a": {x}}}': ('{"a": ', ("x",), "}"), '{{"a": "{x}"}}': ('{"a": "', ("x",), '"}'), "{{{x}}}": ("{", ("x",), "}"),
        '{"a"}': (('"a"',),), '{x}{{"}}': (("x",), '{"}'),
    }  # fmt: skip
    assert tuple((p.text,) if p.is_column else p.text for p in pieces(text)) == expected[text]


def test_a_name_that_is_not_there_is_still_told_what_a_template_is() -> None:
    frame = dr.frame({"s": [{"f": 1}], "a": ["x"]})
    with pytest.raises(TemplateError, match="holds an attribute"):
        frame.prompt(ECHO, "{s.f}")
    with pytest.raises(TemplateError, match="holds an attribute"):
        frame.with_columns(dr.prompt(ECHO, "{s.f}"))
    with pytest.raises(TemplateError, match="holds an attribute"):
        frame.prompt(ECHO, dr.Chat([("user", "{s.f}")]))
    with pytest.raises(ColumnNotFoundError, match="Did you mean 'a'"):
        frame.prompt(ECHO, "{ a }")


def test_a_model_column_over_an_expression_may_stand_beside_odd_names() -> None:
    frame = dr.frame({"a}b": ["x"], "c.d": ["y"]})
    made = frame.with_columns(dr.prompt(ECHO, '{"a}b"} {c.d} {z}', z=pl.col("a}b") + "!", into="said"))
    assert made.collect()["said"].to_list() == ["x y x!"]
    assert dr.from_json(made.to_json()).collect()["said"].to_list() == ["x y x!"]
