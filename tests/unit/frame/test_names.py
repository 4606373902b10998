"""A step that a verb makes goes by the verb's name, wherever a user meets it; and names are no part of any key."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import RowsFailedError
from dreamframe.plan.hidden import HINT
from dreamframe.plan.step import Step
from dreamframe.plan.steps.source import Source

WORDS, ECHO = dr.testing.WordEmbedder(), dr.testing.Echo()
ROWS = dr.frame({"t": ["yes 1", "no 2", "yes 3"], "u": ["no 1", "yes 2", "no 3"]})
FROM_PLACEHOLDER = re.compile(r"#[0-9a-f]{8}")

VERBS: dict[str, tuple[Callable[[Any], dr.Frame], set[str]]] = {  # what is called, and the names of its steps
    "filter_by": (lambda llm: ROWS.filter_by(llm, "{t}"), {"filter_by"}),
    "filter_by, named": (lambda llm: ROWS.filter_by(llm, "{t}", name="sports"), {"sports"}),
    "rank_by": (lambda llm: ROWS.rank_by(llm, "{t}", threshold=1), {"rank_by"}),
    "top_k_by": (lambda llm: ROWS.top_k_by(llm, "{t}", 2), {"top_k_by"}),
    "top_k_by, named": (lambda llm: ROWS.top_k_by(llm, "{t}", 2, name="best"), {"best"}),
    "judge": (lambda llm: ROWS.judge(llm, a="t", b="u", parse=lambda _: "a"), {"judge"}),
    "judge both ways": (lambda llm: ROWS.judge(llm, a="t", b="u", swap="both", parse=lambda _: "a", name="duel"), {"duel"}),
    "to_preferences": (lambda llm: ROWS.judge(llm, a="t", b="u", parse=lambda _: "a").to_preferences(), {"judge", "to_preferences"}),
    "best_worst": (lambda llm: ROWS.prompt(llm, "{t}", "n", parse=len, schema=int).best_worst("t", by="n", prompt="u"), {"n", "best_worst"}),
    "join_by": (lambda llm: ROWS.select("t").join_by(dr.frame({"w": [""]}), llm, "{t}{w}"), {"select", "join_by"}),
    "join_by, blocked": (lambda llm: ROWS.join_by(ROWS, llm, "{t}", block=["t"], name="same"), {"same"}),
    "join_by, cut": (lambda llm: ROWS.join_by(ROWS, llm, "{t}", block=pl.col("t") == pl.col("t_right")), {"join_by"}),
    "until": (lambda llm: ROWS.prompt(llm, "{t}", into="said").until(2, where=pl.col("said") != "", max_candidates=3), {"said", "until"}),
    "until by a model": (
        lambda llm: ROWS.until(2, where=dr.prompt(llm, "So: {t}", into="said").str.contains("[0-9]"), max_candidates=3),
        {"said", "until"},
    ),
    "generate": (lambda llm: dr.generate(llm, "yes", n=3), {"generate", "text"}),
    "split": (lambda llm: ROWS.split(train=0.5, test=0.5)["train"].prompt(llm, "{t}", into="said"), {"split", "said"}),
    "sample": (lambda llm: ROWS.sample(2).prompt(llm, "{t}", into="said"), {"sample", "said"}),
    "shuffle": (lambda llm: ROWS.shuffle(seed=1).shard(2, 0).prompt(llm, "{t}", into="said"), {"shuffle", "shard", "said"}),
    "limit": (lambda llm: ROWS.prompt(llm, "{t}", into="said").limit(2), {"said", "limit"}),
    "prompt with samples": (lambda llm: ROWS.prompt(llm, "{t}", n=2, into="said"), {"said"}),
    "classify": (lambda llm: ROWS.classify(llm, ["yes 1", "no 2", "yes 3"], "t", prompt="{t}", repairs=0), {"classify"}),
    "reduce_by": (lambda llm: ROWS.group_by("u").reduce_by(llm, "{t}"), {"reduce_by"}),
    "group_by": (lambda llm: ROWS.prompt(llm, "{t}", into="said").group_by("u").agg(pl.col("said").first()), {"said", "group_by"}),
    "filter by an expression": (lambda llm: ROWS.filter(dr.prompt(llm, "So: {t}", into="said") != ""), {"said", "filter"}),
    "select an expression": (lambda llm: ROWS.select(pl.all(), dr.prompt(llm, "So: {t}", name="mine").str.len_chars()), {"mine", "select"}),
    "nested expressions": (
        lambda llm: ROWS.with_columns(dr.prompt(llm, "And: {x}", x=dr.prompt(llm, "So: {t}", into="a") + "!", into="b") + "?"),
        {"a", "b", "with_columns"},
    ),
    "sort by an expression": (lambda llm: ROWS.sort(dr.prompt(llm, "So: {t}", into="said")), {"said", "sort"}),
    "dedup": (lambda llm: ROWS.prompt(llm, "{t}", into="said").dedup("said"), {"said", "dedup"}),
    "dedup by vectors": (lambda llm: ROWS.prompt(llm, "{t}", into="said").dedup("said", method="embedding", by=WORDS, name="once"), {"said", "once"}),
    "cluster": (lambda llm: ROWS.prompt(llm, "{t}", into="said").cluster("said", k=2, by=WORDS), {"said", "cluster"}),
    "retrieve": (
        lambda llm: ROWS.prompt(llm, "{t}", into="said").retrieve(ROWS, query="said", text="t", by=WORDS),
        {"said", "hits", "retrieve (documents)"},
    ),
    "similarity": (
        lambda llm: ROWS.prompt(llm, "{t}", into="said").filter(dr.similarity("said", "t", by=WORDS, into="near") > 0),
        {"said", "near", "filter"},
    ),
}


def steps_of(frame: dr.Frame) -> list[Step]:
    return [s for s in frame.step.walk() if not isinstance(s, Source) or s.name is not None]


@pytest.mark.parametrize("verb", VERBS)
def test_its_steps_have_its_name(verb: str) -> None:
    make, names = VERBS[verb]
    assert {s.label for s in steps_of(make(ECHO))} == names


@pytest.mark.parametrize("verb", VERBS)
def test_progress_files_plans_and_failures_say_its_name_and_no_other(verb: str, tmp_path: Path) -> None:
    make, names = VERBS[verb]
    with dr.Session(tmp_path / "s", progress=False) as session:
        make(ECHO).collect()
        kept = {s.label for s in session.steps()} | {p.label for p in session.plans()}
        explained = "\n".join(p.explain for p in session.plans())
    events = [json.loads(line) for log in (tmp_path / "s" / "runs").iterdir() for line in log.read_text().splitlines()]  # what progress shows
    assert kept | {event["label"] for event in events if "label" in event} <= names
    assert any("label" in event for event in events)
    assert "__" not in explained
    assert HINT not in explained


def failing(asked: str) -> str:
    raise dr.errors.BadRequestError("refused")


@pytest.mark.parametrize("verb", VERBS)
def test_the_error_of_a_row_that_fails_says_its_name(verb: str) -> None:
    make, names = VERBS[verb]
    with dr.Session(None, progress=False), pytest.raises((RowsFailedError, dr.errors.TooFewRowsError)) as caught:
        make(dr.testing.Scripted(failing)).collect()
    said = str(caught.value)
    assert said.split(":", maxsplit=1)[0] in names
    assert {found.group(1) for found in re.finditer(r"row \d+ of (.+?): ", said)} <= names
    assert not FROM_PLACEHOLDER.search(said)
    assert "__" not in said


@pytest.mark.parametrize("verb", VERBS)
def test_names_are_no_part_of_a_key(verb: str) -> None:
    step = VERBS[verb][0](ECHO).step
    assert nameless(step).key({}) == step.key({})


def nameless(step: Step) -> Step:
    made: dict[int, Step] = {}
    for node in step.walk():
        own = {f.name: getattr(node, f.name) for f in fields(node)}
        made[id(node)] = replace(node, **{**own, "inputs": tuple(made[id(i)] for i in node.inputs), "name": None})
    return made[id(step)]


def test_failures_name_the_column_as_people_know_it() -> None:
    with dr.Session(None, progress=False):
        df = ROWS.filter_by(dr.testing.Scripted(failing), "{t}", on_error="drop")
        df.collect()
        assert df.failures()["column"].unique().to_list() == ["keep"]
        assert df.failures()["step"].unique().to_list() == ["filter_by"]


def test_a_verb_is_asked_anew_by_its_name(tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(text: str) -> str:
        asked.append(text)
        return text

    df = ROWS.filter_by(dr.testing.Scripted(dr.versioned(answer, version=1)), "{t}")
    with dr.Session(tmp_path / "s", progress=False):
        for refresh in ([], [], ["filter_by"]):
            assert df.collect(refresh=refresh).height == 2
    assert len(asked) == 6
