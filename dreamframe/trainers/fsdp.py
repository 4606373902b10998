"""Trainings whose weights are parted among their processes (`strategy="fsdp"`): what is refused, the library's arguments, and gathering before writing.

Imports torch and accelerate in a training only: the checks are asked for when a plan is built.
"""

from __future__ import annotations

from typing import Any

from dreamframe.errors import SettingError

STRATEGIES = ("ddp", "fsdp")


def check_strategy(settings: Any) -> None:
    """Raise SettingError for a strategy that there is not, and for settings that cannot be trained with parted weights."""
    who, strategy = settings.label, settings.strategy
    if strategy is None:
        return
    if strategy not in STRATEGIES:
        raise SettingError(f"{who}: strategy={strategy!r} is not 'ddp' (each process has all weights) or 'fsdp' (each has its part of them).")
    if not settings.parts_weights:
        raise SettingError(f"{who}: strategy='fsdp' is not possible: {who} trains whole copies alone. Leave out strategy=; peft= and dtype= save memory.")
    if settings.quantization:
        raise SettingError(f"{who}: strategy='fsdp' parts weights, and quantised ones cannot be parted; leave out quantization= or strategy=.")
    if settings.optimizer is not None:
        raise SettingError(f"{who}: strategy='fsdp' is for the library's own optimizers; leave out optimizer=, or name one in args={{'optim': …}}.")


def no_others(settings: Any, n: int) -> SettingError | None:
    """The error of one process alone that is to part its weights."""
    if settings.strategy != "fsdp" or n > 1:
        return None
    return SettingError(
        f"{settings.label}: strategy='fsdp' parts the weights among processes, and this training has one: give processes=, device=[…, …], "
        "or start the script with torchrun or srun."
    )


def parted(made: dict[str, Any]) -> dict[str, Any]:
    """The library's arguments for parted weights: layer by layer (https://arxiv.org/abs/2304.11277), checkpoints whole."""
    recomputes = bool(made.pop("activation_checkpointing", False))
    return {**made, "fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": "FULL_STATE_DICT", "activation_checkpointing": recomputes}}


def part_on_cpu(trainer: Any) -> None:
    """Have processes of a CPU part their weights, too. The library does so on accelerators alone: on a CPU it would train whole copies without a word."""
    if not trainer.args.fsdp or trainer.is_fsdp_enabled:
        return
    from accelerate import FullyShardedDataParallelPlugin
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType

    plugin = FullyShardedDataParallelPlugin(**trainer.args.fsdp_plugin_args)
    AcceleratorState._shared_state |= {"distributed_type": DistributedType.FSDP, "fsdp_plugin": plugin}
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    trainer.is_fsdp_enabled = True


def gathered(trainer: Any) -> dict[str, Any] | None:
    """All weights of a model that is parted, on process 0; None where each process has them. Every process must call it."""
    if not trainer.is_fsdp_enabled:
        return None
    held = dict(trainer.accelerator.get_state_dict(trainer.model))
    once = {name for name, _ in trainer.model.named_parameters()}
    tied = {name for name, _ in trainer.model.named_parameters(remove_duplicate=False)} - once  # written once, as of whole copies
    return {name: tensor for name, tensor in held.items() if name not in tied}


def whole(parameter: Any) -> Any:
    """A parameter with the parts of all processes; every one of them must call it."""
    held = parameter.detach()
    return held.full_tensor() if hasattr(held, "full_tensor") else held


def own_part(parameter: Any) -> Any:
    """What this process has of a parameter."""
    held = parameter.detach()
    return held.to_local() if hasattr(held, "to_local") else held
