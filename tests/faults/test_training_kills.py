"""Kill -9 in the middle of a training: run again, it goes on from its last checkpoint and ends at the very same weights."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.trainers import distributed
from dreamframe.trainers.job import TrainJob
from tests.micro import micro_causal, micro_encoder
from tests.two_processes import free_port, work_as

pytestmark = pytest.mark.models

os.environ.setdefault("OMP_NUM_THREADS", "1")
STEPS = 8
TEXTS = [f"tell me about {w} {i}" for i, w in enumerate(["tea", "bread", "lamp", "kettle"] * 3)]
WORSE = [f"no {t}" for t in TEXTS]
FEW: dict[str, Any] = {"steps": STEPS, "batch_size": 4, "learning_rate": 1e-2, "device": "cpu", "checkpoint_s": 0.0}
LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.1}
PAIRS = {"prompt": TEXTS, "chosen": TEXTS, "rejected": WORSE}
PRELOAD = ["torch", "trl.trainer.sft_trainer", "trl.trainer.dpo_trainer", "trl.trainer.grpo_trainer", "trl.trainer.reward_trainer", "sentence_transformers"]


def count_e(completions: list[str]) -> list[int]:
    return [c.count("e") for c in completions]


def trained(case: str, base: str) -> dr.Model:
    """The training of a case; made alike in every process."""
    if case.startswith("sft"):
        of_case: dict[str, dict[str, Any]] = {
            "sft": {"peft": LORA}, "sft early": {"early_stopping": 5, "eval_every": 2}, "sft 2 processes": {"processes": 2}, "sft 1 process": {},
        }  # fmt: skip
        settings = of_case[case]
        rows = dr.frame({"prompt": TEXTS, "completion": WORSE})
        return rows.train(dr.SFT(base, **FEW, **settings), validation=rows.head(4) if case == "sft early" else None)
    if case == "embedder":
        return dr.frame({"anchor": TEXTS, "positive": WORSE}).train(dr.SentenceTransformerTrainer(base, **FEW))
    if case in ("dpo", "reward"):
        return dr.frame(PAIRS).train((dr.DPO if case == "dpo" else dr.Reward)(base, **FEW))
    few = {**FEW, "rewards": count_e, "max_new_tokens": 6}
    trainer = dr.GRPO(base, generations=4, **few) if case == "grpo" else dr.PPO(base, **few)
    return dr.frame({"prompt": TEXTS}).train(trainer)


def train_in_child(case: str, base: str, folder: str, is_shared_out: bool) -> None:
    import torch

    torch.set_num_threads(1)
    if is_shared_out:
        distributed.launch = left_to_others
    with dr.Session(folder):
        trained(case, base).fit()


def left_to_others(settings: distributed.Distributed, job: TrainJob) -> dict[str, Any]:
    """What torchrun starts is left to whoever started this process: forks of one that has imported torch and trl, as nothing that torchrun starts has."""
    (job.workdir / "spec.part").write_text(json.dumps(distributed.spec_of(settings, job)))
    (job.workdir / "spec.part").rename(job.workdir / "spec.json")
    while not (job.workdir / "result.json").exists():
        time.sleep(0.02)
    with (job.workdir / "progress.jsonl").open() as lines:
        distributed._report(lines, job)
    return distributed.result_of(settings, job, 0)


def workers_of(folder: Path) -> list[BaseProcess]:
    """The two processes that share a training which was left to others."""
    deadline = time.monotonic() + 120
    while not (found := list(folder.glob("models/.*.work/spec.json"))):
        assert time.monotonic() < deadline, "nothing was written down"
        time.sleep(0.02)
    port = free_port()
    workers: list[BaseProcess] = [multiprocessing.get_context("forkserver").Process(target=work_as, args=(rank, port, str(found[0]))) for rank in range(2)]
    for process in workers:
        process.start()
    return workers


def whole_checkpoints(folder: Path) -> int:
    """The newest checkpoint that was written to its end."""
    found = [int(p.parent.name.rpartition("-")[2]) for p in folder.glob("models/.*.work/checkpoints/checkpoint-*/complete.json")]
    return max(found, default=0)


def started(case: str, base: str, folder: Path, *, is_shared_out: bool = False) -> BaseProcess:
    """A process that trains. Never this one: the last bits of a sum depend on the number of threads, and other tests have set that of the threads here."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOAD)
    child = server.Process(target=train_in_child, args=(case, base, str(folder), is_shared_out))
    child.start()
    return child


def train_to_the_end(case: str, base: str, folder: Path, *, is_shared_out: bool = False) -> None:
    child = started(case, base, folder, is_shared_out=is_shared_out)
    for process in [*(workers_of(folder) if is_shared_out else []), child]:
        process.join(240)
        assert process.exitcode == 0, "what it said is in the captured stderr"


def kill_after(step: int, case: str, base: str, folder: Path) -> None:
    """Train in a process of its own, and kill -9 it once a checkpoint of `step` or later is there."""
    child = started(case, base, folder)
    deadline = time.monotonic() + 120
    while whole_checkpoints(folder) < step and child.is_alive() and time.monotonic() < deadline:
        child.join(0.005)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    assert child.exitcode == -signal.SIGKILL, "the training ended before it was killed"
    assert whole_checkpoints(folder) >= step


@pytest.mark.parametrize("case", ["sft", "sft early", "dpo", "reward", "grpo", "ppo", "embedder", "sft 2 processes"])
def test_a_killed_training_ends_at_the_same_weights(case: str, tmp_path: Path) -> None:
    base = str(micro_encoder() if case == "embedder" else micro_causal())
    step = random.Random(case).randint(2, 5)
    kill_after(step, case, base, tmp_path / "killed")
    train_to_the_end(case, base, tmp_path / "killed")
    train_to_the_end(case, base, tmp_path / "whole", is_shared_out=case == "sft 2 processes")
    with dr.Session(tmp_path / "killed") as session:
        record = trained(case, base).summary()
        resumed = weights(trained(case, base).path)
        assert session.usage()["trained"] == 0
    with dr.Session(tmp_path / "whole") as session:
        straight = weights(trained(case, base).path)
        log = trained(case, base).metrics()
        assert session.usage()["trained"] == 0
    assert record["resumed_from_step"] >= step
    assert record["steps"] == STEPS
    assert resumed == straight
    assert log["step"].max() == STEPS
    if case == "sft 2 processes":
        train_to_the_end("sft 1 process", base, tmp_path / "one")
        with dr.Session(tmp_path / "one"):
            assert furthest(trained("sft 1 process", base).path, tmp_path / "killed") < 1e-3


def furthest(folder: Path, session: Path) -> float:
    """How far the weights of a folder lie from those of the one model of a session."""
    from safetensors.torch import load_file

    (other,) = session.glob("models/*/model.safetensors")
    one, two = load_file(folder / "model.safetensors"), load_file(other)
    return max(float((one[k] - two[k]).abs().max()) for k in one)


def weights(folder: Path) -> dict[str, bytes]:
    """The bytes of every file of weights."""
    found = {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*.safetensors"))}
    assert found
    return found
