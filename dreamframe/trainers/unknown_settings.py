"""Settings that a trainer does not have: the nearest one is named, and for those of other libraries what stands in their place."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from dreamframe.errors import SettingError

PARTS = 'strategy="fsdp" parts the weights among the processes of a training; other ways of spreading a model are not built'
LAUNCHED = "ranks, nodes and addresses come from what starts the script once for each process: torchrun or srun"
OWN = "a training loop of one's own is an own trainer: a subclass of LocalTrainer, as CONTRIBUTING.md shows"
INSTEAD = {  # what DataDreamer, transformers and TRL call it: what is to be done here
    **dict.fromkeys(("fsdp", "fsdp_config", "deepspeed", "parallelism_config", "tp_size", "tensor_parallel", "device_map"), PARTS),
    **dict.fromkeys(("nodes", "num_nodes", "nnodes", "node_rank", "rank", "local_rank", "master_addr", "master_port", "distributed_config"), LAUNCHED),
    **dict.fromkeys(("trainer_cls", "trainer_override_hook", "compute_loss", "compute_loss_func", "model_init"), OWN),
    **dict.fromkeys(("data_collator", "preprocess_logits_for_metrics"), "how rows become batches follows from the columns; " + OWN),
    **dict.fromkeys(("optimizers", "optimizer_cls_and_kwargs", "lr_scheduler"), 'optimizer=function makes one; args={"lr_scheduler_type": …} its schedule'),
    **dict.fromkeys(("metrics", "evaluator", "compute_scores"), "compute_metrics=function"),
    "callback": "callbacks=",
    **dict.fromkeys(("early_stopping_patience",), "early_stopping="),
    **dict.fromkeys(("quantization_config", "load_in_4bit", "load_in_8bit"), "quantization="),
    **dict.fromkeys(("peft_config", "lora_config"), "peft="),
    **dict.fromkeys(("torch_dtype",), "dtype="),
    **dict.fromkeys(("num_train_epochs", "num_epochs"), "epochs="),
    **dict.fromkeys(("max_steps",), "steps="),
    **dict.fromkeys(("per_device_train_batch_size",), "batch_size= (the rows of one step over all processes)"),
    **dict.fromkeys(("model", "model_name", "model_name_or_path"), "the first argument, base"),
    **dict.fromkeys(("train_dataset", "train_input", "train_output"), "the frame: df.train(trainer, prompt=…, completion=…)"),
    **dict.fromkeys(("eval_dataset", "validation", "validation_input"), "df.train(trainer, validation=frame)"),
}
OF_PPO = {
    **dict.fromkeys(("top_p", "top_k", "generation_kwargs", "length_sampler"), "completions are drawn from all tokens, by whose probabilities it learns"),
    **dict.fromkeys(("adap_kl_ctrl", "adap_kl_target", "init_kl_coef", "kl_penalty", "horizon", "target_kl"), "beta= is fixed; max_kl= ends the training"),
    **dict.fromkeys(("cliprange", "cliprange_value"), "clip="),
    **dict.fromkeys(("ppo_epochs", "num_ppo_epochs"), "passes="),
    **dict.fromkeys(("vf_coef",), "value_weight="),
    **dict.fromkeys(("lam",), "gae_lambda="),
}
IN_ARGS = ("fsdp", "fsdp_config", "deepspeed", "parallelism_config", "local_rank")  # fields of the library's config that are refused, too


def refuse_unknown(cls: Any, given: Mapping[str, Any]) -> None:
    """Raise SettingError for keyword arguments that a trainer is known not to have, with what to do instead. Others are told as those of models are."""
    known = inspect.signature(cls.__init__).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in known.values()):
        return
    for name in given:
        if name in known:
            continue
        instead = (OF_PPO if cls.__name__ == "PPO" else {}).get(name) or INSTEAD.get(name)
        if instead is not None:
            raise SettingError(f"{cls.__name__}: {name}= is not a setting here: {instead}.")


def refuse_in_args(args: Mapping[str, Any], who: str) -> None:
    """Raise SettingError for fields of the library's config that would train something else than is kept."""
    for name in IN_ARGS:
        if args.get(name) not in (None, "", False, [], {}, -1):
            raise SettingError(f"{who}: args={{{name!r}: …}} is refused: {INSTEAD[name]}.")
