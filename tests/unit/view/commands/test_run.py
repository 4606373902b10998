"""`dreamframe run` and `merge`: a plan that was written down, its shards, and their folders as one."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.view.guard import FAILED, NOT_ALLOWED, WRONG
from tests.loopback.server import Loopback
from tests.unit.view.running import dreamframe

ROWS = dr.frame({"i": range(6), "t": [f"text {i}" for i in range(6)]})


def written(tmp_path: Path, df: dr.Frame) -> Path:
    path = tmp_path / "plan.json"
    path.write_text(df.to_json())
    return path


def test_shards_on_folders_of_their_own_then_merged_then_run(tmp_path: Path):
    plan = written(tmp_path, ROWS.prompt(dr.testing.Echo(), "Say {t}", into="said").sort("i", descending=True))
    told = [dreamframe("run", plan, "--shard", f"{i}/2", "-s", tmp_path / str(i), "--json", "--yes").json for i in range(2)]
    assert [(t["shard"], t["failed"]) for t in told] == [("0/2", 0), ("1/2", 0)]
    assert sum(t["asked"] for t in told) == sum(t["rows"] for t in told) == 6
    assert told[0]["left"] == [{"step": "sort", "why": "needs all rows. Left to the run of the whole plan", "rows": None}]
    made = dreamframe("merge", tmp_path / "all", tmp_path / "0", tmp_path / "1")
    assert (made.code, made.out.splitlines()[0]) == (0, "6 answers, 0 steps, 0 models, 0 plans, 2 runs added")
    done = dreamframe("run", plan, "-s", tmp_path / "all", "-o", tmp_path / "rows.csv", "--yes")
    assert (done.code, done.err.splitlines()[-1]) == (0, f"0 asked · session {tmp_path / 'all'}")
    assert pl.read_csv(tmp_path / "rows.csv")["said"].to_list() == [f"Say text {i}" for i in range(6)][::-1]


def test_a_shard_tells_its_rows_and_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with Loopback(fault=lambda call: (lambda c: c.send(400, {"error": {"message": "no"}})) if call.prompt.endswith("3") else None) as server:
        plan = written(tmp_path, ROWS.prompt(dr.OpenAI("m", base_url=server.url), "Say {t}", into="said"))
        refused = dreamframe("run", plan, "--shard", "0/1", "-s", tmp_path / "s", "--yes")
        assert (refused.code, server.n_calls) == (WRONG, 0), "the address was not allowed"
        done = dreamframe("run", plan, "--shard", "0/1", "-s", tmp_path / "s", "--yes", "--allow", server.url)
        assert (done.code, done.out) == (FAILED, "shard 0/1 · 6 rows · 5 asked, 0 kept, 1 failed\n")
        assert "said: BadRequestError" in done.err
        again = dreamframe("run", plan, "--shard", "0/1", "-s", tmp_path / "s", "--yes", "--allow", server.url)
        assert (again.code, again.out) == (FAILED, "shard 0/1 · 6 rows · 0 asked, 5 kept, 1 failed\n")


def test_nothing_is_asked_without_a_yes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    plan = written(tmp_path, ROWS.prompt(dr.OpenAI("gpt-4o-mini"), "Say {t}", into="said"))
    said = dreamframe("run", plan, "--shard", "0/2", "-s", tmp_path / "s")
    assert (said.code, "Give --yes" in said.err) == (NOT_ALLOWED, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "none.json"), "cannot be read"),
        (("run", "plan.json", "--shard", "one"), "is not i/n"),
        (("run", "plan.json", "--shard", "2/2", "--yes"), "numbered from 0"),
        (("run", "broken.json"), "this is not JSON"),
        (("merge", "all", "none"), "there is no session"),
    ],
)
def test_what_is_wrong_is_said(words: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path, ROWS)
    (tmp_path / "broken.json").write_text("{")
    done = dreamframe(*words)
    assert done.code == WRONG
    assert said in done.err
