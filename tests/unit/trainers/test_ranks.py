"""What the environment of a launcher says about a process, and trainings that launched processes cannot share."""

from __future__ import annotations

from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.trainers.ranks import Ranks, first_node, launched, refused

TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}
SLURM = {"SLURM_PROCID": "5", "SLURM_NTASKS": "8", "SLURM_LOCALID": "1", "SLURM_STEP_ID": "0", "SLURM_JOB_ID": "123456"}
SLURM |= {"SLURM_JOB_NODELIST": "gpu[007-008]"}


def test_torchrun_says_who_this_process_is() -> None:
    assert launched(TORCHRUN) == Ranks(3, 4, 1, 2, "node1", 29500, "torchrun", " 0")
    again = launched({**TORCHRUN, "TORCHELASTIC_RUN_ID": "a", "TORCHELASTIC_RESTART_COUNT": "1"})
    assert again is not None
    assert again.run == "a 1"  # what was said before the restart is not heard


def test_slurm_says_who_this_process_is() -> None:
    assert launched({**SLURM, "SLURM_NTASKS_PER_NODE": "4(x2)"}) == Ranks(5, 8, 1, 4, "gpu007", 18456, "srun", "123456 0 0")
    step = {"SLURM_STEP_NODELIST": "gpu008", "SLURM_STEP_NUM_TASKS": "7"}
    for own in ({"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000"}, {"CUDA_VISIBLE_DEVICES": "1"}, step):
        seen = launched({**SLURM, **own})
        assert seen is not None
        assert (seen.address, seen.port) == (("10.0.0.1", 4000) if "MASTER_ADDR" in own else ("gpu008" if "SLURM_STEP_NODELIST" in own else "gpu007", 18456))
        assert seen.local_rank == (0 if "CUDA_VISIBLE_DEVICES" in own else 1)  # a task that sees one GPU sees it as the first
        assert seen.n == (7 if "SLURM_STEP_NUM_TASKS" in own else 8)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {**TORCHRUN, "WORLD_SIZE": "1"},
        {**SLURM, "SLURM_NTASKS": "1"},
        {k: v for k, v in SLURM.items() if k != "SLURM_STEP_ID"},
        {**TORCHRUN, "DREAMFRAME_WORKER": "1"},
    ],
    ids=["no launcher", "torchrun of one", "srun of one", "a batch script", "a worker of a training"],
)
def test_a_process_alone_is_no_rank(environ: dict[str, str]) -> None:
    assert launched(environ) is None


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({**TORCHRUN, "RANK": "first"}, "RANK='first' is no number"),
        ({"RANK": "0", "WORLD_SIZE": "2"}, "set MASTER_ADDR and MASTER_PORT"),
        ({k: v for k, v in SLURM.items() if k != "SLURM_JOB_NODELIST"}, "neither SLURM_JOB_NODELIST nor MASTER_ADDR"),
    ],
)
def test_an_environment_that_says_too_little_is_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        launched(environ)


@pytest.mark.parametrize(("nodes", "first"), [("a", "a"), ("n[1,4-7],m2", "n1"), ("r[2-3]n[04-09]", "r2n04"), ("", "")])
def test_the_first_node_of_a_list_is_where_rank_0_runs(nodes: str, first: str) -> None:
    assert first_node(nodes) == first


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"processes": 2}, "SFT: processes=2, and torchrun started 4. Leave out processes="),
        ({"device": ["cuda:0", "cuda:1"]}, r"processes=2, and torchrun started 4"),
        ({"device": "cuda:1"}, "device='cuda:1', and torchrun gives each of its 4 processes the device of its number"),
        ({"batch_size": 6}, "batch_size=6 counts the rows of one step over all 4 processes of torchrun; give a multiple of 4"),
        ({"batch_size": 12, "args": {"gradient_accumulation_steps": 2}}, "give a multiple of 8"),
        ({"processes": 4}, None),
        ({"strategy": "fsdp", "device": "cuda"}, None),
    ],
)
def test_a_training_that_the_processes_cannot_share_is_refused(settings: dict[str, Any], said: str | None) -> None:
    ranks = launched(TORCHRUN)
    assert ranks is not None
    error = refused(ranks, dr.SFT("me/base", **settings))
    assert (error is None) == (said is None)
    if said is not None:
        with pytest.raises(SettingError, match=said):
            raise error or AssertionError
