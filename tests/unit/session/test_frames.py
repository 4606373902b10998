"""What is on record as frames: the sums are those of the records, the columns are those that are documented, and old folders have them too."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.session.frames import ANSWERS, RUNS, SPENT, STEPS, USAGE
from dreamframe.store import answers as store
from dreamframe.testing import Echo, WordEmbedder

ROWS = dr.frame({"t": ["tea", "jam", "tea"]})


def ran(folder: Path | None) -> dr.Session:
    with dr.Session(folder, prices={"a": (1e6, 0.0)}) as session:
        ROWS.prompt(Echo(model="a"), "Say {t}", into="said").collect()
        ROWS.prompt(Echo(model="a"), "Say {t}", into="said").prompt(Echo(model="b"), "So {said}", into="so").collect()
    return session


@pytest.mark.parametrize("folder", [True, False], ids=["in a folder", "in memory"])
def test_use_is_summed_by_what_is_asked_for(folder: bool, tmp_path: Path):
    session = ran(tmp_path if folder else None)
    steps = session.usage(by="step")
    assert steps.select("step", "model", "calls").rows() == [("said", "a", 3), ("so", "b", 3)]
    assert session.usage(by="model").select("model", "calls", "cost").rows() == [("a", 3, 6.0), ("b", 3, 0.0)]
    runs = session.usage(by="run")
    assert runs["calls"].to_list() == [3, 3]
    assert runs["began_at"].null_count() == (0 if folder else 2)
    assert runs["is_over"].to_list() == [True, True]
    (day,) = session.usage(by="day").rows(named=True)
    whole = session.usage()
    assert {name: day[name] for name in ("calls", "from_cache", "tokens_in", "tokens_out", "cost", "failed")} == {
        name: whole[name] for name in ("calls", "from_cache", "tokens_in", "tokens_out", "cost", "failed")
    }
    for by, columns in USAGE.items():
        assert dict(session.usage(by=by).schema) == dict(pl.Schema({**columns, **SPENT}))
    with pytest.raises(SettingError, match="by='week'"):
        session.usage(by="week")  # type: ignore[call-overload]


def test_a_price_that_is_not_known_leaves_a_sum_unknown(tmp_path: Path):
    ran(tmp_path)
    for log in (tmp_path / "runs").iterdir():
        log.write_text(log.read_text().replace('"cost": 0.0', '"cost": null'))
    assert dr.Session(tmp_path).usage(by="model")["cost"].to_list() == [6.0, None]


def test_records_show_themselves_as_frames_and_are_lists_still(tmp_path: Path):
    session = ran(tmp_path)
    for records, columns in ((session.steps(), STEPS), (session.runs(), RUNS)):
        frame = records.to_frame()
        assert dict(frame.schema) == dict(pl.Schema(columns))
        assert frame.height == len(records) == 2
        assert repr(records) == repr(frame)
        assert [r.calls for r in records] == frame["calls"].to_list()
    assert session.steps().to_frame()["made_at"].null_count() == 0
    assert dr.Session(None).runs().to_frame().height == 0


@pytest.mark.parametrize("folder", [True, False], ids=["in a folder", "in memory"])
def test_answers_are_listed_once_wherever_they_lie(folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(store, "RECENT_ROWS", 8)  # so that some are in the index
    with dr.Session(tmp_path if folder else None) as session:
        plan = dr.frame({"i": range(40)}).prompt(Echo(), "Tea {i}", into="said").embed(WordEmbedder(), "said")
        plan.collect()
        session.stores.answers.flush()
        kept = session.answers()
        assert dict(kept.schema) == dict(pl.Schema(ANSWERS))
        texts = kept.filter(pl.col("model") == "echo")
        assert sorted(texts["text"]) == sorted(f"Tea {i}" for i in range(40))
        assert kept.filter(pl.col("dimensions") == 64).height == 40
        assert texts.filter(pl.col("key") == plan.why(7).calls[0].key)["text"].item() == "Tea 7"
        assert texts["attempts"].to_list() == [1] * 40
    if folder:
        assert dr.Session.existing(tmp_path).answers().sort("key").equals(kept.sort("key"))


def test_answers_of_before_have_no_tries(session: dr.Session):
    session.stores.answers.append(b"k" * 16, "a", None, "stop", 1, 2, 0, 0, "old", None)
    session.stores.answers.append(b"l" * 16, "b", None, "stop", 1, 2, 0, 0, "old", json.dumps({"reasoning": "hm", "attempts": "many"}))
    session.stores.answers.append(b"m" * 16, "c", None, "stop", 1, 2, 0, 0, "old", "[no JSON")
    told = session.answers().select("text", "reasoning", "attempts", "seconds").rows()
    assert told == [("a", None, None, None), ("b", "hm", None, None), ("c", None, None, None)]


@pytest.mark.parametrize("at", [1e300, -5, 1e18, 0])
def test_a_run_that_tells_a_time_of_its_own_is_listed_by_its_log(at: float, tmp_path: Path):
    ran(tmp_path)
    log = min((tmp_path / "runs").iterdir())
    events = [json.loads(line) for line in log.read_text().splitlines()]
    log.write_text("".join(f"{json.dumps({**event, 'at': at} if event['event'] == 'begin' else event)}\n" for event in events))
    assert dr.Session(tmp_path).runs().to_frame()["began_at"].dt.year().min() >= 2026


def test_who_follows_sees_each_line_once_and_no_half_line(tmp_path: Path):
    with dr.Session(tmp_path) as session:
        watched = session.follow()
        ROWS.prompt(Echo(), "Say {t}", into="said").collect()
        assert [line["event"] for line in watched.news()] == ["begin", "step", "run"]
        (log,) = (tmp_path / "runs").iterdir()
        with log.open("a") as file:
            file.write('{"event": "progress", "label": "late"}\n{"event": "prog')
        assert [line.get("label") for line in watched.news()] == ["late"]
        with log.open("a") as file:
            file.write('ress", "label": "later"}\n')
        assert [(line["label"], line["run"], line["day"][:2]) for line in watched.news()] == [("later", log.name, "20")]
    with pytest.raises(SettingError, match="in memory"):
        dr.Session(None).follow()
