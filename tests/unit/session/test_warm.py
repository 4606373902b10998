"""What a second run costs: it imports, reads and opens nothing that its rows do not need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from tests.loopback import Loopback

TO_IMPORT = ("asyncio", "ssl", "urllib.request", "difflib", "nanoarrow", "pyarrow", "numpy")
TO_IMPORT += tuple(f"dreamframe.{m}" for m in ("session.session", "run.execute", "plan.optimizer.rules", "plan.page", "plan.explain", "recipes", "testing"))
TO_RUN_AGAIN = ("aiohttp", "httptools", "openai", "pyarrow.compute", "rich", "pydantic")
TO_RUN_AGAIN += tuple(f"dreamframe.{m}" for m in ("frame.looking", "plan.page", "plan.picture", "run.why", "recipes", "testing", "hub.push", "trainers.local"))
PROGRAM = """
import json, sys
import dreamframe as dr
imported = sorted(sys.modules)
url, folder = sys.argv[1:]
df = dr.frame({"i": range(3)}).prompt(dr.OpenAI("m", base_url=url, api_key="k"), "{i}")
with dr.Session(folder, progress=False) as session:
    rows = df.collect()
    n_indexed = sum(map(len, session.stores.answers._generations))
    run = sorted(sys.modules)
    n_kept = len(session.stores.answers)
print(json.dumps({"imported": imported, "run": run, "rows": rows.height, "indexed": n_indexed, "kept": n_kept}))
"""


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process did that ran a plan again; the server is gone."""
    folder = tmp_path_factory.mktemp("session")
    with Loopback() as server:
        with dr.Session(folder, progress=False):
            dr.frame({"i": range(3)}).prompt(dr.OpenAI("m", base_url=server.url, api_key="k"), "{i}").collect()
        url = server.url
    env = {**os.environ, "PYTHONPATH": str(Path(dr.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", PROGRAM, url, str(folder)], capture_output=True, text=True, env=env, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("module", TO_IMPORT)
def test_importing_needs_no(module: str, again: dict[str, Any]):
    assert module not in again["imported"]


@pytest.mark.parametrize("module", TO_RUN_AGAIN)
def test_running_again_needs_no(module: str, again: dict[str, Any]):
    assert module not in again["run"]


def test_rows_of_a_stored_step_need_no_answer(again: dict[str, Any]):
    assert (again["rows"], again["indexed"], again["kept"]) == (3, 0, 3)
