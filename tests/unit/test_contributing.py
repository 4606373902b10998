"""The step of CONTRIBUTING.md runs as it stands there, and its own tests pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.slow
def test_the_step_that_is_shown_passes_its_own_tests(tmp_path: Path):
    vote, its_test = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())
    (tmp_path / "vote.py").write_text(vote)
    (tmp_path / "test_vote.py").write_text(its_test)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "test_vote.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_step_that_is_shown_is_in_this_projects_style(tmp_path: Path):
    vote, its_test = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text())
    (tmp_path / "vote.py").write_text(vote)
    (tmp_path / "test_vote.py").write_text(its_test)
    command = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "I001", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
