"""One of several processes of a training: `python -m torch.distributed.run … -m dreamframe.trainers.worker spec.json`."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from dreamframe.errors import DreamframeError
from dreamframe.trainers.distributed import from_spec


class StopFile(threading.Event):
    """Set once a file exists: how the starting process says stop."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def is_set(self) -> bool:
        return self.path.exists()


def end_with_parent() -> None:
    """Leave at once when standard input ends: the process that started this training is gone."""
    while os.read(0, 4096):
        pass
    os._exit(1)


def main(path: str) -> int:
    """Train as the spec says; process 0 writes progress and result. Gives 1 for an error, so that whoever started this process ends the others."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    settings, job = from_spec(json.loads(Path(path).read_text()))
    is_first = os.environ.get("RANK", "0") == "0"
    job.stop = StopFile(job.workdir / "stop")
    with (job.workdir / "progress.jsonl").open("a", buffering=1) as lines:

        def report(seen: Mapping[str, float]) -> None:
            lines.write(json.dumps(dict(seen)) + "\n")

        if is_first:
            job.progress = report
        try:
            result: dict[str, object] = {"summary": settings.fit(job)}
        except DreamframeError as exc:
            result = {"error": type(exc).__name__, "message": str(exc)}
        except Exception as exc:  # noqa: BLE001  crosses to the starting process, which raises it
            result = {"error": "TrainingError", "message": f"{settings.label}: {type(exc).__name__}: {exc}"}
    if is_first or "error" in result:
        part = job.workdir / f"result.{socket.gethostname()}.{os.getpid()}.part"
        part.write_text(json.dumps({**result, "notes": job.notes}, default=str))
        with contextlib.suppress(FileExistsError):
            os.link(part, job.workdir / "result.json")  # the first error: those of other processes are that this one is gone
        part.unlink()
    return int("error" in result)


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
