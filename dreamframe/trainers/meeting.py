"""Where the processes of one script meet: rank 0 says what it has done and what is to be trained, the others wait for it and train with it."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dreamframe.errors import MissingExtraError, TrainingError
from dreamframe.models.local.devices import WORKER
from dreamframe.trainers.ranks import Ranks

POLL_S = 0.1
JOIN_S = 600.0  # how long a training waits for ranks that have not come to it
LEAVE_S = 60.0  # how long rank 0 stays at its end for ranks that have not ended
GONE = "gone"  # what a rank says when its script has ended


class Meeting:
    """The store that torchrun keeps, or one that rank 0 keeps, as one rank sees it."""

    def __init__(self, ranks: Ranks) -> None:
        from datetime import timedelta

        try:
            from torch.distributed import PrefixStore, TCPStore
        except ImportError as exc:
            raise MissingExtraError("torch", extra="train", needed_for=f"a script that {ranks.launcher} starts {ranks.n} times") from exc

        self.ranks = ranks
        has_agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
        try:
            store = TCPStore(ranks.address, ranks.port, is_master=ranks.leads and not has_agent, wait_for_workers=False, timeout=timedelta(seconds=JOIN_S))
        except RuntimeError as exc:
            raise TrainingError(
                f"rank {ranks.rank} of {ranks.n} cannot meet the others at {ranks.address}:{ranks.port} ({_line(exc)}). "
                "Is rank 0 there, and is the port open? MASTER_ADDR and MASTER_PORT name another."
            ) from exc
        self._store = PrefixStore(f"dreamframe {ranks.run}", store)
        self._at_end: list[Callable[[], None]] = []
        self._n_trained = 0
        self._n_seen: dict[str, int] = {}
        self._ended_well: dict[str, dict[str, Any]] = {}

    def say(self, key: str, told: Mapping[str, Any]) -> None:
        """Tell all ranks something under a key. Only the first time it is told counts."""
        self._store.set(key, json.dumps(dict(told)))

    def told(self, key: str) -> dict[str, Any] | None:
        """What was told under a key; None where nothing was so far. Raises TrainingError where rank 0 is gone."""
        try:
            return dict(json.loads(self._store.get(key))) if self._store.check([key]) else None
        except RuntimeError as exc:
            raise TrainingError(f"rank {self.ranks.rank} of {self.ranks.n}: rank 0 is gone ({_line(exc)}).") from exc

    # A plan: run by rank 0, waited for by the others

    def ran(self, plan: str, told: Mapping[str, Any]) -> None:
        """Tell the others how a plan ended."""
        n = self._n_seen[plan] = self._n_seen.get(plan, 0) + 1
        self.say(f"plan {plan} {n}", told)

    def wait_for(self, plan: str) -> dict[str, Any]:
        """How rank 0 ended a plan, at its n-th run where this is the n-th time; one that ended well is not waited for again. Trains with it meanwhile."""
        if (known := self._ended_well.get(plan)) is not None:
            return known
        n = self._n_seen[plan] = self._n_seen.get(plan, 0) + 1
        while (found := self.told(f"plan {plan} {n}")) is None:
            if (spec := self.told(f"train {self._n_trained + 1}")) is not None:
                self._n_trained += 1
                self._take_part(spec)
            elif self.told(f"{GONE} 0") is not None and self.told(f"plan {plan} {n}") is None:
                raise TrainingError(
                    f"rank {self.ranks.rank} of {self.ranks.n} waits for a plan that rank 0 has ended without running. All processes that "
                    f"{self.ranks.launcher} starts run the same script; parts of a plan for processes of their own are `session.run_shard`."
                )
            else:
                time.sleep(POLL_S)
        if "error" not in found:
            self._ended_well[plan] = found
        return found

    def at_end(self, work: Callable[[], None]) -> None:
        """Do something when this script ends and no rank needs anything of it."""
        self._at_end.append(work)

    def leave(self) -> None:
        """Say that this script has ended. Rank 0 stays until the others have what they were told of."""
        deadline = time.monotonic() + LEAVE_S
        with contextlib.suppress(RuntimeError, TrainingError):
            self.say(f"{GONE} {self.ranks.rank}", {})
            while self.ranks.leads and not self._store.check([f"{GONE} {rank}" for rank in range(self.ranks.n)]) and time.monotonic() < deadline:
                time.sleep(POLL_S)
        for work in self._at_end:
            work()

    # A training: one worker for each rank

    def begin_training(self, spec: Path) -> dict[str, Any]:
        """Have all ranks start their workers, and say what they are told. Raises TrainingError where a rank does not come, or cannot."""
        self._n_trained += 1
        with socket.create_server(("", 0)) as free:
            told: dict[str, Any] = {"spec": str(spec), "port": free.getsockname()[1]}
        self.say(f"train {self._n_trained}", told)
        deadline, missing = time.monotonic() + JOIN_S, set(range(1, self.ranks.n))
        while missing:
            for rank in sorted(missing):
                if (came := self.told(f"train {self._n_trained} joined {rank}")) is not None:
                    if came["error"]:
                        raise TrainingError(came["error"])
                    missing.discard(rank)
                elif self.told(f"{GONE} {rank}") is not None:
                    raise TrainingError(f"rank {rank} of {self.ranks.n} has ended without coming to this training. All ranks must run the same script.")
            if missing and time.monotonic() > deadline:
                raise TrainingError(f"rank {min(missing)} of {self.ranks.n} has not come to this training in {JOIN_S:.0f} s. All run the same script.")
            time.sleep(POLL_S / 5)
        return told

    def lost(self) -> dict[str, Any] | None:
        """How the worker of another rank ended, if it failed: `code` (1 where it raised) and `error`."""
        return self.told(f"train {self._n_trained} failed")

    def environment(self, told: Mapping[str, Any]) -> dict[str, str]:
        """What the worker of this rank is started with."""
        r = self.ranks
        place = {"RANK": r.rank, "WORLD_SIZE": r.n, "LOCAL_RANK": r.local_rank, "LOCAL_WORLD_SIZE": r.n_local}
        threads = os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // r.n_local)
        where = {"MASTER_ADDR": r.address, "MASTER_PORT": told["port"], "OMP_NUM_THREADS": threads, WORKER: 1}
        return {name: str(value) for name, value in {**place, **where}.items()}

    def _take_part(self, told: Mapping[str, Any]) -> None:
        """Train as one of several, in a process of its own that ends with this one."""
        spec, n, who = Path(told["spec"]), self._n_trained, f"rank {self.ranks.rank} of {self.ranks.n} on {socket.gethostname()}"
        error = "" if spec.exists() else f"{who} does not see {spec}: the folder of the session must be on a disk that all ranks share."
        self.say(f"train {n} joined {self.ranks.rank}", {"error": error})
        if error:
            return
        with (spec.parent / f"workers.{self.ranks.rank}.log").open("wb") as log:
            worker = started(spec, self.environment(told), log)
            try:
                code = worker.wait()
            finally:
                if worker.stdin:
                    worker.stdin.close()
                worker.wait()
        if code:
            tail = (spec.parent / f"workers.{self.ranks.rank}.log").read_text(errors="replace")[-2000:]
            self.say(f"train {n} failed", {"code": code, "error": f"the worker of {who} ended with code {code}. Its last output:\n{tail}"})


def started(spec: Path, environment: Mapping[str, str], log: Any) -> subprocess.Popen[bytes]:
    """The worker of one rank. It watches its standard input: its end is the end of the process that started it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC_")}
    own = {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    command = [sys.executable, "-m", "dreamframe.trainers.worker", str(spec)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env={**inherited, **own})


@functools.cache
def met(ranks: Ranks) -> Meeting:
    """The one meeting of this process."""
    meeting = Meeting(ranks)
    atexit.register(meeting.leave)
    return meeting


def _line(exc: BaseException) -> str:
    return (str(exc).splitlines() or [type(exc).__name__])[0][:200]
