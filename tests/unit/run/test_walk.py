"""How many rows walked together is kept with an output, where rows were left out or became more."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import CorruptFileError
from dreamframe.run import walk as module
from dreamframe.run.walk import Walk, Walked
from dreamframe.store.records import STEP, checked
from dreamframe.testing import Echo

ROWS = dr.frame({"i": range(300)})


def manifests(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("steps/*/step.json"))]


def test_the_rows_of_each_batch_are_counted(tmp_path: Path) -> None:
    plan = ROWS.prompt(Echo(), "Tea {i}", into="said").filter(pl.col("said").str.ends_with("7")).prompt(Echo(), "So {said}", into="so").select("so")
    with dr.Session(tmp_path):
        made = plan.collect()
    ((walk,),) = [[m["walk"] for m in manifests(tmp_path)]]
    fed, left = walk["rows"]
    assert (sum(fed), sum(left), len(fed) > 1) == (300, made.height, True)
    assert set(walk["steps"].values()) == {0, 1}


def test_where_all_rows_leave_nothing_is_noted(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        ROWS.prompt(Echo(), "Tea {i}", into="said").with_columns(n=pl.col("said").str.len_chars()).collect()
    assert [m.get("walk") for m in manifests(tmp_path)] == [None]


def test_of_very_many_batches_neighbours_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    plan = ROWS.filter(pl.col("i") > 0)
    walk = Walk([plan.step])
    for n_out in (1, 0, 2, 2, 1, 0, 1):
        walk.add([(2, n_out)])
    record = walk.record(lambda step: step.key({}))
    assert record is not None
    assert record["rows"] == [[6, 6, 2], [3, 3, 1]]
    key, walked = plan.step.key({}), Walked(record)
    assert [walked.batch_of(key, row)[:] for row in (0, 2, 3, 6)] == [(0, 0, 3), (0, 0, 3), (1, 3, 6), (2, 6, 7)]
    assert (walked.height(key), walked.batch(ROWS.step.key({}), 2)) == (7, (2, 12, 14))


def test_a_batch_without_rows_is_never_the_one() -> None:
    walked = Walked({"steps": {"a": 0}, "rows": [[2, 0, 0, 1]]})
    assert [walked.batch_of("a", row).number for row in range(3)] == [0, 0, 3]


@pytest.mark.parametrize(
    "walk",
    [[], {"rows": [[1]]}, {"rows": [[1], [1, 2]], "steps": {}}, {"rows": [[-1]], "steps": {}}, {"rows": [[1]], "steps": {"0" * 32: 1}}, {"rows": 3}],
)
def test_what_no_run_writes_is_refused(walk: Any) -> None:
    with pytest.raises(CorruptFileError, match="walk"):
        checked({"key": "0" * 32, "label": "x", "walk": walk}, STEP, called="step.json")
