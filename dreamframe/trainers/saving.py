"""Trained weights, written: an adapter or the whole, its tokenizer, and nothing of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dreamframe.trainers.adapters import merged


def save(model: Any, tokenizer: Any, out: Path, *, base_name: str | None, merge: bool = False, state: dict[str, Any] | None = None) -> None:
    """Write weights or adapter, and the tokenizer. `merge` lays an adapter into its weights first; `state` holds the weights where the model has parts."""
    if merge and hasattr(model, "peft_config"):
        model = merged(model, "merging")
    end_with(model, tokenizer)
    adapters = {"selected_adapters": ["default"]} if hasattr(model, "peft_config") else {}  # a reference adapter stays behind
    model.save_pretrained(str(out), **adapters, **({} if state is None else {"state_dict": state}))
    if adapters and "CLS" in str(model.peft_config["default"].task_type):
        model.config.save_pretrained(str(out))  # an adapter's own config does not know the labels
    tokenizer.save_pretrained(str(out))
    strip(out, base_name)


def end_with(model: Any, tokenizer: Any) -> None:
    """Let the model's generation config end answers at the tokenizer's end token, too: programs that read only one of them stop as well."""
    config, end = getattr(model, "generation_config", None), tokenizer.eos_token_id
    if config is None or end is None:
        return
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [i for i in (config.eos_token_id,) if i is not None]
    if end not in ends:
        config.eos_token_id = [end, *ends] if ends else end


def strip(folder: Path, base_name: str | None) -> None:
    """Take out of a saved model what is only true here: pickled arguments, local paths, the library's own card."""
    for name in ("training_args.bin", "README.md"):
        for file in folder.rglob(name):
            file.unlink()
    for file in folder.rglob("*.json"):
        try:
            held = json.loads(file.read_text())
        except ValueError:
            continue
        if isinstance(held, dict):
            cleaned = {k: v for k, v in held.items() if k not in ("_name_or_path", "name_or_path", "tokenizer_file", "local_files_only")}
            if "base_model_name_or_path" in cleaned:
                cleaned["base_model_name_or_path"] = base_name
            if cleaned != held:
                file.write_text(json.dumps(cleaned, indent=2, ensure_ascii=False) + "\n")
