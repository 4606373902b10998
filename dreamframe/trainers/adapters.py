"""Adapters as settings: one of peft's configs, or a dict of its fields, as canonical JSON; and what of it cannot be right. Imports no peft."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any

from dreamframe.errors import SettingError
from dreamframe.trainers.config_fields import config_fields, package_folder
from dreamframe.trainers.plain_numbers import need_object

OURS = {"base_model_name_or_path", "inference_mode", "task_type", "revision", "auto_mapping", "peft_version"}  # what the training fills in
WHERE = ("target_modules", "target_parameters", "layers_to_transform", "layers_pattern")  # fields of LoRA that say where it lies
PROMPTS = ("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING", "CPT", "CARTRIDGE")  # learnt prompts: nothing that could be merged


def peft_text(config: Any, who: str) -> str | None:
    """An adapter config as canonical JSON: its type and the fields that differ from that type's defaults, so that a new peft changes no key.

    LoRA lies over every linear layer where the config does not say where, as TRL and the QLoRA paper advise; peft's own default is two of them.

    >>> peft_text({"r": 8}, "SFT")
    '{"peft_type":"LORA","r":8,"target_modules":"all-linear"}'
    """
    if config is None:
        return None
    if isinstance(config, str):
        need_object(config, f"{who}: peft")
        config = json.loads(config)
    if isinstance(config, Mapping):
        given = {k: v for k, v in config.items() if k not in ("task_type", "peft_type")}
        kind = str(getattr(config.get("peft_type"), "value", None) or config.get("peft_type") or "LORA").upper()
    elif hasattr(config, "peft_type") and hasattr(config, "to_dict"):
        usual = _defaults(type(config))
        given = {k: v for k, v in config.to_dict().items() if k not in OURS and k != "peft_type" and v != usual.get(k)}
        kind = str(getattr(config.peft_type, "value", config.peft_type))
    else:
        raise SettingError(f"{who}: peft={type(config).__name__} is not one of peft's configs, such as peft.LoraConfig(), or a dict of the fields of one.")
    if kind == "LORA" and all(given.get(name) is None for name in WHERE):
        given["target_modules"] = "all-linear"
    try:
        return json.dumps({**given, "peft_type": kind}, sort_keys=True, separators=(",", ":"), default=_plain)
    except TypeError as exc:
        raise SettingError(f"{who}: peft={kind} holds what is not text, a number, a list or a dict, so that it has no identity: {exc}.") from exc


def check_adapter(text: str | None, who: str, *, stays: bool) -> None:
    """Refuse an adapter that peft does not have, and fields that it does not know. Reads peft's source. Raises SettingError.

    `stays`: whether it is kept as an adapter, rather than laid into the weights when it is trained.
    """
    if text is None:
        return
    held = json.loads(text)
    kind, known = held.pop("peft_type"), kinds()
    if kind in PROMPTS and not stays:
        raise SettingError(
            f"{who}: peft={kind} stands before the text and not in the weights, and here the adapter is laid into the weights when it is trained "
            "(so it is over a base that is an adapter itself, and of embedders). Use LoRA, or start from whole weights."
        )
    if not known:
        return
    if kind not in known:
        raise SettingError.unknown(kind, possible=known, where=f"{who} peft")
    possible = config_fields(known[kind]) or frozenset()
    for name in held:
        if possible and name not in possible:
            raise SettingError.unknown(name, possible=possible, where=f"{who} peft={kind}")
    if kind == "ADALORA" and not held.get("total_step"):
        raise SettingError(f"{who}: peft=ADALORA spreads its ranks over the training and must know how many steps that has: total_step=….")


@cache
def kinds() -> dict[str, str]:
    """Each type of adapter, and its config class as `package.module:Class`: read from peft's source. Empty where peft is not installed."""
    root, found = package_folder("peft"), {}
    for file in sorted((root / "tuners").glob("*/config.py")) if root else []:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef) and (kind := _kind_of(node)):
                found[kind] = f"peft.tuners.{file.parent.name}.config:{node.name}"
    return found


def _kind_of(node: ast.ClassDef) -> str | None:
    """X where a class says `self.peft_type = PeftType.X`."""
    for part in ast.walk(node):
        if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Attribute) and part.targets[0].attr == "peft_type":
            return part.value.attr if isinstance(part.value, ast.Attribute) else None
    return None


def _defaults(cls: Any) -> dict[str, Any]:
    """The fields of a config of that class which says nothing; of one that must say something, the defaults of its fields."""
    try:
        return dict(cls().to_dict())
    except (TypeError, ValueError):
        declared = {f.name: f.default_factory() if f.default_factory is not MISSING else f.default for f in fields(cls)}
        return {k: v for k, v in declared.items() if v is not MISSING}


def _plain(value: Any) -> Any:
    """A set as a sorted list."""
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} {value!r}")


def merged(model: Any, who: str) -> Any:
    """A model with its adapter laid into its weights. Raises SettingError for a kind that is not in the weights, such as a learnt prompt."""
    _refuse(str(getattr(model.peft_config[model.active_adapter].peft_type, "value", "")), who)
    return model.merge_and_unload()


def refuse_prompts(folder: Path, *, who: str) -> None:
    """Raise SettingError where the adapter in a folder cannot be laid into weights."""
    _refuse(str(json.loads((folder / "adapter_config.json").read_text()).get("peft_type")), who)


def _refuse(kind: str, who: str) -> None:
    if kind in PROMPTS:
        raise SettingError(
            f"{who}: the adapter is {kind}: it stands before the text and not in the weights, so that it cannot be laid into them. "
            "Keep it as it is (export(merge=False)), and train on from other weights."
        )
