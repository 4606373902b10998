"""A trained model as a folder of its own, for programs that know nothing of sessions, and adapters laid into their weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from dreamframe.models.base import Artefact
from dreamframe.store.whole_files import whole_folder
from dreamframe.trainers.adapters import refuse_prompts
from dreamframe.trainers.base import Chained, Trainer
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.saving import save
from dreamframe.trainers.weights import locate

OURS = ("training.json", "metrics.arrow")  # what a session keeps beside the weights


def export(trainer: Trainer, folder: Path, out: Path, *, merge: bool) -> Path:
    """Copy a trained folder to `out`; with `merge`, an adapter is laid into the weights below it first. `trainer` has its models of the plan resolved.

    The folder is there when all of it was written.
    """

    with whole_folder(out, who="export") as made:
        if merge and (folder / "adapter_config.json").exists():
            at = locate(Chained(Artefact(str(folder), ""), getattr(trainer, "base", None)), who="export", token=getattr(trainer, "hub_token", None))
            assert at.adapter is not None
            merge_adapter(at.weights, at.adapter, made, base_name=getattr(trainer, "base_name", None))
        else:
            shutil.copytree(folder, made, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*OURS))
    return out


def merge_adapter(weights: Path, adapter: Path, out: Path, *, base_name: str | None = None) -> None:
    """Lay an adapter into its weights and write the whole."""
    import torch
    from peft import PeftModel
    from transformers import AutoTokenizer

    refuse_prompts(adapter, who="export")
    with alone():
        auto, config = _loader(adapter)
        heads = {"ignore_mismatched_sizes": True} if "id2label" in config else {}  # the adapter brings its own head
        loaded = auto.from_pretrained(str(weights), trust_remote_code=False, dtype=torch.float32, **heads, **config)
        model = PeftModel.from_pretrained(loaded, str(adapter)).merge_and_unload()
        holder = adapter if (adapter / "tokenizer_config.json").exists() else weights
        save(model, AutoTokenizer.from_pretrained(str(holder), trust_remote_code=False), out, base_name=base_name)


def task_of(adapter: Path) -> str:
    """What an adapter was trained for, in peft's words."""
    return str(json.loads((adapter / "adapter_config.json").read_text()).get("task_type"))


def _loader(adapter: Path) -> tuple[Any, dict[str, Any]]:
    """The class that loads the weights below an adapter, and the config that their heads need."""
    import transformers

    autos = {
        "SEQ_2_SEQ_LM": transformers.AutoModelForSeq2SeqLM, "SEQ_CLS": transformers.AutoModelForSequenceClassification,
        "TOKEN_CLS": transformers.AutoModelForTokenClassification,
    }  # fmt: skip
    auto = autos.get(task_of(adapter), transformers.AutoModelForCausalLM)
    if not (adapter / "config.json").exists():
        return auto, {}
    held = json.loads((adapter / "config.json").read_text())
    config: dict[str, Any] = {k: held[k] for k in ("id2label", "label2id", "problem_type", "pad_token_id") if held.get(k) is not None}
    if "id2label" in config:
        config["id2label"] = {int(k): v for k, v in config["id2label"].items()}
    return auto, config
