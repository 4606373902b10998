"""Frames over the Hub: a plan names a data set, and a run reads its rows."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.hub.datasets import HubSplit
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.plan.steps.source import Table

datasets = pytest.importorskip("datasets")
ROWS = pl.DataFrame({"t": ["tea", "rain", "jam"]})


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A Hub that has one data set; tells what was read of it."""
    log: list[str] = []

    def load(*_: Any, streaming: bool = False, **__: Any) -> Any:
        made = datasets.Dataset.from_dict(ROWS.to_dict(as_series=False))
        if not streaming:
            log.append("whole")
            return made
        return datasets.IterableDataset.from_generator(lambda: (log.append(f"row {i}") or row for i, row in enumerate(made)), features=made.features)

    monkeypatch.setattr(HubSplit, "_record", lambda *_: {"revision": "c0ffee", "license": "mit"})
    monkeypatch.setattr(datasets, "load_dataset", load)
    return log


def test_naming_a_data_set_reads_no_row(reads: list[str]) -> None:
    with dr.Session("./output"):
        plan = dr.scan_hub("me/words").prompt(dr.testing.Echo(), "{t}", into="x").filter(pl.col("x") != "jam")
        assert plan.columns == ["t", "x"]
        assert "HUB me/words train @ c0ffee [1 columns]" in plan.explain()
        assert "mit" in plan.card()
        assert reads == []
        assert plan.collect()["x"].to_list() == ["tea", "rain"]
        assert reads == ["whole"]


def test_rows_are_read_once_and_kept_in_the_session(reads: list[str]) -> None:
    for offline in (False, True):
        with dr.Session("./output", offline=offline):
            assert [dr.scan_hub("me/words").collect().equals(ROWS) for _ in range(2)] == [True, True]
    assert reads == ["whole"]


def test_a_stream_reads_what_its_limit_needs(reads: list[str]) -> None:
    with dr.Session("./output"):
        found = dr.scan_hub("me/words", streaming=True)
        assert reads == []
        assert found.head(1).collect().height == 1
        assert set(reads) <= {"row 0", "row 1"}, "a row, and a look at the next"


def test_a_stream_and_the_whole_are_the_same_rows(reads: list[str]) -> None:
    with dr.Session("./output"):
        keys = {dr.scan_hub("me/words", streaming=streaming).step.key({}) for streaming in (True, False)}
    assert (len(keys), reads) == (1, [])


def test_rows_that_an_earlier_version_kept_are_read_and_keyed_as_by_it(reads: list[str]) -> None:
    with dr.Session("./output") as session:
        kept = fingerprint(["hub", "me/words", None, "train", None])
        session.stores.sources.keep("me/words", kept, ROWS, {"revision": "c0ffee"})  # type: ignore[union-attr]
        frame = dr.scan_hub("me/words")
        assert frame.collect().equals(ROWS)
        assert frame.step.content({}) == Table(data=ROWS).content({})
    assert reads == []


def test_what_is_not_kept_is_an_error_of_an_offline_session(reads: list[str]) -> None:
    with dr.Session("./output"):
        named = dr.scan_hub("me/words")
    with dr.Session("./output", offline=True), pytest.raises(dr.errors.OfflineError, match="me/words is not in the session"):
        named.collect()
    assert reads == []


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "whole"])
def test_a_plan_as_text_names_the_data_set_and_holds_neither_rows_nor_token(reads: list[str], streaming: bool) -> None:
    token = "hf_Canary3f9c27d1b8E64a05"
    with dr.Session("./output") as session:
        plan = dr.scan_hub("me/words", streaming=streaming, token=token).prompt(dr.testing.Echo(), "{t}", into="x")
        text = plan.to_json()
        assert '"me/words"' in text
        assert token not in text + repr(plan.step) + repr(plan)
        assert "arrow" not in text
        rows = plan.collect()
        read = len(reads)
        again = dr.from_json(text)
        assert again.step.key({}) == plan.step.key({})
        assert isinstance(again, dr.Frame)
        assert again.collect().equals(rows)
        assert session.plan("x").collect().equals(rows)  # type: ignore[union-attr]
    assert len(reads) == read, "what the session holds is not read again"


@pytest.mark.parametrize("split", [None, "", 3, ["train"]])
def test_what_names_no_split_is_refused_before_the_hub_is_asked(split: Any) -> None:
    with pytest.raises(dr.errors.SettingError, match="is not the name of a split"):
        dr.scan_hub("org/name", split=split)
