"""Weights, tokenizers and adapters, loaded to be trained."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamframe.errors import SettingError, TrainingError
from dreamframe.models.local.memory import own_memory
from dreamframe.trainers.adapters import merged
from dreamframe.trainers.heads import note_new_head, other_head, refuse_others
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.local import LocalTrainer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WHOLE = ["lm_head", "score", "classifier", "pre_classifier", "pooler"]  # heads, some of them new: they are never quantised


def is_cpu(settings: LocalTrainer) -> bool:
    """Whether this training runs on the CPU."""
    first = settings.device[0] if isinstance(settings.device, tuple) else settings.device
    if first is not None:
        return str(first) == "cpu"
    import torch

    return not (torch.cuda.is_available() or torch.backends.mps.is_available())


def need_device(settings: LocalTrainer) -> None:
    """Raise SettingError where the device that was asked for is not there, or that of this process: another one would train without a word."""
    if (error := settings.no_device()) is not None:
        raise error
    if is_cpu(settings):
        return
    import torch

    here, n = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if torch.cuda.is_available() and here >= n:
        raise SettingError(f"{settings.label}: process {here + 1} of this machine has no device: there are {n}. Start one for each, or give device='cpu'.")


def device_named(settings: LocalTrainer) -> str | None:
    """The device of this process, as it is called here; None where none was asked for."""
    first = settings.device[0] if isinstance(settings.device, tuple) else settings.device
    here = os.environ.get("LOCAL_RANK")
    return f"cuda:{here}" if first is not None and first.startswith("cuda") and here is not None else first


def need_embeddings(who: str, model: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise TrainingError where the tokenizer has tokens that the model has no embedding for."""
    embeddings = model.get_input_embeddings()
    n = getattr(embeddings, "num_embeddings", None)
    if n is not None and (tokens := max(tokenizer.get_vocab().values(), default=0) + 1) > n:
        raise TrainingError(
            f"{who}: the tokenizer of the base has {tokens} tokens, and the model has embeddings for {n}. Save a base that has both: "
            f"model.resize_token_embeddings({tokens}), or the tokenizer without the tokens that were added."
        )


def load_tokenizer(settings: LocalTrainer, job: TrainJob, *, padding_side: str | None = None) -> PreTrainedTokenizerBase:
    """The base's tokenizer, with a padding token."""
    from transformers import AutoTokenizer

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
    from transformers import AutoConfig, set_seed

    need_device(settings)
    set_seed(settings.seed)  # new layers and heads are drawn here
    if settings.init == "scratch":
        return auto.from_config(AutoConfig.from_pretrained(str(job.base), trust_remote_code=settings.trust_remote_code, **config), **dtype_of(settings))
    assert job.base is not None
    sizes = other_head(job.base, config)
    options = {"ignore_mismatched_sizes": sizes is not None, "output_loading_info": True, **dtype_of(settings), **_quantized(settings), **config}
    model, seen = auto.from_pretrained(str(job.base), trust_remote_code=settings.trust_remote_code, **options)
    own_memory(model)
    job.check_base()
    if sizes is not None:
        refuse_others(seen["mismatched_keys"], sizes, settings.label)
        if job.adapter is None:  # an adapter brings its own head
            note_new_head(sizes, job, settings.label)
    if job.adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(job.adapter), is_trainable=trainable and not settings.peft)
        if settings.peft or not trainable:
            model = merged(model, settings.label)
    return model


def load_frozen(settings: LocalTrainer, weights: Path, adapter: Path | None, auto: Any, **config: Any) -> Any:
    """A model that is asked but not trained, such as a reward model, a reference or a teacher; on the device of the training."""
    import torch

    options = {"ignore_mismatched_sizes": adapter is not None, **dtype_of(settings), **config}  # an adapter brings its own head
    model = auto.from_pretrained(str(weights), trust_remote_code=settings.trust_remote_code, **options)
    if adapter is not None:
        from peft import PeftModel

        model = merged(PeftModel.from_pretrained(model, str(adapter)), settings.label)
    own_memory(model)
    if not is_cpu(settings):
        model = model.to(f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "mps")
    return model.eval().requires_grad_(False)


def adapter_config(settings: LocalTrainer, *, task: str) -> Any:
    """The peft config of `peft=`, or None."""
    if not settings.peft:
        return None
    from peft import PeftConfig

    held = json.loads(settings.peft)
    if held.get("target_modules") == "all-linear" and task in ("TOKEN_CLS", "FEATURE_EXTRACTION") and "exclude_modules" not in held:
        held["exclude_modules"] = ["classifier", "score"]  # heads are trained whole; of sequence classifiers peft itself leaves them out
    return PeftConfig.from_peft_type(task_type=task, **held)


def with_adapter(settings: LocalTrainer, model: Any, *, task: str) -> Any:
    """The model with the adapter of `peft=` over it, for trainers that do not lay it themselves."""
    config = adapter_config(settings, task=task)
    if config is None:
        return model
    from peft import get_peft_model, prepare_model_for_kbit_training

    if settings.quantization:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return get_peft_model(model, config)


def context_length(model: Any, tokenizer: PreTrainedTokenizerBase, *, who: str) -> int:
    """Tokens that the model can read at once. Raises TrainingError where the tokenizer is not the model's."""
    need_embeddings(who, model, tokenizer)
    config = model.config.get_text_config() if hasattr(model.config, "get_text_config") else model.config
    known = [getattr(config, n, None) for n in ("max_position_embeddings", "n_positions")]
    return min([int(n) for n in [*known, tokenizer.model_max_length] if isinstance(n, int) and n > 0] or [1024])


def row_limit(settings: LocalTrainer, model: Any, tokenizer: PreTrainedTokenizerBase, *, default: int) -> int:
    """How many tokens a row may have: what was asked for or the algorithm's default, but never more than the context."""
    context = context_length(model, tokenizer, who=settings.label)
    if settings.max_length and settings.max_length > context:
        raise TrainingError(f"{settings.label}: max_length={settings.max_length} is more than the {context} tokens that the base can read.")
    return settings.max_length or min(default, context)


def dtype_of(settings: LocalTrainer) -> dict[str, Any]:
    """The dtype that was asked for, else 32-bit floats: an optimiser's small steps get lost in 16 bits."""
    import torch

    return {"dtype": getattr(torch, settings.dtype) if settings.dtype else torch.float32}


def _quantized(settings: LocalTrainer) -> dict[str, Any]:
    if settings.quantization is None:
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    if settings.quantization.startswith("{"):
        return {"quantization_config": BitsAndBytesConfig(**{"llm_int8_skip_modules": WHOLE, **json.loads(settings.quantization)})}
    if settings.quantization == "8bit":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=WHOLE)}
    compute = getattr(torch, settings.dtype) if settings.dtype else torch.float32
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute, llm_int8_skip_modules=WHOLE)
    return {"quantization_config": config}


def merges(settings: LocalTrainer, job: TrainJob) -> bool:
    """Whether the trained adapter must be laid into its weights, since they are nobody else's: they hold an earlier adapter."""
    assert job.base is not None
    return bool(settings.peft) and (job.adapter is not None or job.base.is_relative_to(job.workdir))
