"""Weights and tokenizers of language models, loaded to be asked. Imports torch and transformers: import it on a worker thread only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.models.local.memory import own_memory
from dreamframe.models.local.quiet import quiet
from dreamframe.models.local.settings import ToLoad


@dataclass
class Loaded:
    """A model that is ready to be asked."""

    model: Any
    tokenizer: Any
    is_seq2seq: bool
    context: int | None  # tokens that it reads at once; None where there is no limit


def best_device() -> str:
    """The device that is used where none was asked for."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def is_out_of_memory(exc: BaseException) -> bool:
    """Whether an error says that memory ran out, and nothing else."""
    if isinstance(exc, MemoryError | torch.OutOfMemoryError):
        return True
    said = str(exc)
    return isinstance(exc, RuntimeError) and ("DefaultCPUAllocator: can't allocate memory" in said or "MPS backend out of memory" in said)


def free_memory() -> None:
    """Give cached blocks back to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def load(weights: ToLoad, *, quantization: str | None) -> Loaded:
    """Weights, adapter and tokenizer on their device, in evaluation mode. Raises SettingError for a folder that is not a language model."""
    who, adapter, dtype = weights.who, weights.adapter, weights.dtype
    with quiet():
        folder = weights.folder()
        weights.refuse(folder)
        trust = {"trust_remote_code": weights.trust_remote_code}
        config = AutoConfig.from_pretrained(folder, **trust)
        is_seq2seq = bool(getattr(config, "is_encoder_decoder", False))
        auto = AutoModelForSeq2SeqLM if is_seq2seq else AutoModelForCausalLM
        tokenizer = _tokenizer(adapter, folder, trust, is_seq2seq)
        on = weights.device or best_device()
        how = _how(weights.how)
        placed = _placed(on, quantization) if "device_map" not in how else {}
        model = auto.from_pretrained(folder, config=config, **trust, **_dtype(dtype, on), **_quantized(quantization, dtype, who), **placed, **how)
        if adapter is not None:
            model = _with_adapter(model, adapter, len(tokenizer), merge=quantization is None, who=who)
        if on != "auto" and quantization is None and "device_map" not in how:
            model = model.to(on)
        own_memory(model)
    return Loaded(model.eval(), tokenizer, is_seq2seq, context_of(config, tokenizer))


def _tokenizer(adapter: Path | None, folder: Path, trust: dict[str, bool], is_seq2seq: bool) -> Any:
    """The tokenizer: the adapter's own where it was trained with one."""
    own = adapter is not None and (adapter / "tokenizer_config.json").exists()
    sides = {} if is_seq2seq else {"padding_side": "left"}
    tokenizer = AutoTokenizer.from_pretrained(adapter if own else folder, **trust, **sides)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return tokenizer


def _with_adapter(weights: Any, adapter: Path, n_tokens: int, *, merge: bool, who: str) -> Any:
    try:
        from peft import PeftModel
    except ImportError as exc:
        raise MissingExtraError("peft", extra="train", needed_for=f"adapter= of {who}") from exc
    if not (adapter / "adapter_config.json").exists():
        raise SettingError(f"{who}: {adapter} is not an adapter: it has no adapter_config.json.")
    if n_tokens > weights.get_input_embeddings().weight.shape[0]:
        weights.resize_token_embeddings(n_tokens)
    adapted = PeftModel.from_pretrained(weights, str(adapter))
    mergeable = getattr(adapted.active_peft_config, "is_prompt_learning", False) is False
    return adapted.merge_and_unload() if merge and mergeable else adapted


def _dtype(dtype: str | None, device: str) -> dict[str, Any]:
    if dtype is not None:
        return {"dtype": dtype if dtype == "auto" else getattr(torch, dtype)}
    return {"dtype": torch.float32 if device == "cpu" else "auto"}  # half precision is slower on most CPUs


def _quantized(quantization: str | None, dtype: str | None, who: str) -> dict[str, Any]:
    if quantization is None:
        return {}
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if quantization.startswith("{"):
        return {"quantization_config": _configured(json.loads(quantization), who)}
    if find_spec("bitsandbytes") is None:
        raise MissingExtraError("bitsandbytes", extra="quant", needed_for=f"quantization= of {who}")
    if quantization == "8bit":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    compute = getattr(torch, dtype) if dtype and dtype != "auto" else torch.float32
    return {"quantization_config": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute)}


def _configured(held: dict[str, Any], who: str) -> Any:
    """A quantization configuration as an object of the library."""
    from transformers.quantizers.auto import AutoQuantizationConfig

    try:
        return AutoQuantizationConfig.from_dict(held)
    except (ValueError, TypeError, ImportError) as exc:
        raise SettingError(f"{who}: this quantization= cannot be used here: {exc}") from exc


def _how(given: str | None) -> dict[str, Any]:
    """Further arguments of from_pretrained; numbers of devices are numbers again, and what limits the memory of devices spreads the layers over them."""
    how: dict[str, Any] = json.loads(given or "{}")
    for name in ("max_memory", "device_map"):
        if isinstance(held := how.get(name), dict):
            how[name] = {int(k) if name == "max_memory" and k.isdecimal() else k: v for k, v in held.items()}
    return {"device_map": "auto", **how} if "max_memory" in how else how


def _placed(device: str, quantization: str | None) -> dict[str, Any]:
    if device == "auto":
        return {"device_map": "auto"}
    return {"device_map": {"": device}} if quantization is not None else {}


def context_of(config: Any, tokenizer: Any) -> int | None:
    """Tokens that a model reads at once; None where there is no limit (relative positions) and the tokenizer knows none."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    known = [getattr(text, name, None) for name in ("max_position_embeddings", "n_positions")]
    known.append(tokenizer.model_max_length if tokenizer.model_max_length < 10**9 else None)
    return min((int(n) for n in known if n), default=None)
