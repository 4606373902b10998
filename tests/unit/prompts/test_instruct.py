"""The strings of Instruct, which published recipes rely on."""

from __future__ import annotations

import pytest

import dreamframe as dr
from tests.unit.prompts.asked import asked


def test_the_string_is_the_published_one():
    ask = dr.Instruct("Given the abstract, write a tweet to summarize the work.", input="abstract")
    assert asked({"abstract": ["We study tea."]}, ask) == ["Input: We study tea.\n\nInstruction: Given the abstract, write a tweet to summarize the work."]


def test_labels_and_separator_are_settings():
    ask = dr.Instruct("Sum up.", input="t", input_label="Text:", instruction_label="Task:", sep="\n")
    assert asked({"t": ["tea"]}, ask) == ["Text: tea\nTask: Sum up."]


@pytest.mark.parametrize(("value", "shown"), [("a {b}\n", "a {b}\n"), (3, "3"), (2.5, "2.5"), (True, "true"), ([1, 2], "[1, 2]")], ids=repr)
def test_any_value_is_shown_as_text(value: object, shown: str):
    assert asked({"t": [value]}, dr.Instruct("Set {x} = {1}.", input="t")) == [f"Input: {shown}\n\nInstruction: Set {{x}} = {{1}}."]


def test_a_null_is_not_asked_about():
    assert asked({"t": ["tea", None]}, dr.Instruct("Sum up.", input="t")) == ["Input: tea\n\nInstruction: Sum up."]


def test_a_missing_column_fails_on_its_line():
    with pytest.raises(dr.errors.ColumnNotFoundError, match=r"prompt: no column 'tt'.*Did you mean 't'"):
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), dr.Instruct("Sum up.", input="tt"))


def test_bytes_are_no_text():
    with pytest.raises(dr.errors.SchemaError, match="is not text"):
        dr.frame({"t": [b"tea"]}).prompt(dr.testing.Echo(), dr.Instruct("Sum up.", input="t"))
