"""How a base is quantised under an adapter: a word for the usual ways, or a config of bitsandbytes as canonical JSON. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dreamframe.errors import SettingError

WORDS = ("8bit", "4bit")
DTYPES = ("float32", "bfloat16", "float16", "float64", "half", "float", "double")  # of weights, in torch's words
OTHERS = "it is a scheme for weights that are asked, not trained; load weights of that kind with dr.Transformers(quantization=…) or dr.VLLM"


def quantization_text(config: Any, who: str) -> str | None:
    """`"8bit"`, `"4bit"`, or what a `BitsAndBytesConfig` (or a dict of its fields) says besides its defaults, as JSON. Raises SettingError.

    >>> quantization_text({"load_in_4bit": True, "bnb_4bit_use_double_quant": True}, "SFT")
    '{"bnb_4bit_use_double_quant":true,"load_in_4bit":true}'
    """
    if config is None or config in WORDS:
        return config if config is None else str(config)
    if isinstance(config, str) and config.startswith("{"):
        return config
    if isinstance(config, Mapping):
        held = dict(config)
    elif hasattr(config, "quant_method") and hasattr(config, "to_diff_dict"):
        held = {**config.to_diff_dict(), "quant_method": str(getattr(config.quant_method, "value", config.quant_method))}
    else:
        raise SettingError(f"{who}: quantization={config!r} is not '8bit' or '4bit', nor a transformers.BitsAndBytesConfig or a dict of its fields.")
    method = held.pop("quant_method", "bitsandbytes")
    if str(getattr(method, "value", method)) != "bitsandbytes":
        raise SettingError(f"{who}: quantization={type(config).__name__} ({method}): {OTHERS}. Under an adapter: '8bit', '4bit' or a BitsAndBytesConfig.")
    if not (held.get("load_in_4bit") or held.get("load_in_8bit")):
        raise SettingError(f"{who}: quantization={held} quantises nothing: load_in_4bit=True or load_in_8bit=True.")
    try:
        plain = {k: str(v).removeprefix("torch.") if str(v).startswith("torch.") else v for k, v in held.items() if v is not None and not k.startswith("_")}
        return json.dumps(plain, sort_keys=True, separators=(",", ":"))
    except TypeError as exc:
        raise SettingError(f"{who}: quantization= holds what is not text, a number or a list: {exc}.") from exc


def dtype_text(dtype: Any, who: str) -> str | None:
    """A dtype by torch's name for it. Raises SettingError."""
    if dtype is None:
        return None
    name = str(dtype).removeprefix("torch.")
    if name == "auto":
        raise SettingError(f"{who}: dtype='auto' would train in what the files happen to be in; say dtype='bfloat16', or leave it out for 32 bits.")
    if name not in DTYPES:
        raise SettingError(f"{who}: dtype={name!r} is not one of {', '.join(map(repr, DTYPES[:4]))}, or torch's dtype of that name.")
    return name
