"""Laws of running, for every step: pure, resumed equals fresh, and neither batches nor concurrency change rows or order."""

from __future__ import annotations

import tempfile
from dataclasses import fields, replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.plan.step import Step
from dreamframe.plan.steps.prompt import PromptStep
from tests.laws.cases import CASES, SCHEMA, Case, Ordinal, table

TEXTS = st.one_of(st.none(), st.sampled_from(["tea", "rain", "", "a\nb", "{t}", "été ☂", "x" * 200]))
ROW = st.fixed_dictionaries({"t": TEXTS, "v": st.integers(-5, 5), "k": st.sampled_from(["a", "b"])})
TABLES = st.lists(ROW, min_size=1, max_size=25).map(lambda rows: pl.DataFrame(rows, schema=SCHEMA))
FEW = settings(max_examples=12)
MOVING = [name for name in CASES if name not in ("Table", "ReadTable", "HubTable")]
ASKING = [name for name in CASES if name.startswith("PromptStep")]


def collect(case: Case, rows: pl.DataFrame, **session: object) -> pl.DataFrame:
    with dr.Session(None, **session) as active:  # type: ignore[arg-type]
        return active.collect(case.over(table(rows)))


def with_model(step: Step, llm: Ordinal) -> Step:
    """The plan, its prompts asking another model object with the same identity."""
    below = [with_model(i, llm) for i in step.inputs]
    if not isinstance(step, PromptStep):
        return step.with_inputs(below)
    own = {f.name: getattr(step, f.name) for f in fields(step)}
    same = replace(llm, temperature=step.llm.temperature, max_tokens=step.llm.max_tokens)
    return type(step)(**{**own, "inputs": tuple(below), "llm": same})


@pytest.mark.parametrize("name", MOVING)
@FEW
@given(rows=TABLES)
def test_a_step_is_pure(name: str, rows: pl.DataFrame):
    before = rows.clone()
    step = CASES[name].over(table(rows))
    key, schema = step.key({}), step.schema
    first = collect(CASES[name], rows)
    assert first.equals(collect(CASES[name], rows))
    assert first.schema == schema
    assert rows.equals(before)
    assert step.key({}) == key


@pytest.mark.parametrize("name", MOVING)
@FEW
@given(rows=TABLES, batch_rows=st.integers(1, 9), concurrency=st.integers(1, 5))
def test_neither_batches_nor_concurrency_change_rows_or_order(name: str, rows: pl.DataFrame, batch_rows: int, concurrency: int):
    whole = collect(CASES[name], rows, batch_rows=1000)
    with dr.Session(None, batch_rows=batch_rows) as active:
        plan = with_model(CASES[name].over(table(rows)), Ordinal(concurrency=concurrency))
        assert active.collect(plan).equals(whole)
        assert pl.concat([pl.DataFrame(schema=plan.schema), *active.batches(plan)]).equals(whole)


@pytest.mark.parametrize("name", MOVING)
@FEW
@given(rows=TABLES, done=st.integers(0, 24), batch_rows=st.integers(1, 9))
def test_a_resumed_run_gives_the_rows_of_a_fresh_one(name: str, rows: pl.DataFrame, done: int, batch_rows: int):
    """First the beginning of the rows, then all of them, in one folder and by several session objects."""
    fresh = collect(CASES[name], rows)
    with tempfile.TemporaryDirectory() as folder:
        if part := rows.head(done).height:
            with dr.Session(folder, batch_rows=batch_rows) as active:
                active.collect(CASES[name].over(table(rows.head(part))))
        for _ in range(2):  # the second reads what the first stored
            with dr.Session(folder) as active:
                assert active.collect(CASES[name].over(table(rows))).equals(fresh)
    assert active.usage()["calls"] == 0


@pytest.mark.parametrize("name", ASKING)
@FEW
@given(rows=TABLES, refused=st.sampled_from(["tea", "rain", "Again", "{t}"]), batch_rows=st.integers(1, 9))
def test_a_run_resumed_after_failures_asks_the_failed_alone_and_gives_the_rows_of_a_fresh_one(name: str, rows: pl.DataFrame, refused: str, batch_rows: int):
    case = CASES[name]
    fresh = collect(case, rows)
    broken, mended = Ordinal(refuses=lambda prompt: refused in prompt), Ordinal()
    with tempfile.TemporaryDirectory() as folder:
        with dr.Session(folder, batch_rows=batch_rows) as active:
            try:
                active.collect(with_model(case.over(table(rows)), broken))
            except dr.errors.RowsFailedError:
                kept = sum(not broken.refuses(p) for p in broken.prompts)  # type: ignore[misc]
            else:
                kept = broken.calls
        with dr.Session(folder) as active:
            assert active.collect(with_model(case.over(table(rows)), mended)).equals(fresh)
    assert kept + mended.calls == case.n_calls(rows)


@pytest.mark.parametrize("name", ASKING)
@FEW
@given(rows=TABLES)
def test_a_first_run_makes_no_call_too_many(name: str, rows: pl.DataFrame):
    llm = Ordinal()
    with dr.Session(None) as active:
        active.collect(with_model(CASES[name].over(table(rows)), llm))
        assert active.usage()["calls"] == llm.calls == CASES[name].n_calls(rows)
