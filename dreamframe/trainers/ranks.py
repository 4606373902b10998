"""The place of this process among those that torchrun or Slurm started for one script: its rank, how many there are, and where they meet."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dreamframe.errors import SettingError
from dreamframe.models.local.devices import WORKER

FIRST_PORT, PORTS = 15000, 10000  # of a Slurm job, by its number, where MASTER_PORT says nothing else


@dataclass(frozen=True)
class Ranks:
    """The processes that a launcher started for one script, as one of them sees them."""

    rank: int  # of this process, from 0; 0 leads: it alone asks models and writes to the session
    n: int  # processes in total
    local_rank: int  # among those of this machine: the number of its device
    n_local: int
    address: str  # where rank 0 runs
    port: int
    launcher: str  # "torchrun" | "srun"
    run: str = ""  # tells a script that was started again from its first start

    @property
    def leads(self) -> bool:
        return self.rank == 0


def launched(environ: Mapping[str, str] | None = None) -> Ranks | None:
    """The place of this process. None where it is the only one, or one that a training started.

    torchrun (and whatever else sets them) says RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; Slurm says SLURM_PROCID, SLURM_NTASKS,
    SLURM_LOCALID and SLURM_JOB_NODELIST. Raises SettingError for what is no number, and where nothing says how to meet.

    >>> launched({"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}).rank
    1
    >>> launched({"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0", "SLURM_JOB_ID": "77",
    ...           "SLURM_JOB_NODELIST": "gpu[007-008]", "SLURM_NTASKS_PER_NODE": "4"}).address
    'gpu007'
    """
    env = os.environ if environ is None else environ
    if WORKER in env:
        return None
    if "RANK" in env and "WORLD_SIZE" in env:
        return _by_torchrun(env)
    if "SLURM_PROCID" in env and "SLURM_STEP_ID" in env:  # a batch script has a number, too, and is started once
        return _by_slurm(env)
    return None


def _by_torchrun(env: Mapping[str, str]) -> Ranks | None:
    n, rank = _number(env, "WORLD_SIZE"), _number(env, "RANK")
    if n == 1:
        return None
    if not env.get("MASTER_ADDR") or not env.get("MASTER_PORT"):
        raise SettingError(f"RANK={rank} and WORLD_SIZE={n}: nothing says where these processes meet; set MASTER_ADDR and MASTER_PORT, as torchrun does.")
    run = f"{env.get('TORCHELASTIC_RUN_ID', '')} {env.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    local, n_local = _number(env, "LOCAL_RANK", "0"), _number(env, "LOCAL_WORLD_SIZE", "1")
    return Ranks(rank, n, local, n_local, env["MASTER_ADDR"], _number(env, "MASTER_PORT"), "torchrun", run)


def _by_slurm(env: Mapping[str, str]) -> Ranks | None:
    n, rank = _number(env, "SLURM_STEP_NUM_TASKS", env.get("SLURM_NTASKS", "1")), _number(env, "SLURM_PROCID")
    if n == 1:
        return None
    nodes = env.get("SLURM_STEP_NODELIST") or env.get("SLURM_JOB_NODELIST") or env.get("SLURM_NODELIST") or ""
    address = env.get("MASTER_ADDR") or first_node(nodes)
    if not address:
        raise SettingError(f"SLURM_PROCID={rank} of {n} tasks, and neither SLURM_JOB_NODELIST nor MASTER_ADDR says where rank 0 runs: set MASTER_ADDR.")
    job = _number(env, "SLURM_JOB_ID", "0")
    port = _number(env, "MASTER_PORT", str(FIRST_PORT + job % PORTS))
    # Tasks that see one GPU each see it as the first.
    local = 0 if len(seen := env.get("CUDA_VISIBLE_DEVICES", "").split(",")) == 1 and seen[0] else _number(env, "SLURM_LOCALID", "0")
    n_local = _number(env, "SLURM_NTASKS_PER_NODE", str(n))
    return Ranks(rank, n, local, n_local, address, port, "srun", f"{job} {env['SLURM_STEP_ID']} {env.get('SLURM_RESTART_COUNT', '0')}")


def refused(ranks: Ranks, settings: Any) -> SettingError | None:
    """The error of a training that the launched processes cannot share."""
    who, n, by = settings.label, ranks.n, ranks.launcher
    if settings.processes not in (1, n):
        return SettingError(f"{who}: processes={settings.processes}, and {by} started {n}. Leave out processes=, or start as many.")
    if isinstance(settings.device, tuple) or ":" in (settings.device or ""):
        named = list(settings.device) if isinstance(settings.device, tuple) else settings.device
        return SettingError(f"{who}: device={named!r}, and {by} gives each of its {n} processes the device of its number; leave out device=, or give 'cpu'.")
    shares = n * int(settings.settings().get("gradient_accumulation_steps", 1))
    if settings.batch_size % shares:
        return SettingError(f"{who}: batch_size={settings.batch_size} counts the rows of one step over all {n} processes of {by}; give a multiple of {shares}.")
    return None


def first_node(nodes: str) -> str:
    """The first host of a list as Slurm writes it.

    >>> first_node("gpu[007-012,020],cpu1"), first_node("a1,a2"), first_node("rack2-n[3,5]-ib")
    ('gpu007', 'a1', 'rack2-n3-ib')
    """
    first = re.match(r"[^,\[]*(?:\[[^\]]*\][^,\[]*)*", nodes)
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", first.group() if first else "").strip()


def _number(env: Mapping[str, str], name: str, default: str | None = None) -> int:
    held = env.get(name, default)
    if held is None or not held.partition("(")[0].isdecimal():  # 4(x2): so many on each of two nodes
        raise SettingError(f"{name}={held!r} is no number, and says the place of this process among those of a training; start it with torchrun or srun.")
    return int(held.partition("(")[0])
