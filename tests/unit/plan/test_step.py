"""Keys of steps: of one walk, told apart by what the steps are, and shown part by part."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dreamframe.errors import SourceChangedError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.plan.step import Memo
from dreamframe.plan.steps.relational import Relational
from dreamframe.plan.steps.source import Scan, Table


def test_the_key_of_a_step_that_is_gone_is_not_given_to_another():
    memo: Memo = {}
    found = set()
    for i in range(50):  # each made where the one before it was, if that is gone
        found.add(Table(data=pl.DataFrame({"a": [i]})).key(memo))
    assert len(found) == 50


def test_a_key_is_of_the_step_its_inputs_and_its_content():
    below = Table(data=pl.DataFrame({"a": [1]}))
    step = Relational(inputs=(below,), verb="head", args=(1,))
    assert step.key({}) == fingerprint((step, [below.key({})], None))
    assert below.key({}) == fingerprint((below, [], below.digest))


def test_the_parts_of_a_source_hold_its_content(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text("a\n1\n")
    step = Scan(format="csv", paths=(str(file),))
    before = step.key_parts()
    file.write_text("a\n2\n")
    after = step.key_parts()
    assert [name for name in before if before[name] != after[name]] == ["content"]


def test_one_walk_sees_a_file_as_it_was_at_first(tmp_path: Path):
    file = tmp_path / "a.csv"
    file.write_text("a\n1\n")
    step, memo = Scan(format="csv", paths=(str(file),)), {}
    before, parts = step.key(memo), step.key_parts(memo)
    file.write_text("a\n2\n")
    assert (step.key(memo), step.key_parts(memo)) == (before, parts)
    assert step.key({}) != before
    with pytest.raises(SourceChangedError):  # what was seen at first is what the end of the run is compared with
        step.check_unchanged(memo)
