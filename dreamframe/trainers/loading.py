"""Weights, tokenizers and adapters, loaded to be trained. Imports torch and transformers: import it inside a training only."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerBase, set_seed

from dreamframe.errors import TrainingError
from dreamframe.models.local.loading import own_memory
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.local import LocalTrainer

WHOLE = ["lm_head", "score", "classifier", "pre_classifier", "pooler"]  # heads, some of them new: they are never quantised


def is_cpu(settings: LocalTrainer) -> bool:
    """Whether this training runs on the CPU."""
    first = settings.device[0] if isinstance(settings.device, tuple) else settings.device
    if first is not None:
        return str(first) == "cpu"
    return not (torch.cuda.is_available() or torch.backends.mps.is_available())


def load_tokenizer(settings: LocalTrainer, job: TrainJob, *, padding_side: str | None = None) -> PreTrainedTokenizerBase:
    """The base's tokenizer, with a padding token."""
    sides = {"padding_side": padding_side} if padding_side else {}
    own = job.adapter is not None and (job.adapter / "tokenizer_config.json").exists()  # with the chat template that it was trained with
    tokenizer = AutoTokenizer.from_pretrained(str(job.adapter if own else job.base), trust_remote_code=settings.trust_remote_code, **sides)
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise TrainingError(f"{settings.label}: the tokenizer of the base has neither a padding nor an end token.")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(settings: LocalTrainer, job: TrainJob, auto: Any, *, trainable: bool = True, **config: Any) -> Any:
    """The base's weights through an Auto class, with the job's adapter over them.

    With an own adapter (`peft=`) the job's adapter is merged into the weights first; without, it is the adapter that is trained on.
    """
    set_seed(settings.seed)  # new layers and heads are drawn here
    if settings.init == "scratch":
        return auto.from_config(AutoConfig.from_pretrained(str(job.base), trust_remote_code=settings.trust_remote_code, **config), **dtype_of(settings))
    model = auto.from_pretrained(str(job.base), trust_remote_code=settings.trust_remote_code, **dtype_of(settings), **_quantized(settings), **config)
    own_memory(model)
    job.check_base()
    if job.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(job.adapter), is_trainable=trainable and not settings.peft)
        if settings.peft or not trainable:
            model = model.merge_and_unload()
    return model


def load_frozen(settings: LocalTrainer, weights: Path, adapter: Path | None, auto: Any, **config: Any) -> Any:
    """A model that is asked but not trained, such as a reward model, a reference or a teacher; on the device of the training."""
    model = auto.from_pretrained(str(weights), trust_remote_code=settings.trust_remote_code, **dtype_of(settings), **config)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    own_memory(model)
    if not is_cpu(settings):
        model = model.to(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "mps")
    return model.eval().requires_grad_(False)


def adapter_config(settings: LocalTrainer, *, task: str) -> Any:
    """The peft config of `peft=`, or None."""
    if not settings.peft:
        return None
    from peft import PeftConfig

    return PeftConfig.from_peft_type(task_type=task, **json.loads(settings.peft))


def with_adapter(settings: LocalTrainer, model: Any, *, task: str) -> Any:
    """The model with the adapter of `peft=` over it, for trainers that do not lay it themselves."""
    config = adapter_config(settings, task=task)
    if config is None:
        return model
    from peft import get_peft_model, prepare_model_for_kbit_training

    if settings.quantization:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return get_peft_model(model, config)


def context_length(model: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens that the model can read at once."""
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    known = [getattr(config, n, None) for n in ("max_position_embeddings", "n_positions")]
    return min([int(n) for n in [*known, tokenizer.model_max_length] if isinstance(n, int) and n > 0] or [1024])


def row_limit(settings: LocalTrainer, model: Any, tokenizer: PreTrainedTokenizerBase, *, default: int) -> int:
    """How many tokens a row may have: what was asked for or the algorithm's default, but never more than the context."""
    context = context_length(model, tokenizer)
    if settings.max_length and settings.max_length > context:
        raise TrainingError(f"{settings.label}: max_length={settings.max_length} is more than the {context} tokens that the base can read.")
    return settings.max_length or min(default, context)


def dtype_of(settings: LocalTrainer) -> dict[str, Any]:
    """The dtype that was asked for, else 32-bit floats: an optimiser's small steps get lost in 16 bits."""
    return {"dtype": getattr(torch, settings.dtype) if settings.dtype else torch.float32}


def _quantized(settings: LocalTrainer) -> dict[str, Any]:
    if settings.quantization is None:
        return {}
    from transformers import BitsAndBytesConfig

    if settings.quantization == "8bit":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=WHOLE)}
    compute = getattr(torch, settings.dtype) if settings.dtype else torch.float32
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute, llm_int8_skip_modules=WHOLE)
    return {"quantization_config": config}


def merges(settings: LocalTrainer, job: TrainJob) -> bool:
    """Whether the trained adapter must be laid into its weights, since they are nobody else's: they hold an earlier adapter."""
    assert job.base is not None
    return bool(settings.peft) and (job.adapter is not None or job.base.is_relative_to(job.workdir))
