"""The plan that goes to the Hub beside rows: no key, no row that was not published, no path; and read again, it runs."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import PlanError
from dreamframe.frame.from_json import as_users_see
from dreamframe.plan.json.read import plan_of
from dreamframe.session.published import published

ECHO = dr.testing.Echo()
SOURCE = {"t": ["tea", "rain"], "private": ["of Ann", "of Bob"]}


def made(llm: dr.testing.Echo = ECHO) -> dr.Frame:
    return dr.frame(SOURCE).prompt(llm, "On {t}", into="said").select("said")


def read(files: dict[str, bytes], *rows: pl.DataFrame) -> dr.Frame:
    left = list(rows)
    plan = plan_of(json.loads(files["dreamframe.json"]), rows=lambda _: left.pop(0) if left else None)
    frame = as_users_see(plan)
    assert isinstance(frame, dr.Frame)
    return frame


def test_the_plan_has_no_rows_no_keys_and_no_paths(session: dr.Session, tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("t,private\ntea,of Ann\n")
    asked = dr.frame(SOURCE).prompt(dr.OpenAI("m", api_key="k3y-of-mine"), "{t}", into="a")
    for frame in (made(), asked, dr.scan_csv(tmp_path / "own.csv").prompt(ECHO, "{t}")):
        text = published(frame.step, None)["dreamframe.json"].decode()
        for hidden in ("of Ann", "k3y-of-mine", str(tmp_path)):
            assert hidden not in text
    assert "TABLE" in text or "SCAN" in text


def test_what_the_session_holds_is_read_and_other_rows_can_be_handed_over(tmp_path: Path) -> None:
    with dr.Session(tmp_path) as session:
        rows = made().collect()
        files = published(made().step, session.stores)
        again = read(files)
        assert again.schema == rows.schema
        assert again.collect(offline=True).equals(rows)
        other = read(files, pl.DataFrame({"t": ["snow"], "private": ["x"]}))
        assert other.collect()["said"].to_list() == ["On snow"]
        assert session.usage()["calls"] == 3
    with dr.Session(None), pytest.raises(PlanError, match=r"the 2 rows that this plan began with were not published.*columns t: String, private: String"):
        read(files).collect()


def test_samples_of_one_prompt_need_no_rows_and_the_same_plan_has_the_same_bytes(session: dr.Session) -> None:
    texts = dr.generate(ECHO, "A text.", n=3)
    files = published(texts.step, None)
    assert read(files).collect()["text"].to_list() == ["A text."] * 3
    assert published(dr.generate(ECHO, "A text.", n=3).step, None) == files


def test_a_plan_that_no_text_can_hold_stays_and_the_rows_go(session: dr.Session) -> None:
    odd = dr.frame(SOURCE).with_columns(pl.col("t").map_elements(lambda t: t, return_dtype=pl.String))
    with pytest.warns(UserWarning, match="the plan does not go along"):
        done = odd.push_to_hub("me/x", dry_run=True)
    assert done.written == ("README.md", "data/train-00000-of-00001.parquet")
    assert made().push_to_hub("me/x", plan=False, dry_run=True).written == done.written


def test_the_script_goes_along_where_the_session_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "make.py").write_text("import dreamframe as dr\nKEY = 'sk-abcdefgh12345678'\n")
    monkeypatch.setattr("__main__.__file__", str(tmp_path / "make.py"), raising=False)
    with dr.Session(tmp_path / "kept", keep_script=True) as session:
        made().collect()
        script = published(made().step, session.stores)["dreamframe.py"].decode()
    assert "import dreamframe as dr" in script
    assert "sk-abcdefgh" not in script
    with dr.Session(tmp_path / "plain") as session:
        made().collect()
        assert list(published(made().step, session.stores)) == ["dreamframe.json"]


def test_a_row_that_fails_in_two_runs_is_one_row(session: dr.Session) -> None:
    df = dr.frame({"t": ["tea", "tea", "rain"]}).prompt(dr.testing.Echo(), "{t}", schema=int, on_error="drop", repairs=0)
    df.preview(1)
    df.collect()
    assert session.usage()["failed"] == 3
    assert session.summary().endswith("3 rows failed")
