"""Prompt templates: braces, columns, what each type of value becomes, and a message for every mistake."""

from __future__ import annotations

import datetime as dt
import json
import re
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, SchemaError, TemplateError
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.templates import check, columns, literal, pieces, renamed, render

READ = {
    "": [],
    "plain": ["plain"],
    "{a}": [("a",)],
    "{a}{b}": [("a",), ("b",)],
    "x {a} y": ["x ", ("a",), " y"],
    "{{a}}": ["{a}"],
    "{{{a}}}": ["{", ("a",), "}"],
    "{{}}": ["{}"],
    '{{"k": "{a}"}}': ['{"k": "', ("a",), '"}'],
    "}}{{": ["}{"],
    "{a b}": [("a b",)],
    "{été}": [("été",)],
    "{a-b}": [("a-b",)],
    "{0}": [("0",)],
    "a\n{b}\n": ["a\n", ("b",), "\n"],
    "100%s $x \\{a}": ["100%s $x \\", ("a",)],
}


@pytest.mark.parametrize("template", READ)
def test_a_template_is_cut_into_texts_and_columns(template: str):
    assert [(p.text,) if p.is_column else p.text for p in pieces(template)] == READ[template]


WRONG = {
    "{": "a { is not closed at position 0: '{'. Write {column}; for a brace itself write {{ or }}.",
    "a {b": "a { is not closed at position 2: 'a {b'.",
    "}": "a single } stands at position 0: '}'. Write {column}; for a brace itself write {{ or }}.",
    "a} b": "a single } stands at position 1: 'a} b'.",
    "{a}}": "a single } stands at position 3: '{a}}'.",
    "{{a}": "a single } stands at position 3: '{{a}'.",
    "{a{b}}": "a brace stands inside {…} at position 0: '{a{b}}'.",
    "{a {{b}} }": "a brace stands inside {…} at position 0",
    "{}": "{} at position 0: '{}' names no column.",
    "{ }": "{} at position 0: '{ }' names no column.",
}
NO_SUCH_COLUMN = {  # names that a column may have; where the frame has none such, what str.format would do
    "{x:>9}": "{x:>9} holds a format, and a template takes columns only. Format the column first",
    "{x!r}": "{x!r} holds a conversion, and a template takes columns only. Values are written as text already.",
    "{x.attr}": "{x.attr} holds an attribute, and a template takes columns only. Take the field out first: dr.prompt(llm, '{x}', x=pl.col('s')",
    "{x[0]}": "{x[0]} holds an index, and a template takes columns only. Take the element out first: dr.prompt(llm, '{x}', x=pl.col('l')",
    '{"a": 1}': '{"a": 1} is no column. Braces that the model is to read, as of JSON, are doubled: {{"a": 1}}.',
    "{\n  a: 1\n}": "{\n  a: 1\n} is no column. Braces that the model is to read",
    '{"a": [1, 2.5]}': '{"a": [1, 2.5]} is no column. Braces',
}


@pytest.mark.parametrize("template", WRONG)
def test_a_wrong_template_fails_with_the_place_and_what_to_write(template: str):
    with pytest.raises(TemplateError) as caught:
        pieces(template, "sum")
    assert str(caught.value).startswith(f"sum: {WRONG[template]}")


@pytest.mark.parametrize("template", NO_SUCH_COLUMN)
def test_a_name_that_no_column_has_fails_with_what_to_write_where_the_frame_is_known(template: str):
    said = f"^sum: {re.escape(NO_SUCH_COLUMN[template])}"
    with pytest.raises(TemplateError, match=said):
        check(template, pl.Schema({"x": pl.String}), step="sum")
    with pytest.raises(TemplateError, match=said):
        dr.frame({"x": ["a"]}).with_columns(dr.prompt(dr.testing.Echo(), template, name="sum"))


@pytest.mark.parametrize("template", WRONG)
def test_a_wrong_template_fails_on_the_line_that_wrote_it(template: str):
    with pytest.raises(TemplateError, match=r"^prompt: "):
        dr.prompt(dr.testing.Echo(), template)
    with pytest.raises(TemplateError, match=r"^prompt: "):
        dr.frame({"x": ["a"]}).prompt(dr.testing.Echo(), template)


@given(st.text("{}ab:. ", max_size=12))
def test_every_text_is_a_template_or_a_template_error(text: str):
    try:
        found = pieces(text)
    except TemplateError:
        return
    assert "".join(f"{{{p.text}}}" if p.is_column else literal(p.text) for p in found) == text


@given(st.text(max_size=30), st.text("{}", max_size=8))
def test_a_literal_gives_its_text_word_for_word(text: str, braces: str):
    whole = braces + text + braces
    assert columns(literal(whole)) == ()
    assert render(literal(whole), pl.DataFrame({"a": [1, 2]})).to_list() == [whole, whole]


def test_columns_are_named_once_in_the_order_of_their_first_use():
    assert columns("{b} {a} {b} {{c}}") == ("b", "a")


@given(st.dictionaries(st.sampled_from(["a", "b", "c d"]), st.sampled_from(["x", "a", "b of prompt#12"]), max_size=3))
def test_renamed_columns_are_read_under_their_new_names(names: dict[str, str]):
    template = "{{not}} {a} and {b} or {c d}: {a}"
    other = renamed(template, names)
    row = {"a": "1", "b": "2", "c d": "3"}
    moved = {names.get(k, k): v for k, v in row.items()}
    expected = "{not} " + f"{moved[names.get('a', 'a')]} and {moved[names.get('b', 'b')]} or {moved[names.get('c d', 'c d')]}: {moved[names.get('a', 'a')]}"
    assert render(other, pl.DataFrame([moved])).to_list() == [expected]


# Checks against a schema


def test_a_missing_column_is_named_with_the_nearest_one():
    with pytest.raises(ColumnNotFoundError, match=r"^sum: no column 'topik'; the frame has 'topic', 'level'\. Did you mean 'topic'\?"):
        check("About {topik}", pl.Schema({"topic": pl.String, "level": pl.Int64}), step="sum")


BYTES = [pl.Binary(), pl.List(pl.Binary), pl.Struct({"a": pl.List(pl.Binary)}), pl.Array(pl.Binary, 2), pl.Object()]


@pytest.mark.parametrize("dtype", BYTES, ids=str)
def test_bytes_and_objects_are_no_text(dtype: pl.DataType):
    with pytest.raises(SchemaError, match=r"sum: column 'x' has type .*, which is not text"):
        check("{x}", pl.Schema({"x": dtype}), step="sum")


# Rendering


WHEN = dt.datetime(2024, 2, 29, 1, 2, 3, 4)
TEXTS: dict[str, tuple[pl.Series, list[str | None]]] = {
    "text": (pl.Series(["a", "", None, "é{x}\n"]), ["a", "", None, "é{x}\n"]),
    "whole numbers": (pl.Series([1, None, -5]), ["1", None, "-5"]),
    "very large numbers": (pl.Series([2**100], dtype=pl.Int128), [str(2**100)]),
    "fractions": (pl.Series([1.0, 0.1, None]), ["1.0", "0.1", None]),
    "decimals": (pl.Series([Decimal("1.20")], dtype=pl.Decimal(10, 2)), ["1.20"]),
    "truth": (pl.Series([True, False, None]), ["true", "false", None]),
    "dates": (pl.Series([dt.date(2024, 2, 29), None]), ["2024-02-29", None]),
    "times": (pl.Series([dt.time(1, 2)]), ["01:02:00"]),
    "instants": (pl.Series([WHEN]), ["2024-02-29 01:02:03.000004"]),
    "instants in a zone": (pl.Series([WHEN]).dt.replace_time_zone("Europe/Berlin"), ["2024-02-29 01:02:03.000004+01:00"]),
    "durations": (pl.Series([dt.timedelta(days=1, seconds=2), None]), ["1d 2s", None]),
    "categories": (pl.Series(["x", None], dtype=pl.Categorical), ["x", None]),
    "enums": (pl.Series(["x"], dtype=pl.Enum(["x", "y"])), ["x"]),
    "nothing": (pl.Series([None, None]), [None, None]),
    "lists": (pl.Series([["a", None], [], None]), ['["a", null]', "[]", None]),
    "lists of numbers": (pl.Series([[1, 2]]), ["[1, 2]"]),
    "arrays": (pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)), ["[1, 2]"]),
    "structs": (pl.Series([{"a": 1, "b": "é"}, None]), ['{"a": 1, "b": "é"}', None]),
    "structs in lists": (pl.Series([[{"a": [True]}]]), ['[{"a": [true]}]']),
    "dates in lists": (pl.Series([[dt.date(2024, 2, 29)]]), ['["2024-02-29"]']),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_values_are_written_as(kind: str):
    series, texts = TEXTS[kind]
    rows = pl.DataFrame({"x": series})
    check("{x}", rows.schema, step="prompt")
    assert render("{x}", rows).to_list() == texts
    assert render("<{x}>", rows).to_list() == [None if t is None else f"<{t}>" for t in texts]


def test_a_null_in_any_column_that_is_read_makes_the_prompt_null():
    rows = pl.DataFrame({"a": ["x", None, "z"], "b": [1, 2, None], "c": [None, None, None]})
    assert render("{a}{b}", rows).to_list() == ["x1", None, None]


def test_one_column_may_be_read_often():
    assert render("{a}-{a}", pl.DataFrame({"a": [1]})).to_list() == ["1-1"]


def test_a_template_without_columns_is_the_same_for_every_row():
    assert render("Say {{hi}}", pl.DataFrame({"a": [1, 2]})).to_list() == ["Say {hi}"] * 2


def test_no_rows_give_no_prompts():
    made = render("{a} {b}", pl.DataFrame(schema={"a": pl.String, "b": pl.List(pl.Int64)}))
    assert (made.dtype, made.len()) == (pl.String, 0)


def test_what_a_value_holds_is_never_read_as_a_template():
    rows = pl.DataFrame({"a": ["{b}", "{{", "}"], "b": ["secret", "x", "y"]})
    assert render("{a}", rows).to_list() == ["{b}", "{{", "}"]


@given(st.lists(st.fixed_dictionaries({"a": st.none() | st.text(max_size=5), "b": st.none() | st.integers(-9, 9)}), max_size=5))
def test_rendering_is_what_python_would_format_row_by_row(rows: list[dict[str, Any]]):
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.Int64})
    expected = [None if None in row.values() else "{{{a}}}: {b}".format(**row) for row in rows]
    assert render("{{{a}}}: {b}", frame).to_list() == expected


@given(st.lists(st.lists(st.integers() | st.none(), max_size=3), max_size=3))
def test_lists_are_written_as_json_that_can_be_read_again(rows: list[list[int | None]]):
    frame = pl.DataFrame({"x": rows}, schema={"x": pl.List(pl.Int64)}, strict=False)
    assert [json.loads(t) for t in render("{x}", frame)] == frame["x"].to_list()


# As a prompt


def test_a_string_is_a_template_and_other_values_are_refused():
    assert Prompt.of("Sum up {a}", step="prompt").columns == ("a",)
    with pytest.raises(dr.errors.SettingError, match=r"prompt: a prompt is a template string or a prompt value such as dr.Instruct"):
        Prompt.of(5, step="prompt")


def test_keyword_expressions_stand_for_the_names_in_the_template():
    frame = dr.frame({"s": [{"x": 7}], "l": [[1, 2]]})
    asked = dr.prompt(dr.testing.Echo(), "{x} of {size}", x=pl.col("s").struct.field("x"), size=pl.col("l").list.len())
    assert frame.with_columns(asked.alias("out")).collect()["out"].to_list() == ["7 of 2"]


def test_durations_and_nested_values_can_be_asked_about():
    frame = dr.frame({"d": [dt.timedelta(hours=3)], "l": [[1.5, None]]})
    assert frame.prompt(dr.testing.Echo(), "{d} {l}", into="out").collect()["out"].to_list() == ["3h [1.5, null]"]
