"""Ray, with workers, machines and replicas that die: the run ends with all rows, and nothing that was answered is asked again."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.base import Client
from dreamframe.models.request import Completion, Request
from dreamframe.testing import Fake, FakeClient
from tests.engines.on_ray import CPUS, cluster

N = 600
ROWS = pl.DataFrame({"v": range(N)})
MADE = {"w": pl.Int64, "process": pl.Int64}
FEW = 8  # rows that walk together
LLM = dr.testing.Echo(concurrency=16)


def slow(row: dict[str, Any]) -> dict[str, Any]:
    """Takes some milliseconds, and tells where it was done."""
    time.sleep(0.004)
    return {"w": row["v"] * 2, "process": os.getpid()}


def deadly(row: dict[str, Any]) -> dict[str, Any]:
    if row["v"] == 300:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"w": row["v"]}


@dataclass(frozen=True)
class Fragile(Fake):
    """A model of this process that breaks at its 100th request, and tells which process has answered."""

    model: str = "fragile"
    most: int = 100
    provider: ClassVar[str] = "fragile"

    def open(self) -> Client:
        return FragileClient(self)

    def unload(self) -> bool:
        return False

    def reply(self, request: Request) -> Completion:
        return Completion(str(os.getpid()), model=self.model)


class FragileClient(FakeClient):
    def __init__(self, llm: Fragile) -> None:
        super().__init__(llm)
        self._asked = itertools.count(1)
        self._most = llm.most

    async def complete(self, request: Request) -> Completion:
        if next(self._asked) == self._most:
            raise RuntimeError("device-side assert triggered")
        return await super().complete(request)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    with cluster() as made:
        yield made


@pytest.fixture(scope="module")
def engine(nodes: Any) -> dr.RayEngine:
    return dr.RayEngine(workers=2)


def worked(rows: dr.Frame) -> dr.Frame:
    """A plan that asks, calls a function, and asks about what that gave."""
    asked = rows.prompt(LLM, "Say {v}", into="said")
    made = asked.map(slow, schema=MADE)
    return made.prompt(LLM, "Double {w}", into="doubled")


def expected() -> pl.DataFrame:
    with dr.Session(None) as here:
        return here.collect(worked(dr.frame(ROWS))).drop("process")


def killed_half_way(engine: dr.RayEngine, session: dr.Session, kill: Any) -> pl.DataFrame:
    """The rows of a run in which `kill` is called, once, with the processes that were seen in the first rows."""
    parts: list[pl.DataFrame] = []
    seen: set[int] = set()
    for batch in session.batches(worked(dr.frame(ROWS))):
        parts.append(batch)
        new = set(batch["process"])
        if kill is not None and len(seen | new) > 1:
            kill(seen | new)
            kill = None
        seen |= new
    assert kill is None
    return pl.concat(parts)


def test_a_worker_that_is_killed_loses_no_row_and_no_answer(engine: dr.RayEngine, tmp_path: Path):
    with dr.Session(tmp_path, engine=engine, batch_rows=FEW) as session:
        rows = killed_half_way(engine, session, lambda seen: os.kill(min(seen), signal.SIGKILL))
        assert rows.drop("process").equals(expected())
        counted = {step.label: (step.calls, step.cached) for step in session.runs()[-1].steps}
    assert counted["said"] == counted["doubled"] == (N, 0)
    with dr.Session(None, engine=engine) as session:
        after = session.collect(dr.frame(ROWS).map(slow, schema=MADE))["process"].unique()
    assert len(after) == 2, "another one was started"
    assert len(set(after) & set(rows["process"])) == 1


def test_rows_that_kill_every_worker_end_the_run_and_are_named(engine: dr.RayEngine):
    plan = dr.frame(ROWS).map(deadly, schema={"w": pl.Int64})
    with dr.Session(None, engine=engine, batch_rows=100) as session, pytest.raises(dr.errors.RunError, match=r"map: 4 workers on Ray died .* 100 rows"):
        session.collect(plan)
    with dr.Session(None, engine=engine) as session:
        assert session.collect(dr.frame(ROWS).map(slow, schema=MADE)).height == N, "the engine is as good as new"


def test_a_replica_that_breaks_at_its_hundredth_request_loses_no_row(engine: dr.RayEngine, tmp_path: Path):
    with dr.Session(tmp_path, engine=engine) as session:
        rows = session.collect(dr.frame(ROWS.head(250)).prompt(Fragile(), "Say {v}", into="by"))
        assert session.usage()["calls"] == 250
    assert rows["by"].null_count() == 0
    assert rows["by"].n_unique() >= 2, "another replica took its place"
    assert str(os.getpid()) not in rows["by"]


def test_a_request_that_breaks_every_replica_fails_alone(engine: dr.RayEngine):
    with dr.Session(None, engine=engine) as session:
        plan = dr.frame(ROWS.head(1)).prompt(Fragile(most=1), "Say {v}", into="by", on_error="null")
        assert session.collect(plan)["by"].to_list() == [None]
        assert "device-side assert triggered; so did 3 replicas" in session.failures(plan)["message"][0]


def test_a_replica_that_is_killed_loses_no_row(tmp_path: Path, engine: dr.RayEngine):
    seen: set[str] = set()
    with dr.Session(tmp_path, engine=engine, batch_rows=FEW) as session:
        parts = []
        for batch in session.batches(dr.frame(ROWS).prompt(Fragile(most=10_000), "Say {v}", into="by")):
            if not seen:
                os.kill(int(batch["by"][0]), signal.SIGKILL)
            seen |= set(batch["by"])
            parts.append(batch)
    assert pl.concat(parts)["v"].to_list() == list(range(N))
    assert len(seen) == 2


@pytest.mark.models
def test_a_model_in_process_answers_as_here_from_replicas(engine: dr.RayEngine):
    from tests.micro import micro_causal

    plan = dr.frame(ROWS.head(12)).prompt(dr.Transformers(str(micro_causal()), max_tokens=4, temperature=0, device="cpu"), "Say {v}", into="said")
    with dr.Session(None) as here, dr.Session(None, engine=engine) as there:
        assert there.collect(plan).equals(here.collect(plan))
        assert there.usage()["calls"] == 12


def test_an_error_of_the_run_is_the_same_as_here(engine: dr.RayEngine):
    plan = dr.frame(ROWS.head(20)).prompt(dr.testing.Echo(), "Say {v}", into="said")
    told = []
    for there in ("local", engine):
        with dr.Session(None, engine=there, budget=0.01, prices={"echo": (1000.0, 1000.0)}) as session, pytest.raises(dr.errors.BudgetExceededError) as failed:
            session.collect(plan)
        with dr.Session(None, engine=there, offline=True) as session, pytest.raises(dr.errors.DreamframeError) as offline:
            session.collect(plan)
        told.append((str(failed.value), str(offline.value)))
    assert told[0] == told[1]


def test_a_function_that_raises_fails_its_row_alone(engine: dr.RayEngine):
    def halves(row: dict[str, Any]) -> dict[str, Any]:
        return {"w": 60 // (row["v"] - 3)}

    plan = dr.frame(ROWS.head(9)).map(halves, schema={"w": pl.Int64}, on_error="null")
    told = []
    for there in ("local", engine):
        with dr.Session(None, engine=there) as session:
            told.append((session.collect(plan).rows(), session.failures(plan).rows()))
    assert told[0] == told[1]
    assert len(told[0][1]) == 1


def test_a_function_that_cannot_be_sent_runs_here_and_the_user_is_told(engine: dr.RayEngine):
    lock = threading.Lock()  # nothing pickles one

    def located(row: dict[str, Any]) -> dict[str, Any]:
        with lock:
            return {"process": os.getpid()}

    plan = dr.frame(ROWS.head(3)).map(dr.versioned(located, version="1", depends=[]), schema={"process": pl.Int64})
    with dr.Session(None, engine=engine) as session, pytest.warns(dr.RunWarning, match="cannot be sent there"):
        assert set(session.collect(plan)["process"]) == {os.getpid()}


SCRIPT = """
import os, sys, time
import polars as pl
import dreamframe as dr

def halved(row):
    time.sleep(0.005)
    return {"w": row["v"] // 2, "here": os.getpid() == MAIN}

MAIN = os.getpid()
plan = dr.frame({"v": list(range(400))}).prompt(dr.testing.Echo(), "Say {v}", into="said")
if __name__ == "__main__":
    with dr.Session("output", engine="ray", progress=False, batch_rows=16) as session:
        n = 0
        made = plan.map(halved, schema={"w": pl.Int64, "here": pl.Boolean})
        for batch in session.batches(made):
            n += batch.height
            assert not batch["here"].any()
            print(n, session.usage()["calls"], flush=True)
    import ray
    print("own", ray.is_initialized(), flush=True)
"""


@pytest.fixture
def alone(tmp_path: Path) -> list[str]:
    """How a script is run that starts a Ray of its own: where nothing leaves the machine, if the system lets us."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py")]
    can = subprocess.run(["unshare", "-n", "true"], capture_output=True, check=False).returncode == 0
    return ["unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *command] if can else command


def test_a_script_starts_its_own_ray_is_interrupted_and_goes_on(alone: list[str], tmp_path: Path):
    root = str(Path(__file__).resolve().parents[2])
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"} | {"PYTHONPATH": root}
    started = subprocess.Popen(alone, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert started.stdout is not None
    for line in started.stdout:
        if int(line.split()[0]) >= 48:
            break
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does
    _, said = started.communicate(timeout=60)
    assert started.returncode != 0
    assert "KeyboardInterrupt" in said
    done = subprocess.run(alone, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    *_, last, own = done.stdout.splitlines()
    n, calls = map(int, last.split())
    assert n == 400
    assert calls < 352, "what was answered before is not asked again"
    assert own == "own True"


def test_a_machine_that_goes_away_loses_no_row(tmp_path: Path, engine: dr.RayEngine, nodes: Any):
    machine, _ = (nodes.add_node(num_cpus=CPUS) for _ in range(2))
    spread = dr.RayEngine(workers=2, cpus=CPUS)  # one on each of them: there is no room for another one
    with dr.Session(tmp_path, engine=spread, batch_rows=FEW) as session:
        rows = killed_half_way(spread, session, lambda seen: nodes.remove_node(machine, allow_graceful=False))
        assert rows.drop("process").equals(expected())
        assert rows["process"].n_unique() == 2
        assert session.usage()["calls"] == 2 * N
