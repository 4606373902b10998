"""The examples for clusters: short, of right syntax, and what they run is run here, as the cluster would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

import dreamframe as dr

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "examples" / "cluster"
N = 2
SHIM = f'#!/bin/bash\nPYTHONPATH="{ROOT}" exec "{sys.executable}" -m dreamframe "$@"\n'
HF = """#!/bin/bash
# jobs run: what stands behind the image runs here. Up and down: a folder is the hub.
case "$1 $2" in
    "jobs run") shift 2; while [ "$1" != me/dreamframe ]; do shift; done; shift; exec "$@" ;;
    upload*) cp -r "$3" "hub/$4" ;;
    download*) [ -f plan.json ] ;;
esac
"""


def ran(at: Path, words: list[str], **env: str) -> None:
    """Run a command where `dreamframe` and `hf` are on the path."""
    for name, text in {"dreamframe": SHIM, "hf": HF}.items():
        (at / "bin").mkdir(exist_ok=True)
        (at / "bin" / name).write_text(text)
        (at / "bin" / name).chmod(0o755)
    (at / "hub").mkdir(exist_ok=True)
    done = subprocess.run(words, cwd=at, env={**os.environ, "PATH": f"{at / 'bin'}:{os.environ['PATH']}", **env}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def slurm(at: Path) -> None:
    for i in range(N):
        ran(at, ["bash", str(CLUSTER / "slurm.sh")], SLURM_ARRAY_TASK_ID=str(i), SLURM_ARRAY_TASK_COUNT=str(N), SLURM_SUBMIT_DIR=str(at))


def kubernetes(at: Path) -> None:
    job = yaml.safe_load((CLUSTER / "kubernetes.yaml").read_text())["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert (job["completionMode"], container["env"][0]["value"]) == ("Indexed", str(job["completions"]))
    for i in range(N):
        ran(at, container["command"], JOB_COMPLETION_INDEX=str(i), SHARDS=str(N))


def hf_jobs(at: Path) -> None:
    ran(at, ["bash", str(CLUSTER / "hf_jobs.sh"), str(N)])
    assert sorted(p.name for p in (at / "hub").iterdir()) == [f"answers-{i}" for i in range(N)]


def skypilot(at: Path) -> None:
    task = yaml.safe_load((CLUSTER / "skypilot.yaml").read_text())
    for i in range(N):
        ran(at, ["bash", "-c", task["run"]], BUCKET=str(at / "hub"), SKYPILOT_NODE_RANK=str(i), SKYPILOT_NUM_NODES=str(N))


RUN: Mapping[str, Callable[[Path], None]] = {"slurm.sh": slurm, "kubernetes.yaml": kubernetes, "hf_jobs.sh": hf_jobs, "skypilot.yaml": skypilot}


def test_every_example_is_short_and_of_right_syntax():
    assert sorted(p.name for p in CLUSTER.iterdir()) == sorted(RUN)
    for path in CLUSTER.iterdir():
        assert path.read_text().count("\n") <= 25, path.name
        if path.suffix == ".sh":
            subprocess.run(["bash", "-n", path], check=True)
        else:
            assert isinstance(yaml.safe_load(path.read_text()), dict)


@pytest.mark.parametrize("name", RUN)
def test_what_an_example_runs_asks_all_shards(name: str, tmp_path: Path):
    rows = dr.frame({"t": [f"text {i}" for i in range(9)]})
    df = rows.prompt(dr.testing.Echo(), "{t}", into="a")
    (tmp_path / "plan.json").write_text(df.to_json())
    RUN[name](tmp_path)
    with dr.Session(tmp_path / "all", progress=False, offline=True) as session:
        assert session.merge(*(found.parent for found in sorted(tmp_path.glob("answers*/session.json")))).answers == 9
        assert df.collect()["a"].to_list() == rows.collect()["t"].to_list()
