"""Training on messages with thoughts: they are learnt, or only read; a template that shows none is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError, TrainingError
from tests.micro import micro_causal

pytestmark = pytest.mark.models

TEMPLATE = (  # of Qwen's kind
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{% if m.reasoning_content is defined %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}<|im_end|>{% endgeneration %}\n"
    "{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


LAST = TEMPLATE.replace("is defined", "is defined and loop.last")


def talks(name: str = "reasoning_content") -> dr.Frame:
    llm = dr.testing.Scripted(lambda asked: f"<think>tea is {asked}</think>so: tea is {asked}" if "plain" not in asked else "plain too")
    user = dr.testing.Scripted(lambda _: "more", model="user")
    return dr.frame({"q": ["hot", "plain"]}).converse(llm, "{q}", user=user, max_turns=2, reasoning=name)


def learnt(rows: dr.Frame, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> list[tuple[str, str]]:
    """What the model reads of each row, and what of it the loss counts."""
    from trl.trainer.sft_trainer import SFTTrainer

    seen: list[tuple[str, str]] = []
    original = SFTTrainer.train

    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        decode = self.processing_class.decode
        for row in self.train_dataset:
            batch = self.data_collator([row])
            labels = [m for m in batch["labels"][0].tolist() if m != -100]
            seen.append((decode(batch["input_ids"][0].tolist()).replace(" ", ""), decode(labels).replace(" ", "")))
        return original(self, *args, **kwargs)

    with dr.Session(None), monkeypatch.context() as patched:
        patched.setattr(SFTTrainer, "train", train)
        trainer = dr.SFT(str(micro_causal()), steps=1, batch_size=2, device="cpu", chat_template=TEMPLATE, **settings)
        rows.train(trainer, messages="messages").fit()
    return seen


@pytest.mark.parametrize("loss_on", ["assistant", "all"])
def test_thoughts_are_learnt_or_only_read(loss_on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, masked = (learnt(talks(), monkeypatch, loss_on=loss_on, **more) for more in ({}, {"thoughts": "masked"}))
    assert [read for read, _ in kept] == [read for read, _ in masked]
    assert "<think>teaishot</think>so:teaishot<|im_end|>" in kept[0][1]
    if loss_on == "assistant":
        assert kept[0][1] == "<think>teaishot</think>so:teaishot<|im_end|><think>teaismore</think>so:teaismore<|im_end|>"
        assert masked[0][1] == "<think></think>so:teaishot<|im_end|><think></think>so:teaismore<|im_end|>"
    else:
        assert masked[0][1] == kept[0][1].replace("<think>teaishot", "<think>").replace("<think>teaismore", "<think>")


def test_a_template_that_shows_no_thoughts_is_refused(tmp_path: Path) -> None:
    with dr.Session(tmp_path), pytest.raises(TrainingError, match=r"thoughts in 'thinking'.*shows none of them.*message\.thinking"):
        talks("thinking").train(dr.SFT(str(micro_causal()), steps=1, device="cpu"), messages="messages").fit()


def test_thoughts_that_the_template_leaves_out_are_counted(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        model = talks().train(dr.SFT(str(micro_causal()), steps=1, device="cpu", chat_template=LAST, thoughts="masked"), messages="messages")
        assert "leaves out 1 of 3 thoughts" in " ".join(model.summary()["notes"])


def test_masked_thoughts_need_messages_that_have_some() -> None:
    rows = dr.frame({"prompt": ["a"], "completion": ["b"]})
    with pytest.raises(SettingError, match=r"thoughts='masked' is of messages that have thoughts: .*df\.converse"):
        rows.train(dr.SFT("base", steps=1, thoughts="masked"))
    with pytest.raises(SettingError, match="is not 'masked'"):
        dr.SFT("base", thoughts="dropped")
