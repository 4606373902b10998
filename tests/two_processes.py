"""One training in two processes, as a launcher starts them: forks of a process that has imported torch and trl, as nothing that torchrun starts has."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.trainers import distributed, worker
from dreamframe.trainers.job import TrainJob

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the last bits of a sum depend on it
PRELOAD = ["torch", "trl.trainer.sft_trainer", "trl.trainer.dpo_trainer", "accelerate"]


def work_as(rank: int, port: int, spec: str) -> None:
    """One of two workers."""
    import torch

    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.dup2(os.pipe()[0], 0)  # a standard input that does not end
    os._exit(worker.main(spec))


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def train_in_two(trainer: Any, rows: dict[str, list[Any]], folder: Path, *, base: Path, validation: dict[str, list[Any]] | None = None) -> dict[str, Any]:
    """The summary of a training; what it keeps lies in `folder / "out"`. Raises its error."""
    folder.mkdir(exist_ok=True)
    job = TrainJob(rows=folder / "rows.arrow", workdir=folder, out=folder / "out", base=base)
    job.checkpoints.mkdir(exist_ok=True)
    pl.DataFrame(rows).write_ipc(job.rows, compat_level=pl.CompatLevel.oldest())
    if validation is not None:
        job.validation = folder / "validation.arrow"
        pl.DataFrame(validation).write_ipc(job.validation, compat_level=pl.CompatLevel.oldest())
    spec = folder / "spec.json"
    spec.write_text(json.dumps(distributed.spec_of(trainer, job)))
    (folder / "workers.log").touch()
    server, port = multiprocessing.get_context("forkserver"), free_port()
    server.set_forkserver_preload(PRELOAD)
    workers = [server.Process(target=work_as, args=(rank, port, str(spec))) for rank in range(2)]
    for process in workers:
        process.start()
    for process in workers:
        process.join(100)
        process.kill()
    return distributed.result_of(trainer, job, workers[0].exitcode)


SHARED: dict[str, Any] = {"steps": 3, "batch_size": 4, "learning_rate": 1e-2, "device": "cpu"}


def shared_rows() -> dict[str, list[str]]:
    return {"prompt": [f"tell me about {w} {i}" for i, w in enumerate(["tea", "bread", "lamp", "kettle"] * 2)]}
