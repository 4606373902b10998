"""Training on conversations with tools: what the template is given, and which tokens are learnt."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from tests.micro import micro_causal

pytestmark = pytest.mark.models

TEMPLATE = (  # of Qwen's kind: arguments are objects, and fields that are there count
    "{% if tools %}TOOLS {% for t in tools %}{{ t.function.name }} {% endfor %}\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}"
    "{% if 'tool_calls' in m %}{% for c in m.tool_calls %}CALL {{ c.function.name }} {{ c.function.arguments | tojson }}{% endfor %}{% endif %}<|im_end|>"
    "{% endgeneration %}\n"
    "{% else %}{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def price(item: str) -> float:
    """What it costs."""
    return 4.5


def asks(messages: list[dict[str, Any]], tools: list[Any]) -> Any:
    if messages[-1]["role"] == "user":
        made = {"id": "call1", "function": {"name": "price", "arguments": '{"item": "tea"' + "}" * ("odd" not in messages[-1]["content"])}}
        return {"tool_calls": [made]}
    return "It is dear."


def talks() -> dr.Frame:
    tools = pl.lit(json.dumps([dr.Tool(price).schema]))
    return dr.frame({"q": ["How much is tea", "an odd one"]}).converse(dr.FunctionLLM(asks), "{q}", tools=[price]).with_columns(tools=tools)


def test_the_loss_counts_the_assistants_turns_alone(tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    from trl.trainer.sft_trainer import SFTTrainer

    seen: list[Any] = []
    original = SFTTrainer.train

    def train(self: Any, *args: Any, **kwargs: Any) -> Any:
        batch = self.data_collator([self.train_dataset[i] for i in range(len(self.train_dataset))])
        seen.append((self.processing_class, batch["input_ids"].tolist(), batch["labels"].tolist()))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(SFTTrainer, "train", train)
    with dr.Session(tmp_path):
        trainer = dr.SFT(str(micro_causal()), steps=1, batch_size=2, device="cpu", loss_on="assistant", chat_template=TEMPLATE)
        talks().train(trainer, messages="messages", tools="tools").fit()
    ((tokenizer, inputs, labels),) = seen
    learnt = []
    for ids, marks in zip(inputs, labels, strict=True):
        assert all(mark in (-100, token) for token, mark in zip(ids, marks, strict=True))
        text = tokenizer.decode(ids)
        assert "TOOLS" in text
        learnt.append(tokenizer.decode([m for m in marks if m != -100]))
    said = [
        'CALL price {"item": "tea"}<|im_end|>It is dear.<|im_end|>',
        'CALL price "{\\"item\\": \\"tea\\""<|im_end|>It is dear.<|im_end|>',
    ]
    encoded = [tokenizer.decode(tokenizer(text)["input_ids"]) for text in said]
    assert [t.replace(" ", "") for t in learnt] == [t.replace(" ", "") for t in encoded]


def test_lengths_are_counted_as_they_are_trained():
    from transformers import AutoTokenizer

    from dreamframe.trainers.chat import tokens

    tokenizer = AutoTokenizer.from_pretrained(str(micro_causal()))
    tokenizer.chat_template = TEMPLATE
    with dr.Session(None):
        rows = talks().collect()
    with_tools, without = tokens(tokenizer, rows.select("messages", "tools")), tokens(tokenizer, rows.select("messages"))
    assert all(len(a) > len(b) for a, b in zip(with_tools, without, strict=True))
