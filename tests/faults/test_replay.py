"""A session that was exported is replayed elsewhere: another process, no key, no network; what is missing is named."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.store.answer_files import file_bytes
from dreamframe.store.journal import scan
from tests.faults.replayer import replay
from tests.loopback import Loopback
from tests.micro import micro_causal

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
KEY = "sk-replay-0123456789abcdef"


def can_unshare() -> bool:
    return shutil.which("unshare") is not None and subprocess.run(["unshare", "-rn", "true"], capture_output=True, check=False).returncode == 0


needs_unshare = pytest.mark.skipif(not can_unshare(), reason="this user may make no network namespace (unshare -rn)")
ALONE = ["unshare", "-rn"]  # a network namespace whose only interface is a loopback that is down


def run_alone(folder: Path, url: str, out: Path, *options: str) -> dict[str, Any]:
    """What the same program says in another process, without key and network."""
    command = [*ALONE, sys.executable, "-m", "tests.faults.replayer", str(folder), url, str(micro_causal()), str(out), "offline", *options]
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(out.parent), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def answer(body: dict[str, Any]) -> str:
    said = body["messages"][-1]["content"]
    if said.startswith("Mood"):
        return json.dumps({"answer": "positive" if len(said) % 2 else "negative"})
    return said.upper()


class Made:
    """The first run, on a machine with a key and a server: in this process, where other tests train as well."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with Loopback(answer) as server, pytest.MonkeyPatch.context() as patch:
            self.url = server.url
            patch.setenv("REPLAY_KEY", KEY)
            self.said = replay(str(folder / "session"), server.url, str(micro_causal()), str(folder / "out"))
        with dr.Session(folder / "session") as session:
            self.archive = session.export(folder / "run.tar.gz")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("made"))


@needs_unshare
def test_a_stranger_without_key_or_network_gets_every_row_and_the_model(made: Made, tmp_path: Path) -> None:
    dr.Session.load(made.archive, tmp_path / "session").close()
    said = run_alone(tmp_path / "session", made.url, tmp_path / "out")
    assert made.said["usage"]["calls"] == 18
    assert (said["usage"]["calls"], said["usage"]["trained"]) == (0, 0)
    assert said["weights"] == made.said["weights"]
    assert not said["torch"], "no model is loaded"
    for name in ("reviews", "tuned"):
        assert pl.read_parquet(tmp_path / "out" / f"{name}.parquet").equals(pl.read_parquet(made.folder / "out" / f"{name}.parquet"))
    with dr.Session(tmp_path / "session") as session:
        assert session.verify() == []


@needs_unshare
def test_a_stranger_without_the_script_gets_them_from_the_kept_plans(made: Made, tmp_path: Path) -> None:
    dr.Session.load(made.archive, tmp_path / "session").close()
    said = run_alone(tmp_path / "session", made.url, tmp_path / "out", "plans")
    assert (said["usage"]["calls"], said["usage"]["trained"], said["weights"]) == (0, 0, made.said["weights"])
    for name in ("reviews", "tuned"):
        assert pl.read_parquet(tmp_path / "out" / f"{name}.parquet").equals(pl.read_parquet(made.folder / "out" / f"{name}.parquet"))


@needs_unshare
def test_from_the_answers_alone_every_row_is_made_again(made: Made, tmp_path: Path) -> None:
    dr.Session.load(made.archive, tmp_path / "session").close()
    shutil.rmtree(tmp_path / "session" / "steps")
    said = run_alone(tmp_path / "session", made.url, tmp_path / "out")
    assert (said["usage"]["calls"], said["usage"]["trained"]) == (0, 0)
    assert pl.read_parquet(tmp_path / "out" / "tuned.parquet").equals(pl.read_parquet(made.folder / "out" / "tuned.parquet"))


@needs_unshare
def test_a_request_whose_answer_is_missing_is_named(made: Made, tmp_path: Path) -> None:
    dr.Session.load(made.archive, tmp_path / "session").close()
    shutil.rmtree(tmp_path / "session" / "steps")
    (journal,) = (tmp_path / "session" / "answers").glob("*.answers")
    import pyarrow as pa

    found = scan(journal.read_bytes())
    table = pa.Table.from_batches(found.batches)
    gone = next(i for i, text in enumerate(table.column("text").to_pylist()) if "MY FAVOURITE KETTLE" in (text or ""))
    kept = table.take([i for i in range(table.num_rows) if i != gone]).combine_chunks()
    journal.write_bytes(file_bytes(kept.to_batches()))
    said = run_alone(tmp_path / "session", made.url, tmp_path / "out")
    assert said["usage"]["calls"] == 0
    assert "1 requests have no answer in the session" in said["missing"]
    assert "Answer: my favourite kettle (" in said["missing"]
    assert said["missing"].count("asked:") == 1, "and no other"


def test_the_archive_holds_no_key_and_nothing_of_the_machine(made: Made) -> None:
    import tarfile

    with tarfile.open(made.archive) as tar:
        held = b"".join(f.read() for m in tar if (f := tar.extractfile(m)) is not None)
        names = " ".join(tar.getnames())
    assert KEY.encode() not in held
    assert str(made.folder).encode() not in held
    assert str(made.folder) not in names
