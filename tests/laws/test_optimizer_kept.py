"""Laws of what optimised plans leave in a folder: it is what the same plans leave as they are written, and serves them both."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.plan.optimizer import rules
from tests.laws.cases import Ordinal
from tests.laws.test_optimizer import CHAIN, grown
from tests.laws.test_running import TABLES
from tests.unit.adding.counter import Counter

FEW = settings(max_examples=8, deadline=None)
ROWS = dr.frame({"i": range(12), "g": [1, 2, 3] * 4, "t": ["tea", "jam", "rain"] * 4})
SAID = ROWS.prompt(Ordinal(), "Say {t}", into="said")
TRAINED: dict[str, Callable[[dr.Frame], dr.Frame]] = {
    "filter": lambda df: df.filter(pl.col("g") == 2),
    "sort and head": lambda df: df.sort("t").head(5),
    "a branch": lambda df: df.with_columns(said=pl.when(pl.col("g") == 1).then(dr.prompt(Ordinal(), "Or {t}")).otherwise(pl.lit("none"))),
    "join": lambda df: df.join(dr.frame({"g": [1]}), on="g"),
}


def collected(plan: dr.Frame, folder: str, *, optimize: bool, offline: bool = False) -> tuple[pl.DataFrame, int]:
    with dr.Session(folder, offline=offline) as session:
        return plan.collect(optimize=optimize), session.usage()["calls"]


@FEW
@given(rows=TABLES, chain=CHAIN, is_first=st.booleans())
def test_a_folder_serves_a_plan_as_it_is_written_and_optimised(rows: pl.DataFrame, chain, is_first: bool):
    plan = grown(dr.frame(rows), chain, 0)
    with dr.Session(None) as session:
        expected, most = plan.collect(optimize=False), session.usage()["calls"]
        assume(plan.failures().is_empty())  # what failed is asked again
    with tempfile.TemporaryDirectory() as folder:
        first, asked = collected(plan, folder, optimize=is_first)
        second, more = collected(plan, folder, optimize=not is_first)
        assert asked + more <= most
        assert is_first or more == 0, "all that it asks was asked"
        offline, _ = collected(plan, folder, optimize=True, offline=True)
    assert all(found.equals(expected) for found in (first, second, offline))


@pytest.mark.parametrize("name", TRAINED)
def test_a_model_that_was_trained_before_there_were_rules_is_found(name: str, tmp_path: Path):
    rows = TRAINED[name](SAID)
    model = rows.train(Counter(), prompt="said", validation=ROWS.prompt(Ordinal(), "Try {t}", into="said").head(2))
    with dr.Session(tmp_path) as session, patch.object(rules, "RULES", ()):
        before = Path(model.path)
        asked = session.usage()["calls"]
    with dr.Session(tmp_path) as session:
        assert Path(model.path) == before
        assert session.usage()["calls"] == 0
    with dr.Session(None) as session:
        trained_on = (Path(model.path) / "n_rows.txt").read_text()
        assert session.usage()["calls"] < asked
        assert trained_on == str(rows.collect().height) == (before / "n_rows.txt").read_text()
