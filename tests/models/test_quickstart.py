"""The quickstart, shared: published and loaded by the libraries alone, exported and replayed by a stranger without key, network, script or rows."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import dreamframe as dr
from dreamframe.store.answer_files import file_bytes
from dreamframe.store.journal import scan
from dreamframe.view.server import Server
from tests.chromium import CHROMIUM, chromium
from tests.faults.test_replay import ALONE, needs_unshare
from tests.loopback.hub import Hub

pytestmark = [pytest.mark.models, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
ROWS = 10  # of the example's 40 reviews: as few as tell its parts apart
TAUGHT = "steps=16, batch_size=4, learning_rate=1e-3"
SOONER = "steps=6, batch_size=4, learning_rate=4e-3"  # as few as teach it the two words


def process(*command: str, home: Path, hub: Hub | None = None, alone: bool = False) -> subprocess.Popen[str]:
    home.mkdir(exist_ok=True)
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(home), "HF_HOME": str(home / "hf"), "HF_HUB_DISABLE_XET": "1"}
    env |= {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1"}
    env |= {"HF_HUB_OFFLINE": "1"} if hub is None else {"HF_ENDPOINT": hub.url}
    env |= {"DREAMFRAME_CACHE": os.environ.get("DREAMFRAME_CACHE", str(Path.home() / ".cache" / "dreamframe"))} if not alone else {}
    return subprocess.Popen([*(ALONE if alone else []), sys.executable, *command], env=env, cwd=home, stdout=-1, stderr=-1, text=True)


def run(*command: str, **options: Any) -> str:
    out, err = (running := process(*command, **options)).communicate(timeout=400)
    assert running.returncode == 0, err[-3000:]
    return out


def said(*command: str, **options: Any) -> dict[str, Any]:
    return dict(json.loads(run("-m", "tests.models.sharing", *command, **options).splitlines()[-1]))


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the example, after its first run: the script, taught in fewer steps, over some of its rows, short ones."""
    folder = tmp_path_factory.mktemp("quickstart") / "first"
    folder.mkdir()
    script = (ROOT / "examples" / "quickstart.py").read_text()
    assert script.count(TAUGHT) == 1
    (folder / "quickstart.py").write_text(script.replace(TAUGHT, SOONER))
    lines = (ROOT / "examples" / "reviews.csv").read_text().splitlines(keepends=True)
    (folder / "reviews.csv").write_text("".join([lines[0], *lines[24 : 24 + ROWS]]))
    assert "trained 1 model" in run("quickstart.py", home=folder)
    with dr.Session(folder / "output") as session:
        session.export(folder.parent / "run.tar.zst")
    return folder


@needs_unshare
def test_a_stranger_replays_every_frame_without_a_call(quickstart: Path, tmp_path: Path) -> None:
    dr.Session.load(quickstart.parent / "run.tar.zst", tmp_path / "output").close()
    told = said("replay", str(tmp_path), home=tmp_path, alone=True)
    assert (told["usage"]["calls"], told["usage"]["trained"], told["torch"]) == (0, 0, False)
    first = pl.read_parquet(quickstart / "output" / "reviews.parquet")
    assert json.loads(told["made"]["filter"]) == json.loads(first.write_json())
    with dr.Session(quickstart / "output", offline=True) as session:
        assert json.loads(told["made"]["head"]) == json.loads(session.plan("head").collect().write_json())  # type: ignore[union-attr]
    with dr.Session(tmp_path / "output") as session:
        assert session.verify() == []
        assert {p.script for p in session.plans()} == {None}, "a script is kept only when it is wanted"


@needs_unshare
def test_the_script_itself_asks_nothing_and_trains_nothing_elsewhere(quickstart: Path, tmp_path: Path) -> None:
    for name in ("quickstart.py", "reviews.csv"):
        shutil.copy(quickstart / name, tmp_path)
    dr.Session.load(quickstart.parent / "run.tar.zst", tmp_path / "output").close()
    assert "from the session, 0 model calls" in (out := run("quickstart.py", home=tmp_path, alone=True))
    assert "trained nothing" in out
    assert pl.read_parquet(tmp_path / "output" / "reviews.parquet").equals(pl.read_parquet(quickstart / "output" / "reviews.parquet"))


@needs_unshare
def test_the_one_answer_that_is_missing_is_named(quickstart: Path, tmp_path: Path) -> None:
    dr.Session.load(quickstart.parent / "run.tar.zst", tmp_path / "output").close()
    shutil.rmtree(tmp_path / "output" / "steps")
    (journal,) = (tmp_path / "output" / "answers").glob("*.answers")
    table = pa.Table.from_batches(scan(journal.read_bytes()).batches)
    reply = pl.read_parquet(quickstart / "output" / "reviews.parquet").row(2, named=True)
    gone = table.column("text").to_pylist().index(reply["reply"])
    journal.write_bytes(file_bytes(table.take([i for i in range(table.num_rows) if i != gone]).combine_chunks().to_batches()))
    told = said("replay", str(tmp_path), home=tmp_path, alone=True)
    assert told["usage"]["calls"] == 0
    assert "1 requests have no answer in the session" in told["missing"]
    assert f"Answer this review of a {reply['product']} in one friendly sentence." in told["missing"]
    assert reply["review"][:40] in told["missing"]
    assert told["missing"].count("asked:") == 1


def test_rows_and_model_are_published_through_a_kill_and_load_elsewhere(quickstart: Path, tmp_path: Path) -> None:
    pushing: list[subprocess.Popen[str]] = []

    def kill(method: str, path: str) -> int | None:
        if "/models/" in path and "/commit/" in path and pushing and pushing[0].returncode is None:
            pushing[0].send_signal(signal.SIGKILL)
            pushing[0].wait()
            return 500
        return None

    with Hub(kill) as hub:
        pushing.append(process("-m", "tests.models.sharing", "push", str(quickstart), home=tmp_path, hub=hub))
        pushing[0].communicate(timeout=400)
        assert pushing[0].returncode == -signal.SIGKILL
        assert hub.tree("models/me/moods") == {}
        n = len(hub.asked)
        done = said("push", str(quickstart), home=tmp_path, hub=hub)
        resent = [path for _, path in hub.asked[n:] if path.startswith("/lfs/")]
        tree = sorted(hub.tree("models/me/moods"))
        loaded = said("load", str(tmp_path), home=tmp_path / "stranger", hub=hub)
    assert (done["usage"]["calls"], done["usage"]["trained"]) == (0, 0)
    assert done["written"] == [[], tree], "the rows were there already"
    assert resent == [], "and so were the weights"
    assert {"model.safetensors", "config.json", "README.md"} <= set(tree)
    rows = pl.concat(pl.DataFrame(part) for part in loaded["rows"].values())
    first = pl.read_parquet(quickstart / "output" / "reviews.parquet").with_columns(pl.col("mood").cast(pl.String))
    assert rows.sort(rows.columns).equals(first.sort(first.columns))
    assert loaded["said"].strip().lower().startswith(("positive", "negative"))
    assert loaded["base"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_its_page_shows_rows_a_record_the_training_and_the_card(quickstart: Path, tmp_path: Path) -> None:
    with Server(quickstart / "output") as server, chromium(tmp_path) as browser:
        tab = browser.tab()
        tab.open(server.address)
        tab.until(f"document.querySelectorAll('tbody tr').length === {ROWS}")
        views = {"training": "loss", "cards": "SmolLM2", "spend": "asked", "plan": "SmolLM2", "record?row=1": "answer"}
        for view, shown in views.items():
            tab.js(f"location.hash = '#/{view}'")
            tab.until(f"document.querySelector('.pane').innerText.includes('{shown}')")
        assert "trained" in tab.text()
        assert tab.said == []
        assert [r for r in tab.requests if not r.startswith((server.address, "data:", "about:"))] == []
