"""Keys of steps: of one walk, told apart by what the steps are, and shown part by part."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
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


def test_a_verb_over_other_inputs_is_what_it_would_be_if_it_were_made_anew() -> None:
    """What was computed of its own fields goes along; what its inputs decide does not."""
    one, other = dr.frame({"a": [1], "b": ["x"]}), dr.frame({"c": [True], "b": ["x"], "a": [2]})
    verbs = (
        lambda df: df.with_columns(pl.col("a") + 1, d=pl.col("b").str.len_chars()),
        lambda df: df.filter(pl.col("a") > 1),
        lambda df: df.drop("b"),
        lambda df: df.select("b", pl.col("a").sum()),
        lambda df: df.group_by("b").agg(pl.col("a").sum()),
        lambda df: df.fill_null(0),
    )
    for verb in verbs:
        step = verb(one).step
        looks = [name for name in (*step.stays, "rows") if hasattr(step, name)]
        assert all(hasattr(step, name) for name in looks)  # computed now
        for below in (other.step, dr.frame({"a": [7], "b": ["y"]}).step):
            moved, anew = step.with_inputs([below]), step.but(inputs=(below,))
            assert [str(getattr(moved, name)) for name in looks] == [str(getattr(anew, name)) for name in looks]
            assert (moved.reads(), dict(moved.passes()), moved.writes(), moved.schema) == (anew.reads(), dict(anew.passes()), anew.writes(), anew.schema)
