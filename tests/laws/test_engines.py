"""Laws of engines: whatever engine runs a plan, it has the same rows in the same order, the same failures, samples and counts, and finds the same answers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.plan.step import RowStep, Step
from dreamframe.run.engines.base import Engine, Segment
from dreamframe.run.engines.wire import segment_of, segment_record
from tests.engines.on_ray import cluster
from tests.engines.partitions import PartitionEngine
from tests.engines.worker import HANDED
from tests.laws.cases import CASES, SCHEMA, Ordinal, table
from tests.laws.test_running import ASKING, TABLES, with_model

STREAMED = [name for name, case in CASES.items() if any(isinstance(node, RowStep) for node in case.over(table()).walk())]
FEW = settings(max_examples=3)
EQUAL = pl.DataFrame({"t": ["tea", None, "rain"] * 12, "v": range(36), "k": ["a", "b", "a", "a"] * 9}, schema=SCHEMA)


@pytest.fixture(scope="module", params=["partitions", "ray"])
def there(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine that runs segments elsewhere."""
    if request.param == "ray":
        yield request.getfixturevalue("on_ray")
        return
    engine = PartitionEngine()
    yield engine
    engine.end()


@pytest.fixture(scope="module")
def on_ray() -> Iterator[dr.RayEngine]:
    """Two workers on Ray, on this machine alone."""
    with cluster():
        yield dr.RayEngine(workers=2)


def told(session: dr.Session) -> list[dict[str, Any]]:
    """What the session's last run counted, step by step."""
    return sorted(({k: v for k, v in step.as_dict().items() if k != "key"} for step in session.runs()[-1].steps), key=str)


def failing(step: Step, on_error: str) -> Step:
    """The plan with another fate for rows that fail."""
    below = [failing(i, on_error) for i in step.inputs]
    changed = {"inputs": tuple(below), **({"on_error": on_error} if isinstance(step, RowStep) else {})}
    return type(step)(**{**{f.name: getattr(step, f.name) for f in fields(step)}, **changed})


@pytest.mark.parametrize("name", STREAMED)
@FEW
@given(rows=TABLES)
def test_every_engine_gives_the_same_rows_in_the_same_order(name: str, rows: pl.DataFrame, there: Engine):
    rows = pl.concat([rows, rows])  # equal requests, so that samples have numbers
    with dr.Session(None) as here, dr.Session(None, engine=there) as other:
        plan = CASES[name].over(table(rows))
        local = here.collect(plan)
        assert other.collect(plan).equals(local)
        assert pl.concat([pl.DataFrame(schema=plan.schema), *other.batches(plan)]).equals(local)
    assert other.usage()["calls"] == here.usage()["calls"], "the second run of each found its answers"


@pytest.mark.parametrize("on_error", ["raise", "null", "drop"])
@pytest.mark.parametrize("name", [name for name in ASKING if "judging" not in name])
@FEW
@given(rows=TABLES, refused=st.sampled_from(["tea", "rain", "Again", "{t}"]))
def test_every_engine_has_the_same_failures_and_counts(name: str, on_error: str, rows: pl.DataFrame, refused: str, there: Engine):
    rows = pl.concat([rows, rows])
    found = []
    for engine in ("local", there):
        broken = Ordinal(refuses=lambda prompt: refused in prompt)
        plan = failing(with_model(CASES[name].over(table(rows)), broken), on_error)
        with dr.Session(None, engine=engine) as session:
            try:
                made: object = session.collect(plan).to_dicts()
            except dr.errors.RowsFailedError as exc:
                made = str(exc)
            found.append((made, session.failures(plan).to_dicts(), told(session), broken.calls))
    assert found[0][:3] == found[1][:3]
    assert found[0][3] == found[1][3] or "greedy" in name, "what was refused is asked again for an equal row that comes later, in another part"


@pytest.mark.parametrize("name", ASKING)
def test_what_one_engine_asked_another_finds(name: str, there: Engine):
    rows = EQUAL
    for first, second in (("local", there), (there, "local")):
        with tempfile.TemporaryDirectory() as folder:
            with dr.Session(folder, engine=first) as active:
                before = active.collect(CASES[name].over(table(rows)))
            for record in active.steps():
                active.stores.files.remove_tree(active.stores.layout.steps / record.name)  # type: ignore[union-attr]
            with dr.Session(folder, engine=second) as active:
                assert active.collect(CASES[name].over(table(rows))).equals(before)
            assert active.usage()["calls"] == 0


def test_partitions_of_odd_sizes_ran_in_another_process():
    engine = PartitionEngine()
    try:
        with dr.Session(None, engine=engine) as session:
            session.collect(CASES["PromptStep"].over(table(EQUAL)))
    finally:
        engine.end()
    assert [n for _, n in engine.ran] == [7, 3, 11, 7, 3, 5]
    assert {process for process, _ in engine.ran}.isdisjoint({os.getpid()})


def test_an_engine_that_numbers_samples_itself_breaks_the_law():
    """The fault that the laws above are there for: a planted one, and it is found."""
    engine = PartitionEngine(numbers_itself=True)
    plan = CASES["PromptStep, then equal prompts"].over(table(EQUAL))
    try:
        with dr.Session(None) as here, dr.Session(None, engine=engine) as there:
            assert not there.collect(plan).equals(here.collect(plan))
    finally:
        engine.end()


EXAMPLES = dr.frame({"k": ["a", "b"], "g": [1, 2]}).prompt(Ordinal(), "Ex {k}", into="o").filter(pl.col("g") > 1)
SHOTS = dr.FewShot("Do.", input="k", output="o", examples=EXAMPLES)
ASKED = dr.frame(EQUAL).prompt(Ordinal(), SHOTS, into="said")
REWRITTEN: dict[str, dr.Frame] = {  # plans that rules change, also below what a prompt holds
    "examples": ASKED,
    "examples, and fewer rows": ASKED.filter(pl.col("v") > 7),
    "samples by number": dr.frame(EQUAL).prompt(Ordinal(), "Say {t}", into="said").tail(9),
    "a branch": dr.frame(EQUAL).with_columns(said=pl.when(pl.col("v") > 7).then(dr.prompt(Ordinal(), "Say {t}"))),
    "first rows": dr.frame(EQUAL).filter(dr.prompt(Ordinal(), "Is {k}").str.len_chars() % 2 == 1).head(4),
    "documents": dr.frame(EQUAL).retrieve(EXAMPLES, query="k", text="o", by=dr.testing.WordEmbedder(), k=1),
}


@pytest.mark.parametrize("name", REWRITTEN)
def test_another_engine_runs_what_rules_make_of_a_plan(name: str, there: Engine):
    plan = REWRITTEN[name]
    with dr.Session(None) as here, dr.Session(None, engine=there) as other:
        assert other.collect(plan).equals(here.collect(plan, optimize=False))
    assert other.usage()["calls"] < here.usage()["calls"]


@pytest.mark.parametrize("name", STREAMED)
def test_a_segment_crosses_as_json_without_its_rows(name: str):
    step = next(node for node in reversed(CASES[name].over(table(EQUAL)).walk()) if isinstance(node, RowStep))
    segment = Segment((step,), width=5, batch_rows=4, window=20)
    record = segment_record(segment)
    read = segment_of(record, functions=HANDED, allow=("**",))
    assert (read.width, read.batch_rows, read.window) == (5, 4, 20)
    assert [(type(s), s.key_parts()) for s in read.steps] == [(type(step), step.key_parts())]
    assert "rain" not in str([held.get("rows") for held in record["plan"]["steps"]])


@pytest.mark.parametrize("engine", ["spark", 3, object()], ids=["a name", "a number", "an object"])
def test_what_is_not_an_engine_is_refused(engine: Any):
    with pytest.raises(dr.errors.SettingError, match="engine="):
        dr.Session(None, engine=engine)
