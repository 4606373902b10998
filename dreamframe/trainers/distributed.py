"""One training in several processes: torch.distributed.run starts the workers; only JSON and Arrow files cross."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

from dreamframe import errors
from dreamframe.errors import SettingError, TrainingError
from dreamframe.models.authority import Authority
from dreamframe.models.base import Artefact
from dreamframe.models.local.devices import WORKER
from dreamframe.trainers.base import Chained
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.meeting import met, started
from dreamframe.trainers.ranks import Ranks

POLL_S = 0.2
LOST_S = 3.0  # how long a training that failed waits to hear that another rank's worker was killed
PATHS = ("rows", "workdir", "out", "validation", "base", "adapter")


class Distributed(Protocol):
    """Settings of a training that several processes share: a dataclass, of an importable module."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def label(self) -> str: ...

    @property
    def processes(self) -> int: ...

    @property
    def device(self) -> Any:
        """A tuple of devices, one for each process; else None or one device."""
        ...

    @property
    def base_name(self) -> str | None: ...

    def fit(self, job: TrainJob) -> dict[str, Any]:
        """Train in this process, as one of several."""
        ...


def launch(settings: Distributed, job: TrainJob) -> dict[str, Any]:
    """Train with `settings.processes` processes. They end with this one, however it ends; a stop or a kill leaves their last checkpoint."""
    spec = _spec_file(settings, job)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={settings.processes}"]
    command += ["-m", "dreamframe.trainers.worker", str(spec)]
    with (
        (job.workdir / "workers.log").open("wb") as log,
        # The workers watch their standard input: its end is the end of this process.
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=_environment(settings)) as workers,
    ):
        try:
            _follow(workers, job)
        finally:
            if workers.stdin:
                workers.stdin.close()
    return result_of(settings, job, workers.returncode)


def launch_on_ranks(settings: Distributed, job: TrainJob, ranks: Ranks) -> dict[str, Any]:
    """Train with one process for each rank that a launcher started; this is rank 0. They end as those of `launch` do."""
    spec = _spec_file(settings, job)
    meeting = met(ranks)
    told = meeting.begin_training(spec)
    with (job.workdir / "workers.log").open("wb") as log, started(spec, meeting.environment(told), log) as worker:
        try:
            lost = _follow(worker, job, meeting.lost)
        finally:
            if worker.stdin and not worker.stdin.closed:
                worker.stdin.close()
    deadline = time.monotonic() + LOST_S
    while lost is None and worker.returncode and time.monotonic() < deadline:  # an error here may be that the other is gone
        lost = meeting.lost()
        time.sleep(POLL_S / 2)
    if lost is not None and (lost["code"] != 1 or not (job.workdir / "result.json").exists()):  # one that raised has written what
        raise TrainingError(f"{settings.label}: {lost['error']}")
    return result_of(settings, job, worker.returncode)


def _spec_file(settings: Distributed, job: TrainJob) -> Path:
    """A training as a file, in a folder without what an earlier one said."""
    for name in ("progress.jsonl", "result.json", "stop"):
        (job.workdir / name).unlink(missing_ok=True)
    spec = job.workdir / "spec.json"
    spec.write_text(json.dumps(spec_of(settings, job), indent=1))
    return spec


def is_elsewhere(device: Any) -> bool:
    """Whether one GPU is asked for that is not the first: the library would take the first, so a process that sees no other trains."""
    return isinstance(device, str) and device.startswith("cuda:") and device != "cuda:0"


def _follow(workers: subprocess.Popen[bytes], job: TrainJob, lost: Callable[[], dict[str, Any] | None] = lambda: None) -> dict[str, Any] | None:
    """Hand on progress and stops until the workers end. Ends them where another rank has lost its own, and tells how it ended."""
    how: dict[str, Any] | None = None
    seen = job.workdir / "progress.jsonl"
    seen.touch()
    with seen.open() as lines:
        running = True
        while running:
            try:
                workers.wait(POLL_S)
                running = False
            except subprocess.TimeoutExpired:
                pass
            if job.stop.is_set():
                (job.workdir / "stop").touch()
            _report(lines, job)
            if running and how is None and (how := lost()) is not None and workers.stdin:
                workers.stdin.close()
    return how


def _report(lines: IO[str], job: TrainJob) -> None:
    while line := lines.readline():
        if not line.endswith("\n"):  # still being written
            lines.seek(lines.tell() - len(line.encode()))
            return
        job.progress(json.loads(line))


def result_of(settings: Distributed, job: TrainJob, code: int | None) -> dict[str, Any]:
    """The summary that the processes left, or their error raised here."""
    file = job.workdir / "result.json"
    if not file.exists():
        tail = (job.workdir / "workers.log").read_text(errors="replace")[-2000:]
        raise TrainingError(f"{settings.label}: the worker processes ended with code {code} and no result. Their last output:\n{tail}")
    result = json.loads(file.read_text())
    job.notes.extend(result["notes"])
    if "error" in result:
        kind = getattr(errors, result["error"], TrainingError)
        raise (kind if issubclass(kind, errors.DreamframeError) else TrainingError)(result["message"])
    return dict(result["summary"])


def _environment(settings: Distributed) -> dict[str, str]:
    own = {WORKER: "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "HF_HUB_DISABLE_TELEMETRY": "1"}
    if "OMP_NUM_THREADS" not in os.environ:
        own["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // settings.processes))
    named = settings.device if isinstance(settings.device, tuple) else (settings.device,)
    if named[0] is not None and named[0].startswith("cuda"):
        seen = [v for v in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if v]  # numbers count within what this process may see
        numbers = [int(d.partition(":")[2] or i) for i, d in enumerate(named)]
        own["CUDA_VISIBLE_DEVICES"] = ",".join(seen[n] if n < len(seen) else str(n) for n in numbers)
    return {**os.environ, **own}


def spec_of(settings: Distributed, job: TrainJob) -> dict[str, Any]:
    """A training as JSON."""
    kept = {f.name: plain(getattr(settings, f.name), f.name) for f in fields(settings) if f.name != "base"}
    kept["base"] = settings.base_name
    paths = {name: str(path) if (path := getattr(job, name)) else None for name in PATHS}
    return {"trainer": f"{type(settings).__module__}:{type(settings).__qualname__}", "fields": kept, "job": paths}


def from_spec(spec: Mapping[str, Any]) -> tuple[Distributed, TrainJob]:
    """The training that `spec_of` wrote."""
    cls = imported(spec["trainer"])
    held = {name: restored(value) for name, value in spec["fields"].items()}
    paths = {name: Path(path) if path else None for name, path in spec["job"].items()}
    held["base"] = held["base"] or spec["job"]["base"]  # weights without a public name, by where they lie
    return cls(**held), TrainJob(**paths)  # type: ignore[arg-type]


def plain(value: Any, name: str) -> Any:
    """A setting as JSON: numbers and text as they are, functions by their import path, trained models by their folder."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, tuple):
        return {"tuple": [plain(v, name) for v in value]}
    if isinstance(value, Artefact):
        return {"artefact": [value.path, value.key]}
    if isinstance(value, Chained):
        return {"chained": [plain(value.artefact, name), plain(value.base, name)]}
    if isinstance(value, Authority):
        return {"authority": list(value.listed)}
    path = f"{getattr(value, '__module__', '')}:{getattr(value, '__qualname__', '')}"
    if callable(value) and "<" not in path and not path.startswith("__main__"):
        return {"function": path}
    raise SettingError(f"{name}={value!r} cannot cross to several processes; give a function of an importable module, or train with processes=1.")


def restored(value: Any) -> Any:
    """What `plain` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "tuple":
        return tuple(restored(v) for v in held)
    if kind == "artefact":
        return Artefact(*held)
    if kind == "chained":
        return Chained(restored(held[0]), restored(held[1]))
    return Authority(tuple(held)) if kind == "authority" else imported(held)


def imported(path: str) -> Any:
    """`module:name` as an object."""
    module, _, name = path.partition(":")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found
