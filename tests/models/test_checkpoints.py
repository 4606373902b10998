"""Which checkpoints a training goes on from."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamframe.errors import TrainingError
from dreamframe.trainers.checkpoints import going_on_from, last_checkpoint, mark_complete

pytestmark = pytest.mark.models


def checkpoint(folder: Path, step: int, *, whole: bool = True) -> Path:
    made = folder / f"checkpoint-{step}"
    made.mkdir(parents=True)
    (made / "model.safetensors").write_bytes(b"weights")
    if whole:
        mark_complete(made)
    return made


def test_the_newest_whole_checkpoint_is_taken_and_torn_ones_are_removed(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    checkpoint(tmp_path, 9)
    newest = checkpoint(tmp_path, 10)
    unmarked = checkpoint(tmp_path, 11, whole=False)
    cut = checkpoint(tmp_path, 12)
    (cut / "model.safetensors").write_bytes(b"wei")
    assert last_checkpoint(tmp_path) == newest
    assert not unmarked.exists()
    assert not cut.exists()


@pytest.mark.parametrize("marker", ["{garbled", "[1]", "", '{"model.safetensors": "7"}'])
def test_a_checkpoint_with_a_damaged_marker_is_a_torn_one(marker: str, tmp_path: Path) -> None:
    whole, damaged = checkpoint(tmp_path, 1), checkpoint(tmp_path, 2)
    (damaged / "complete.json").write_text(marker)
    (checkpoint(tmp_path, 3)).rename(tmp_path / "checkpoint-x")
    assert last_checkpoint(tmp_path) == whole
    assert not damaged.exists()


def test_a_checkpoint_that_cannot_be_read_is_given_up_and_the_one_before_is_gone_on_from(tmp_path: Path) -> None:
    before, newest = checkpoint(tmp_path, 1), checkpoint(tmp_path, 2)
    for error in (MemoryError("full"), TrainingError("stopped")):  # neither says anything against the checkpoint
        with pytest.raises(type(error), match=str(error)), going_on_from(newest, lambda: False, who="SFT"):
            raise error
    with pytest.raises(ValueError, match="in a step"), going_on_from(newest, lambda: True, who="SFT"):
        raise ValueError("in a step")
    assert last_checkpoint(tmp_path) == newest
    said = r"SFT: checkpoint-2 cannot be read \(ValueError: bad header\), and was removed; run again"
    with pytest.raises(TrainingError, match=said), going_on_from(newest, lambda: False, who="SFT"):
        raise ValueError("bad header\nand more")
    assert last_checkpoint(tmp_path) == before


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
