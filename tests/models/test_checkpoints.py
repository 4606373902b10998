"""Which checkpoints a training goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.models


def checkpoint(folder: Path, step: int, *, whole: bool = True) -> Path:
    from dreamframe.trainers import hf

    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "model.safetensors").write_bytes(b"weights")
    if whole:
        hf.mark_complete(made)
    return made


def test_the_newest_whole_checkpoint_is_taken_and_torn_ones_are_removed(tmp_path: Path) -> None:
    from dreamframe.trainers.hf import last_checkpoint

    assert last_checkpoint(tmp_path) is None
    checkpoint(tmp_path, 9)
    newest = checkpoint(tmp_path, 10)
    unmarked = checkpoint(tmp_path, 11, whole=False)
    cut = checkpoint(tmp_path, 12)
    (cut / "model.safetensors").write_bytes(b"wei")
    assert last_checkpoint(tmp_path) == newest
    assert not unmarked.exists()
    assert not cut.exists()


def test_a_template_of_one_prompt_is_a_chat_template() -> None:
    from dreamframe.trainers.chat import chat_template
    from tests.micro import micro_tokenizer

    tokenizer = micro_tokenizer()
    before, tokenizer.chat_template = tokenizer.chat_template, chat_template("### Instruction:\n{{prompt}}\n\n### Response:\n")
    try:
        chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "tea?"}, {"role": "assistant", "content": "yes"}]
        assert tokenizer.apply_chat_template(chat, tokenize=False) == "Be brief.\n\n### Instruction:\ntea?\n\n### Response:\nyes<|im_end|>"
        marked = tokenizer.apply_chat_template(chat, return_dict=True, return_assistant_tokens_mask=True)
        ids = [i for i, m in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if m]
        assert tokenizer.decode(ids) == "yes<|im_end|>"
    finally:
        tokenizer.chat_template = before
