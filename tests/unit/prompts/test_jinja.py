"""Jinja templates: what they read is known beforehand, what they may do is bounded, and a row on which they fail is a failed row."""

from __future__ import annotations

import pytest

import dreamframe as dr
from tests.unit.prompts.asked import asked, failed


def test_loops_and_conditions_are_written():
    ask = dr.Jinja("{% for w in words %}{% if not loop.first %}, {% endif %}{{ w|upper }}{% endfor %} by {{ who.name }}\n")
    assert asked({"words": [["tea", "rain"], []], "who": [{"name": "Ann"}, {"name": "Bo"}]}, ask) == ["TEA, RAIN by Ann\n", " by Bo\n"]


def test_the_columns_are_found_in_the_text():
    assert dr.Jinja("{% set x = a %}{{ x }} {% for c in b %}{{ c }}{{ loop.index }}{% endfor %}").columns == ("a", "b")


def test_a_missing_column_fails_on_its_line():
    with pytest.raises(dr.errors.ColumnNotFoundError, match=r"prompt: no column 'boddy'.*Did you mean 'body'"):
        dr.frame({"body": ["x"]}).prompt(dr.testing.Echo(), dr.Jinja("{{ boddy }}"))


def test_a_template_that_cannot_be_read_fails_on_its_line():
    with pytest.raises(dr.errors.TemplateError, match="Jinja: line 2"):
        dr.Jinja("fine\n{% for x in %}")


def test_a_null_is_not_asked_about():
    assert asked({"a": ["tea", None]}, dr.Jinja("{{ a }}")) == ["tea"]


def test_a_row_on_which_the_template_fails_is_a_failed_row_and_the_others_are_asked():
    ask, rows = dr.Jinja("{{ 6 // n }}"), {"n": [2, 0, 3]}
    llm = dr.testing.Echo()
    with dr.Session(None):
        df = dr.frame(rows).prompt(llm, ask, on_error="null")
        assert df.collect()["answer"].to_list() == ["3", None, "2"]
        assert df.failures().select("row", "error").rows() == [(1, "TemplateError")]
    assert llm.calls == 2
    with dr.Session(None), pytest.raises(dr.errors.RowsFailedError, match=r"1 of 3 rows failed[\s\S]*ZeroDivisionError"):
        dr.frame(rows).prompt(llm, ask).collect()


@pytest.mark.parametrize(
    "text",
    [
        "{{ a.__class__.__mro__ }}",
        "{{ ''.__class__.__subclasses__() }}",
        "{{ a.format.__globals__ }}",
        "{% set _ = l.append(1) %}{{ l }}",
        "{% include 'secrets' %}{{ a }}",
        "{{ s.name.first }}",
    ],
    ids=["class", "subclasses", "globals", "changing a list", "a file", "a field that is not there"],
)
def test_what_the_sandbox_forbids_is_a_failed_row(text: str):
    found = failed({"a": ["tea"], "l": [[1]], "s": [{"name": "x"}]}, dr.Jinja(text))
    assert list(found) == [0]
    assert found[0].startswith("TemplateError")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{ x }} {{ ['a', 'b']|random }}", "random"),
        ("{{ x }}\n{{ xs|map('random')|list }}", "random"),
        ("{% filter random %}{{ x }}{% endfilter %}", "random"),
        ("{{ x }}{{ lipsum(n=1) }}", "lipsum"),
        ("{% call lipsum() %}{% endcall %}{{ x }}", "lipsum"),
    ],
    ids=["a filter", "a filter by its name", "a filtered part", "a function", "a called block"],
)
def test_what_draws_by_chance_fails_on_its_line(text: str, name: str):
    with pytest.raises(dr.errors.TemplateError, match=rf"Jinja: line \d: '{name}' gives another text each time"):
        dr.Jinja(text)


def test_columns_and_macros_may_be_called_what_chance_was():
    assert asked({"random": ["a"], "lipsum": ["b"]}, dr.Jinja("{{ random }} {{ lipsum }}")) == ["a b"]
    assert asked({"x": ["a"]}, dr.Jinja("{% macro random() %}z{% endmacro %}{{ random() }}{{ x }}")) == ["za"]


@pytest.mark.parametrize(
    "text",
    [
        *("{% set f = 'random' %}{{ xs|map(f)|list }}", "{{ xs|map('upper') }}", "{{ x.upper }}", "{{ [x.upper] }}", "{{ x ~ range }}"),
        "{{ cycler('a').next }}{{ x }}",
    ],
    ids=["chance by a variable's name", "a generator", "a method", "a method in a list", "a function joined to a text", "a method of Jinja's"],
)  # fmt: skip
def test_a_text_that_is_another_one_in_every_process_is_a_failed_row(text: str):
    found = failed({"x": ["tea"], "xs": [["a", "b"]]}, dr.Jinja(text))
    assert list(found) == [0]


def test_an_address_in_a_row_is_a_text_like_any_other():
    assert asked({"x": ["<f at 0x7f00aa>"], "xs": [["<g at 0x7f00bb>"]]}, dr.Jinja("{{ x }} {{ xs }} <h at 0x7f00cc>")) == [
        "<f at 0x7f00aa> ['<g at 0x7f00bb>'] <h at 0x7f00cc>"
    ]


@pytest.mark.parametrize("method", ["now", "today", "utcnow", "astimezone"])
def test_a_template_that_reads_the_clock_through_a_date_is_refused(method: str) -> None:
    with pytest.raises(dr.errors.TemplateError, match=rf"line 1: \.{method}\(\) gives another text tomorrow"):
        dr.Jinja(f"{{{{ d }}}} {{{{ d.{method}() }}}}")
    assert asked({"d": [{method: "a"}]}, dr.Jinja(f"{{{{ d.{method} }}}}")) == ["a"], "a field may be called so"
