"""What hardly anybody means is said once, as a PlanWarning, at the line that wrote it; and what is meant is not warned of."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import dreamframe as dr

LLM = dr.testing.Echo()
NAMED = dr.testing.Echo(system="You are {persona}.")
ROWS = dr.frame({"text": ["tea", "rain"], "k": ["a", "b"], "persona": ["cook", "poet"]})
SHAPE = {"type": "object", "properties": {"a": {"type": "string"}}}
RIGHT = dr.frame({"job": ["cook"]})
text = "tea"

MEANT_OTHERWISE: dict[str, tuple[Callable[[], Any], str]] = {
    "an f-string": (lambda: ROWS.prompt(LLM, f"Sum up {text}"), r"^prompt: the prompt reads no column \('text', 'k', 'persona'\).*'Sum up tea'.*without f"),
    "an f-string in an expression": (lambda: dr.prompt(LLM, f"Sum up {text}"), "^prompt: the prompt reads no column, so every row is asked the same"),
    "an f-string in filter_by": (lambda: ROWS.filter_by(LLM, f"Is {text} a drink?"), "^filter_by: the prompt reads no column"),
    "Jinja's braces in a template": (lambda: ROWS.prompt(LLM, "Sum up {{text}}"), r"\{\{name\}\} is a name in braces"),
    "a template's braces in Jinja": (lambda: ROWS.prompt(LLM, dr.Jinja("Sum up {text}")), r"Jinja wants \{\{ name \}\}"),
    "a chat without a column": (lambda: ROWS.prompt(LLM, dr.Chat([("user", "Hello")]), name="greet"), "^greet: the prompt reads no column"),
    "an unused argument": (lambda: dr.prompt(LLM, "A {text}", txt=pl.col("text")), "^prompt: txt= is not used.*reads 'text'. Did you mean 'text'"),
    "an argument of a constant": (lambda: dr.prompt(LLM, "A {text}", text=pl.col("text"), k=pl.col("k")), "^prompt: k= is not used"),
    "braces in system=": (lambda: ROWS.prompt(LLM, "{text}", system="You are {persona}."), r"^prompt: system= is plain text, so \{persona\} in it is sent"),
    "braces in the system= of an expression": (lambda: dr.prompt(LLM, "{text}", system="You are {persona}."), "system= is plain text"),
    "braces in a model's system=": (lambda: ROWS.prompt(NAMED, "{text}").prompt(NAMED, "{text}", into="b"), "system= of echo is plain text"),
    "doubled braces in system=": (lambda: ROWS.prompt(LLM, "{text}", system='Answer as {{"a": 1}}.'), r"so \{\{ in it is sent"),
    "braces in system= of a summary": (lambda: ROWS.group_by("k").reduce_by(LLM, "{text}", system="As {persona}"), "^reduce_by: system= is plain text"),
    "braces in an instruction": (lambda: ROWS.prompt(LLM, dr.Instruct("As {persona}.", input="text")), "^prompt: instruction= is plain text"),
    "braces in a judge's criteria": (lambda: ROWS.judge(LLM, a="text", b="k", criteria="{persona}", swap="both"), "^judge: criteria= is plain text"),
    "braces in a rubric": (lambda: ROWS.score(LLM, {"tone": "as of {persona}"}, "text"), "^score: what 'tone' means is plain text"),
    "an aggregation that asks each row": (
        lambda: ROWS.group_by("k").agg(dr.prompt(LLM, "Sum up:\n{text}", into="sum")), r"^group_by: dr.prompt in .agg\(\) asks once for each row.*'sum'",
    ),
    "one that goes on with each answer": (
        lambda: ROWS.group_by("k").agg(n=dr.prompt(LLM, "Sum up:\n{text}").str.len_chars()), "asks once for each row, so 'n' is a list",
    ),
    "answers of which some are kept": (
        lambda: ROWS.group_by("k").agg(z=dr.prompt(LLM, "Sum up {text}").filter(pl.col("persona") == "cook")), "asks once for each row, so 'z' is a list",
    ),
    "a text of the group that is one of all rows": (
        lambda: ROWS.group_by("k").agg(dr.prompt(LLM, "{all}", all=pl.col("text").str.join(", ")).first()), "^group_by: all= of dr.prompt is computed over all",
    ),
    "a text that is judged against itself": (lambda: ROWS.judge(LLM, a="text", b="text"), "^judge: a= and b= are one column, 'text'"),
    "a rank without a scale": (lambda: ROWS.rank_by(LLM, "Rate {text} from 1 to 10"), r"^rank_by: without scale= the score is the first number"),
    "the best without a scale": (lambda: ROWS.top_k_by(LLM, "Rate {text}", 2), "^top_k_by: without scale="),
    "a pair of which one side is read": (lambda: ROWS.join_by(RIGHT, LLM, "Does {text} fit?"), "^join_by: the prompt reads 'text' and nothing of the right"),
    "a pair of which the other side is read": (lambda: ROWS.join_by(RIGHT, LLM, "Is {job} hard?"), "nothing of the left frame"),
    "samples that cannot differ": (lambda: ROWS.prompt(LLM, "{text}", n=3, temperature=0), "^prompt: n=3 at temperature=0 is one answer"),
    "rows that cannot differ": (lambda: dr.generate(dr.testing.Echo(temperature=0), "A haiku.", n=5), "^generate: n=5 at temperature=0"),
    "extracting from another column": (lambda: ROWS.extract(LLM, SHAPE, "text", prompt="Of {k}"), "^extract: .*not 'text'"),
    "classifying another column": (lambda: ROWS.classify(LLM, ["a", "b"], "text", prompt="Which is {k}?"), "^classify: .*not 'text'"),
    "scoring another column": (lambda: ROWS.score(LLM, {"tone": "polite"}, "text", prompt="Score {k}"), "^score: .*not 'text'"),
}  # fmt: skip


@pytest.mark.parametrize("name", MEANT_OTHERWISE)
def test_it_is_said_once_at_the_line_that_wrote_it(name: str):
    write, said = MEANT_OTHERWISE[name]
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        write()
    assert [w.category for w in heard] == [dr.PlanWarning]
    assert re.search(said, str(heard[0].message)), str(heard[0].message)
    lines, first = inspect.getsourcelines(write)
    assert heard[0].filename == __file__
    assert first <= heard[0].lineno <= first + len(lines)


AS_IT_IS_MEANT: dict[str, Callable[[], Any]] = {
    "samples of one prompt": lambda: dr.generate(LLM, "Write a haiku.", n=3, temperature=1.0),
    "samples until there are enough": lambda: dr.generate(LLM, "Write a haiku.", n=3).until(2, where=pl.col("text").is_not_null()),
    "one sample at temperature 0": lambda: dr.generate(dr.testing.Echo(temperature=0), "Write a haiku.", n=1),
    "JSON in a system prompt": lambda: ROWS.prompt(LLM, "{text}", system='Answer as {"answer": {"a": 1}}.'),
    "LaTeX in a system prompt": lambda: ROWS.prompt(LLM, "{text}", system=r"Put the result into \boxed{answer}, f_{x} or $\frac{a}{b}$."),
    "a code block in a system prompt": lambda: ROWS.prompt(LLM, "{text}", system="Write C: int main() {\n return 0; }"),
    "a system turn": lambda: ROWS.prompt(LLM, dr.Chat([("system", "You are {persona}."), ("user", "{text}")])),
    "JSON in an instruction": lambda: ROWS.prompt(LLM, dr.Instruct('Answer as {"a": 1}.', input="text")),
    "an expression that stands in the template": lambda: ROWS.select(dr.prompt(LLM, "A {t}", t=pl.col("text").str.head(2))),
    "an aggregation that makes one value": lambda: ROWS.group_by("k").agg(dr.prompt(LLM, "{text}").str.len_chars().max()),
    "a list that is asked for": lambda: ROWS.group_by("k").agg(dr.prompt(LLM, "{text}").implode()),
    "the labels of a group": lambda: ROWS.group_by("k").agg(dr.prompt(LLM, "{text}", schema=["a", "b"]).unique()),
    "texts of a group that a model chooses": lambda: ROWS.group_by("k").agg(pl.col("text").filter(dr.prompt(LLM, "Is {text} hot?", schema=bool))),
    "groups by what a model says": lambda: ROWS.group_by(dr.prompt(LLM, "{text}", into="m")).agg(pl.len()),
    "a rank with a scale": lambda: ROWS.rank_by(LLM, "Rate {text}", scale=(1, 5)),
    "a rank that is read otherwise": lambda: ROWS.top_k_by(LLM, "Rate {text}", 1, parse=float),
    "a pair of which both sides are read": lambda: ROWS.join_by(RIGHT, LLM, "Does {text} fit {job}?"),
    "an own question about the column": lambda: ROWS.classify(LLM, ["a", "b"], "text", prompt="Which is {text} of {persona}?"),
    "every verb's own question": lambda: ROWS.classify(LLM, ["{a}", "b"], "text").score(LLM, {"tone": "polite"}, "text").judge(LLM, a="text", b="k"),
    "recipes": lambda: [dr.recipes.backtranslate(ROWS, LLM), dr.recipes.evolve(ROWS, LLM, "text"), dr.recipes.decompose(ROWS, LLM, "text"),
                        dr.recipes.self_instruct(ROWS, LLM, "text")],
}  # fmt: skip


@pytest.mark.parametrize("name", AS_IT_IS_MEANT)
def test_what_is_meant_is_not_warned_of(name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("error", dr.PlanWarning)
        AS_IT_IS_MEANT[name]()


def test_an_expression_for_a_name_belongs_to_the_expression():
    with pytest.raises(dr.errors.SettingError, match=r"prompt: t= is an expression.*dr\.prompt\(llm, '\.\.\. \{t\}"):
        ROWS.prompt(LLM, "A {t}", t=pl.col("text"))


def test_a_plan_that_is_run_and_read_again_says_it_no_second_time(session: dr.Session):
    with pytest.warns(dr.PlanWarning, match="reads no column"):
        plan = ROWS.prompt(LLM, "Hello").filter(pl.col("k") == "a").head(1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", dr.PlanWarning)
        plan.collect()
        plan.explain()
        dr.from_json(plan.to_json()).with_columns(n=pl.lit(1)).collect()


def test_one_category_silences_all_of_them():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=dr.PlanWarning)
        ROWS.prompt(LLM, "Hello", system="{k}")


def test_a_script_shows_its_own_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text('import dreamframe as dr\n\nrows = dr.frame({"text": ["tea"]})\nrows.prompt(dr.testing.Echo(), f"Sum up {1}")\n')
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr.startswith(f"{script}:4: PlanWarning: prompt: the prompt reads no column")


def test_a_prompt_over_a_long_plan_costs_no_walk_through_it(monkeypatch: pytest.MonkeyPatch):
    df = ROWS.prompt(LLM, "{text}").drop("answer")
    asked = dr.Chat([("system", "As {persona}."), ("user", "{text}")]), dr.Instruct("Sum up.", input="text"), "{text}"
    monkeypatch.setattr(type(df.step), "walk", lambda _: pytest.fail("the plan was walked"))
    for i, prompt in enumerate(asked):
        df.prompt(LLM, prompt, into=f"b{i}", system="Be brief.")
