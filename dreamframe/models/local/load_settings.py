"""How a user says weights are loaded, as texts that can be compared and kept: quantizations, and where and how fast the weights work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dreamframe.errors import SettingError
from dreamframe.models.local.extras import YES_NO, Kind

QUANTIZATIONS = ("8bit", "4bit")
ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")  # a name of the Hub would be code from there
LOADED = {
    "attn_implementation": Kind(f"one of {', '.join(ATTENTION)}", lambda v: v in ATTENTION),
    "max_memory": Kind("a dict of devices and sizes such as {0: '20GiB', 'cpu': '60GiB'}", lambda v: isinstance(v, Mapping)),
    "device_map": Kind("a dict of modules and devices, or a word of accelerate's such as 'balanced'", lambda v: isinstance(v, Mapping | str)),
    "low_cpu_mem_usage": YES_NO,
    "use_safetensors": YES_NO,
}


def is_config(text: Any) -> bool:
    """Whether a setting is the JSON of a configuration."""
    return isinstance(text, str) and text.startswith("{")


def quantization_text(given: Any, *, who: str) -> str | None:
    """A quantization as a text: a word of ours, or the JSON of a configuration."""
    if given is None or given in QUANTIZATIONS or is_config(given):
        return None if given is None else str(given)
    held = given.to_dict() if hasattr(given, "to_dict") else given
    if not isinstance(held, Mapping) or "quant_method" not in held:
        possible = ", ".join(map(repr, QUANTIZATIONS))
        raise SettingError(f"{who}: quantization={given!r} is not one of {possible}, nor a configuration such as transformers.BitsAndBytesConfig(…).")
    return json.dumps(dict(held), sort_keys=True, default=str)


def load_text(given: Any, device: Any, *, who: str) -> str:
    """Arguments of from_pretrained as JSON."""
    held = json.loads(given) if is_config(given) else given
    if not isinstance(held, Mapping):
        raise SettingError(f"{who}: load={given!r} is not a dict; give e.g. {{'attn_implementation': 'eager'}}.")
    for name, value in held.items():
        if name not in LOADED:
            what = "is a setting of its own" if name in ("dtype", "torch_dtype", "revision", "quantization_config", "trust_remote_code") else "is not taken"
            raise SettingError(f"{who}: load={{{name!r}: …}} {what}; load= says where and how fast the weights work: {', '.join(LOADED)}.")
        if not LOADED[name].fits(value):
            raise SettingError(f"{who}: load={{{name!r}: {value!r}}}; give {LOADED[name].said}.")
    if device is not None and device != "auto" and {"device_map", "max_memory"} & set(held):
        raise SettingError(f"{who}: device={device!r} and load= both say where the weights go; give one of them.")
    return json.dumps({n: {str(k): place for k, place in v.items()} if isinstance(v, Mapping) else v for n, v in held.items()}, sort_keys=True)
