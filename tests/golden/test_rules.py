"""Every optimiser rule before and after: a plan as it is written, and as it would run."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan import model_columns
from dreamframe.plan.explain import plan_text
from dreamframe.plan.optimizer.rules import RULES, optimise
from tests.golden.files import Golden

GOLDEN = Golden("rules.txt")
ECHO = dr.testing.Echo()
SAMPLED = dr.testing.Echo(temperature=1.0)


def asked(llm: dr.testing.Echo = ECHO) -> dr.Frame:
    return dr.frame({"t": ["a", "b"], "v": [1, 2]}).prompt(llm, "{t}", into="said").with_columns(n=pl.col("said").str.len_chars())


def rows() -> dr.Frame:
    return dr.frame({"t": ["a", "b"], "v": [1, 2]})


def three() -> dr.Frame:
    return dr.frame({"v": [1, 3, 5]})


PAIRS: dict[str, dict[str, Callable[[], list[dr.Frame]]]] = {  # rule → what it is shown on
    "unread_dropped": {
        "a select that does not read the answer": lambda: [rows().prompt(ECHO, "{t}", into="said").select("v")],
        "the number of rows": lambda: [rows().prompt(SAMPLED, "{t}", into="said").sort("v").select(pl.len())],
        "a column made of the answer reads it": lambda: [asked().select("n")],
        "a column made of the answer, which nobody reads": lambda: [asked().select("v")],
        "an aggregate that nobody reads": lambda: [asked().group_by("v").agg(pl.len(), pl.col("said").first()).select("v", "len")],
        "through a join": lambda: [three().join(asked(), on="v").drop("said", "n")],
        "failures that leave rows out stay": lambda: [rows().prompt(ECHO, "{t}", into="said", on_error="drop").select("v")],
    },
    "filters_shared": {
        "two filters of one prompt": lambda: [(both := asked()).filter(pl.col("v") > 1), both.filter(pl.col("t") == "a")],
        "samples keep their numbers": lambda: [(both := asked(SAMPLED)).filter(pl.col("v") > 1, pl.col("n") > 0), both.rename({"n": "m"}).drop_nulls("t")],
        "one that reads the answer alone wants all": lambda: [(both := asked()).filter(pl.col("v") > 1), both.filter(pl.col("n") > 1)],
    },
    "cheap_first": {
        "a condition beside the model's": lambda: [rows().filter((dr.prompt(ECHO, "{t}") == "a") & (pl.col("v") > 1))],
        "a condition beside that of a column made of the answer": lambda: [asked().filter(pl.col("n") > 0, pl.col("v") > 1)],
        "one that may fail stays": lambda: [rows().filter((dr.prompt(ECHO, "{t}") == "a") & (pl.col("t").cast(pl.Int64) > 1))],
    },
    "branch_taken": {
        "a prompt in one branch": lambda: [rows().with_columns(x=pl.when(pl.col("v") > 1).then(dr.prompt(ECHO, "{t}")).otherwise(pl.lit("-")))],
        "samples keep their numbers": lambda: [rows().select(x=pl.when(pl.col("v") > 1).then(dr.prompt(SAMPLED, "{t}")))],
        "failures that leave rows out stay": lambda: [rows().with_columns(x=pl.when(pl.col("v") > 1).then(dr.prompt(ECHO, "{t}", on_error="drop")))],
    },
    "limit_behind": {
        "the first rows in reverse": lambda: [asked().reverse().head(1)],
        "the first of several inputs": lambda: [dr.concat([asked(), rows().prompt(SAMPLED, "{t}").select("v"), asked()], how="diagonal").head(3)],
        "an input of which nobody knows": lambda: [dr.concat([asked().filter(pl.col("n") > 1), asked()]).head(1)],
        "the last rows of several inputs stay": lambda: [dr.concat([asked(), asked(SAMPLED)]).tail(1)],
    },
    "limit_down": {
        "a limit over a prompt": lambda: [asked().head(1)],
        "a slice over samples stays": lambda: [asked(SAMPLED).slice(1, 1)],
        "two plans, one of which wants all": lambda: [(both := asked()).head(1), both],
    },
    "choices_down": {
        "a filter of a source column": lambda: [asked().filter(pl.col("v") > 1)],
        "a filter below samples": lambda: [asked(SAMPLED).filter(pl.col("v") > 1)],
        "a sort and its head": lambda: [asked().sort("v", descending=True).head(1)],
        "another name, and numbers of rows": lambda: [asked().rename({"v": "w"}).with_row_index("i").filter(pl.col("w") > 1)],
        "through a join, to the left": lambda: [asked().join(three(), on="v").sort("t").filter(pl.col("t") == "a")],
        "rows below one another": lambda: [dr.concat([asked(), asked(SAMPLED)]).filter(pl.col("v") > 1)],
        "a column of a left join's right side stays": lambda: [asked().join(three().with_columns(w="v"), on="v", how="left").filter(pl.col("w") > 1)],
        "a filter that reads the answer stays": lambda: [asked().filter(pl.col("n") > 1)],
        "two plans, one of which wants all": lambda: [(both := asked()).filter(pl.col("v") > 1), both],
    },
    "partners_first": {
        "an inner join": lambda: [asked().join(three(), on="v")],
        "a left join cuts the right side": lambda: [three().join(asked(), on="v", how="left")],
        "a full join stays": lambda: [asked().join(three(), on="v", how="full")],
    },
    "ends_early": {
        "a head over the model's own filter": lambda: [rows().filter(dr.prompt(ECHO, "{t}") == "a").head(1)],
        "a slice": lambda: [rows().filter(dr.prompt(ECHO, "{t}") == "a").slice(1, 1)],
        "through a join": lambda: [rows().filter(dr.prompt(ECHO, "{t}") == "a").join(three(), on="v").head(1)],
        "a tail stays": lambda: [rows().filter(dr.prompt(ECHO, "{t}") == "a").tail(1)],
    },
}


@pytest.fixture(autouse=True)
def first_of_their_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of model columns hold a number where the process has made another model with the same settings."""
    monkeypatch.setattr(model_columns, "ALIKE", {})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_before_and_after(rule):
    for name, plans in PAIRS[rule.__name__].items():
        steps = [frame.step for frame in plans()]
        made = optimise(steps, rules=(rule,))
        before, after = ("\n".join(map(plan_text, these)) for these in (steps, made.plans))
        GOLDEN.check(f"{rule.__name__}: {name}", f"{before}\n→\n{'as it is' if before == after else after}")


def test_the_file_has_no_other_sections():
    GOLDEN.check_names([f"{rule.__name__}: {name}" for rule in RULES for name in PAIRS[rule.__name__]])
