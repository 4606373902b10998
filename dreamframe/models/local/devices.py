"""Whether the devices that settings name are there: a library would take another one, or the CPU, without a word."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

from dreamframe.errors import SettingError

WORKER = "DREAMFRAME_WORKER"  # in the environment of processes that a training itself starts: they see their devices alone, and are nobody's ranks


def no_device(named: str | Sequence[str] | None, *, who: str, use: str = "use what there is") -> SettingError | None:
    """The error of a device that was asked for and is not there: one or several, as torch calls them. None where all are there, or none was asked for."""
    devices = (named,) if isinstance(named, str) else tuple(named or ())
    for kind in dict.fromkeys(device.partition(":")[0] for device in devices):
        if kind not in ("cuda", "mps", "xpu") or importlib.util.find_spec("torch") is None:  # "auto", "cpu", what plugins of torch bring
            continue
        of_kind = [device for device in devices if device.partition(":")[0] == kind]
        n = _count(kind)
        if n < _wanted(of_kind):
            shown = repr(devices[0]) if len(devices) == 1 else list(devices)
            there = f"this machine has {n} {kind} device{'s' * (n != 1)}" if n else f"torch {_torch().__version__} sees no {kind} device here"
            return SettingError(f"{who}: device={shown}, but {there}. Leave out device= to {use}.")
    return None


def no_gpu_layers(gpu_layers: int | None, *, who: str) -> SettingError | None:
    """The error of layers on a GPU where llama.cpp sees none."""
    if not gpu_layers:
        return None
    try:
        import xllamacpp
    except ImportError:  # said elsewhere, with how to install it
        return None
    if any("GPU" in str(device.get("type", device)) for device in xllamacpp.get_device_info()):
        return None
    return SettingError(f"{who}: gpu_layers={gpu_layers}, but llama.cpp sees no GPU here. Leave out gpu_layers= to use what there is.")


def _count(kind: str) -> int:
    torch = _torch()
    if kind == "cuda":
        return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0
    if kind == "mps":
        return int(torch.backends.mps.is_available())
    return int(torch.xpu.device_count()) if torch.xpu.is_available() else 0


def _wanted(devices: Sequence[str]) -> int:
    """How many of their kind there must be. A process that was started for its devices sees these alone, so their numbers say nothing."""
    if WORKER in os.environ:
        return len(devices)
    return 1 + max(int(number) if (number := device.partition(":")[2]).isdecimal() else 0 for device in devices)


def _torch() -> Any:
    import torch

    return torch
