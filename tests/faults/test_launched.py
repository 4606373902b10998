"""A script that is started once for each process trains as one: rank 0 asks and writes, the others are given its rows and the model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from tests.micro import micro_causal
from tests.two_processes import SHARED, free_port, shared_rows, train_in_two

pytestmark = [pytest.mark.models, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


def run_all(commands: list[list[str]]) -> None:
    """Run commands at the same time, with nothing of another launcher in their environment."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "TORCHELASTIC_")) and k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    inherited |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    running = [subprocess.Popen(command, env=inherited, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for command in commands]
    said = [process.communicate(timeout=110)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), "\n".join(said)


def given(folder: Path) -> list[dict[str, Any]]:
    """What the two ranks of the script, on two nodes of one process each, were given, with their session in `folder / "session"`."""
    reports = folder / "reports"
    reports.mkdir()
    script = [str(ROOT / "tests" / "faults" / "launched.py"), str(micro_causal()), str(folder / "session"), str(reports)]
    node = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--master-addr=127.0.0.1", f"--master-port={free_port()}", "--nproc-per-node=1"]
    run_all([[*node, f"--node-rank={i}", *script] for i in range(2)])
    return [json.loads((reports / f"{rank}.json").read_text()) for rank in range(2)]


def test_a_script_that_is_started_twice_trains_as_one(tmp_path: Path) -> None:
    first, second = given(tmp_path)
    asked = [{"prompt": p, "completion": f"no {p}"} for p in shared_rows()["prompt"]]
    assert first["rows"] == second["rows"] == asked
    assert first["path"] == second["path"]
    assert first["processes"] == second["processes"] == 2
    assert "refused by the testing model" in first["error"]
    assert second["error"] == f"rank 0 of this script: RowsFailedError: {first['error']}"
    assert (first["calls"], second["calls"]) == (8, 0)
    session = tmp_path / "session"
    assert len({log.name.split("-")[1] for log in session.glob("runs/*.jsonl")}) == 1  # one process has written them all
    assert not (session / ".ranks").exists()
    # Bitwise what two processes train that a training starts itself.
    rows = {name: [row[name] for row in asked] for name in ("prompt", "completion")}
    train_in_two(dr.SFT(str(micro_causal()), processes=2, **SHARED), rows, tmp_path / "alone", base=micro_causal())
    assert (Path(first["path"]) / "model.safetensors").read_bytes() == (tmp_path / "alone" / "out" / "model.safetensors").read_bytes()
