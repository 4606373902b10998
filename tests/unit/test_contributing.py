"""Everything that CONTRIBUTING.md shows runs as it stands there, its own tests pass, and it is in this project's style."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = dict(re.findall(r"```python (\S+)\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL))
SHOWN = [name.removesuffix(".py") for name in BLOCKS if f"test_{name}" in BLOCKS]


def test_each_of_them_has_its_test():
    assert {f"{n}.py" for n in SHOWN} | {f"test_{n}.py" for n in SHOWN} == set(BLOCKS)
    assert len(SHOWN) >= 4


@pytest.mark.slow
def test_what_is_shown_passes_its_own_tests(tmp_path: Path):
    for name, code in BLOCKS.items():
        (tmp_path / name).write_text(code)
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "."], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(code.count('def test_') for code in BLOCKS.values())} passed" in done.stdout


def test_what_is_shown_is_in_this_projects_style(tmp_path: Path):
    for name, code in BLOCKS.items():
        (tmp_path / name).write_text(code)
    command = [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "--ignore", "I001", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
