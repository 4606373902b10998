"""Strangers' plans for tests: a victim's home, plans in which somebody wrote something else, and a process that reads them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr

ROOT = Path(__file__).parents[2]
KEY = "sk-CANARY-env-1234567890"
SECRET = "the content of a private file"
ROWS = {"t": ["tea", "rain"]}


def home_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and beside it what is nobody's business."""
    here = tmp_path / "work"
    for folder in (here, tmp_path / "private" / ".ssh", tmp_path / "weights"):
        folder.mkdir(parents=True)
    for name in ("id_a.txt", ".ssh/id_rsa", "picture.png"):
        (tmp_path / "private" / name).write_bytes((b"\x89PNG" if name.endswith("png") else b"") + SECRET.encode())
    (tmp_path / "weights" / "config.json").write_text(json.dumps({"hidden_size": 8, "model_type": "llama"}))
    (here / "own.txt").write_text("my own")
    (here / ".env").write_text(SECRET)
    (here / "way out").symlink_to(tmp_path / "private")
    (here / "link[1].txt").symlink_to(tmp_path / "private" / "id_a.txt")
    (here / "linked.txt").symlink_to(tmp_path / "private" / "id_a.txt")
    monkeypatch.chdir(here)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return here


def changed(text: str, *pairs: tuple[str, str]) -> str:
    """A plan in which a stranger wrote something else."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, json.dumps(new)[1:-1])
    return text


def asking(llm: Any) -> str:
    return dr.frame(ROWS).prompt(llm, "{t}", into="said").to_json()


def scanning(path: str) -> str:
    return changed(dr.scan_text("own.txt").to_json(), ("own.txt", path))


def victim(folder: Path, *attempts: dict[str, Any]) -> list[dict[str, Any]]:
    """What another process, with a key, makes of plans."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder.parent / "private"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    env |= {"OPENAI_API_KEY": KEY, "HF_HOME": str(folder.parent / "hub")}
    command = [sys.executable, "-m", "tests.faults.stranger"]
    done = subprocess.run(command, input=json.dumps(attempts), env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))
