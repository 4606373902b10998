"""A session in memory has all stores of one with a folder: the same methods, which find nothing and keep nothing."""

from __future__ import annotations

import inspect
from pathlib import Path

import polars as pl
import pytest

from dreamframe.store.nothing import NoLog, NoLogs, NoOutputs, NoPlans, NoSources
from dreamframe.store.stores import open_stores


@pytest.mark.parametrize("cls", [NoOutputs, NoPlans, NoSources, NoLogs, NoLog])
def test_no_method_that_reaches_for_a_folder_is_inherited(cls: type):
    inherited = {name for name, _ in inspect.getmembers(cls, inspect.isfunction) if not name.startswith("_") and name not in vars(cls)}
    assert inherited <= {"writer", "written", "keep_script", "write"}, "asked for only where something is kept; a log writes what nobody keeps"


def test_they_find_nothing_and_keep_nothing(tmp_path: Path):
    stores = open_stores(None, scratch=tmp_path)
    stores.sources.keep("a", "0" * 32, pl.DataFrame({"a": [1]}), {})
    stores.plans.keep("a", "0" * 32, {})
    stores.log.write([{"event": "run"}])
    stores.steps.forget({"0" * 12})
    assert (stores.sources.find("a", "0" * 32), stores.sources.names_of(repo="a"), stores.sources.has("a", "0" * 32)) == (None, set(), False)
    assert (stores.plans.all(), stores.steps.all(), list(stores.log.read())) == ([], [], [])
    assert list(tmp_path.iterdir()) == []
