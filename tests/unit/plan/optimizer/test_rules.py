"""Applying rules: to a fix point, over all plans of a run, with the way back from each step that runs to the step that was written."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
import dreamframe.store.steps
from dreamframe.plan.explain import plan_text
from dreamframe.plan.optimizer import rules
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.limit import limit_down
from dreamframe.plan.optimizer.rules import RULES, optimise
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import Filter, Limit

ECHO = dr.testing.Echo()


def filters_joined(step: Step, facts: Facts) -> Step | None:
    """A toy rule: two filters, one on the other, as one. What is in this file of it is all that a rule takes."""
    if not (isinstance(step, Filter) and isinstance(step.inputs[0], Filter)):
        return None
    below = step.inputs[0]
    return step.but(inputs=below.inputs, args=([*below.exprs, *step.exprs],))


def rows() -> dr.Frame:
    return dr.frame({"t": ["tea", "rain", "tea", "jam"], "v": [1, 2, 3, 4]})


def test_a_rule_is_a_function_and_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rules, "RULES", (*RULES, filters_joined))
    plan = rows().filter(pl.col("v") > 1).filter(pl.col("v") > 2).filter(t="jam")
    with dr.Session(None):
        assert plan.explain(optimized=False).count("FILTER") == 3
        assert plan.explain().count("FILTER") == 1
        assert plan.to_dicts() == [{"t": "jam", "v": 4}]


def test_rules_that_undo_each_other_are_an_error():
    def up(step: Step, facts: Facts) -> Step | None:
        return step.but(args=(step.args[0] + 1,)) if isinstance(step, Limit) and step.args[0] == 1 else None

    def down(step: Step, facts: Facts) -> Step | None:
        return step.but(args=(step.args[0] - 1,)) if isinstance(step, Limit) and step.args[0] == 2 else None

    with pytest.raises(dr.errors.PlanError, match="the rules up, down undo each other"):
        optimise([rows().head(1).tail(2).step], rules=(up, down))


def labels(step: Step) -> list[str]:
    return [node.label for node in step.walk()]


def test_every_step_that_runs_leads_to_the_one_that_was_written():
    written = rows().prompt(ECHO, "{t}", into="said").with_columns(u=pl.col("said").str.to_uppercase()).head(2).step
    made = optimise([written])
    (plan,) = made.plans
    assert labels(plan) == ["table", "head", "said", "with_columns"]
    assert {made.as_written(node) for node in plan.walk()} == set(written.walk())
    assert [made.as_written(node).label for node in plan.walk()] == labels(plan)


def test_a_step_that_a_rule_invents_leads_to_the_step_in_whose_place_it_stands():
    def numbered(step: Step, facts: Facts) -> Step | None:
        invented = isinstance(step, Limit) and not isinstance(step.inputs[0], Filter)
        return step.but(inputs=(dr.Frame(step.inputs[0]).filter(pl.col("v") > 0).step,)) if invented else None

    written = rows().head(2).step
    made = optimise([written], rules=(numbered,))
    assert [made.as_written(node) for node in made.plans[0].walk()] == [written.inputs[0], written, written]


def test_what_no_rule_touches_is_the_very_same_plan():
    plans = [rows().sort("v").head(1).step, rows().step]
    made = optimise(plans)
    assert made.plans == tuple(plans)
    assert (made.origin, made.trace) == ({}, ())


def test_what_is_stored_is_a_leaf():
    prompted = rows().prompt(ECHO, "{t}", into="said")
    plan = prompted.head(1).with_columns(one=1).step
    made = optimise([plan], Facts(is_stored=lambda step: step is prompted.step))
    assert made.plans == (plan,)


def test_a_step_that_two_plans_want_is_told_by_all_of_them():
    shared = rows().prompt(ECHO, "{t}", into="said")
    both = optimise([shared.step, shared.head(1).step])
    assert both.trace == ()
    assert [used.rule for used in optimise([shared.head(1).step]).trace] == ["limit_down"]
    assert [used.rule for used in optimise([shared.head(1).step, shared.head(2).step]).trace] == ["limit_down", "limit_down"]


def test_a_limit_that_cannot_leave_a_step_keeps_the_others_above_it():
    sampled = rows().prompt(dr.testing.Echo(temperature=1.0), "{t}", into="said")
    made = optimise([sampled.head(1).step, sampled.tail(1).step])
    assert made.trace == (), "the last sample needs all rows, and none is asked about twice"


def test_a_step_that_reads_another_twice_is_not_passed_halfway():
    asked = rows().map(lambda row: {"w": row["v"]}, schema={"w": pl.Int64})
    words = dr.testing.WordEmbedder()
    plan = asked.retrieve(asked, query="t", text="t", by=words).head(1)
    assert "HEAD" in plan_text(optimise([plan.step]).plans[0])
    with dr.Session(None):
        assert plan.collect().height == 1


def test_the_rows_of_a_plan_are_told_before_it_runs():
    n_rows = Facts().n_rows
    assert n_rows(rows().prompt(ECHO, "{t}").head(2).step) == 2
    assert n_rows(rows().filter(pl.col("v") > 1).step) is None
    assert n_rows(dr.concat([rows(), rows().sample(2)]).step) == 6
    assert n_rows(rows().join(rows(), how="cross").step) == 16


def test_planning_reads_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plan = rows().prompt(ECHO, "{t}", into="said")
    with dr.Session(tmp_path) as session:
        plan.collect()
    with dr.Session(tmp_path) as session:
        read: list[str] = []
        monkeypatch.setattr(dr.store.steps, "read_rows", lambda *_: read.append("rows"))
        assert plan.head(1).explain().startswith("HEAD"), "the output is stored, and nothing moves into it"
        assert read == []
        assert session.usage()["reused"] == 0


def test_the_limit_is_a_rule():
    assert limit_down in RULES


def test_limits_over_one_step_share_the_first_rows():
    shared = rows().prompt(ECHO, "{t}", into="said")
    plans = [shared.head(1), shared.head(2), shared.slice(1, 2)]
    made = optimise([plan.step for plan in plans])
    below = [next(node for node in plan.walk() if node.label == "said").inputs[0].describe() for plan in made.plans]
    assert below == ["HEAD 3"] * 3
    llm = dr.testing.Echo()
    with dr.Session(None):
        asked = rows().prompt(llm, "{t}", into="said")
        found = dr.collect_all([asked.head(1), asked.head(2), asked.slice(1, 2)])
    assert [f["said"].to_list() for f in found] == [["tea"], ["tea", "rain"], ["rain", "tea"]]
    assert llm.calls == 3


def test_statistics_and_cards_speak_of_the_steps_that_were_written(tmp_path: Path):
    sampled = dr.testing.Echo(temperature=1.0)
    plan = rows().prompt(sampled, "{t}", into="said").with_columns(x=pl.when(pl.col("v") > 3).then(dr.prompt(sampled, "On {t}"))).filter(pl.col("v") > 2)
    written = {step.key({}): step.label for step in plan.step.walk()}
    with dr.Session(tmp_path) as session:
        plan.collect()
        told = {step.label: step for step in session.runs()[-1].steps}
        assert all(written[step.key] == step.label for step in told.values())
        assert (told["said"].calls, told["said"].rows, told["answer"].calls) == (2, 2, 1)
        assert "__" not in str(plan.card())
