"""A trained model is asked as it was trained: it ends where its template ends, and reads raw texts where it learnt from raw texts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SchemaError, SettingError
from tests.micro import micro_causal

pytestmark = pytest.mark.models

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROWS = {"prompt": [f"q{i}" for i in range(8)], "completion": ["ok"] * 8}
CPU: dict[str, Any] = {"batch_size": 8, "learning_rate": 1e-2, "device": "cpu"}
LORA = {"r": 4, "target_modules": ["q_proj", "v_proj", "up_proj", "down_proj", "gate_proj"]}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def of_another_end(folder: Path, *, adds_start: bool = False) -> str:
    """The micro model with `</s>` as its end token, as base models have it whose chat template closes turns with a token of its own."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(micro_causal()), AutoTokenizer.from_pretrained(micro_causal())
    tokenizer.eos_token = "</s>"
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    if adds_start:
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)])
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def asked(model: dr.Model, **settings: Any) -> list[str]:
    llm = model.llm(max_tokens=12, temperature=0, **settings)
    return dr.frame({"q": ["q1", "q2"]}).prompt(llm, "{q}", into="a").collect()["a"].to_list()


def test_a_model_ends_where_its_chat_template_ends(tmp_path: Path) -> None:
    base = of_another_end(tmp_path / "base")
    with dr.Session(tmp_path / "s"):
        model = dr.frame(ROWS).train(dr.SFT(base, steps=60, **CPU))
        assert asked(model) == ["ok", "ok"]
        (note,) = model.summary()["notes"]
        assert note == "SFT: the chat template ends an answer with '<|im_end|>' and the base with '</s>'; the trained model ends with both."
        assert json.loads((model.path / "generation_config.json").read_text())["eos_token_id"] == [5, 3]
        adapter = dr.frame(ROWS).train(dr.SFT(base, steps=1, peft=LORA, **CPU))
        whole = adapter.export(tmp_path / "whole")
    assert json.loads((whole / "generation_config.json").read_text())["eos_token_id"] == [5, 3]
    assert json.loads((whole / "tokenizer_config.json").read_text())["eos_token"] == "<|im_end|>"


def test_a_model_trained_on_raw_texts_is_asked_with_raw_texts(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "s"):
        model = dr.frame(ROWS).train(dr.SFT(str(micro_causal()), steps=60, chat_template=False, peft=LORA, **CPU))
        assert asked(model) == ["ok", "ok"]
        assert not (model.path / "chat_template.jinja").exists()
    chats = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]] * 2
    with pytest.raises(SettingError, match="SFT: chat_template=False learns raw texts, and 'messages' holds chats"):
        dr.frame({"messages": chats}).train(dr.SFT(str(micro_causal()), chat_template=False))
    with pytest.raises(SchemaError, match=r"messages='messages' has type String; it must be a list of messages .* \.str\.json_decode"):
        dr.frame({"messages": [json.dumps(c) for c in chats]}).train(dr.SFT(str(micro_causal())))


def test_training_goes_on_with_the_template_of_the_adapter(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "s"):
        first = dr.frame(ROWS).train(dr.SFT(str(micro_causal()), steps=1, peft=LORA, chat_template="### {{prompt}}\n### ", **CPU))
        second = dr.frame(ROWS).train(dr.SFT(first, steps=1, **CPU))
        assert "###" in (second.path / "chat_template.jinja").read_text()


def test_a_text_that_is_a_whole_chat_has_one_start_and_one_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamframe.trainers import hf

    base = of_another_end(tmp_path / "base", adds_start=True)
    seen: list[list[int]] = []
    prepared = hf.prepared

    def look(trainer: Any) -> Any:
        seen.extend(row["input_ids"] for row in prepared(trainer))
        return prepared(trainer)

    monkeypatch.setattr(hf, "prepared", look)
    with dr.Session(tmp_path / "s"):
        dr.frame({"text": ["<s>tea</s>\n", "tea"]}).train(dr.SFT(base, steps=1, **CPU)).fit()
    assert seen[0] == seen[1]
    assert (seen[0][0], seen[0][-1]) == (2, 3)
    assert (seen[0].count(2), seen[0].count(3)) == (1, 1)


def test_a_base_without_a_template_says_that_chats_need_one(tmp_path: Path) -> None:
    chats = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]] * 2
    with dr.Session(tmp_path / "s"), pytest.raises(dr.errors.TrainingError, match="the base has no chat template; give one: chat_template="):
        dr.frame({"messages": chats}).train(dr.SFT(str(micro_causal(chat=False)), steps=1, **CPU)).fit()


def test_the_row_that_a_template_refuses_is_named(tmp_path: Path) -> None:
    template = "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}{{ m['content'] }}{% endfor %}"
    chats = [[{"role": r, "content": "a"}, {"role": "assistant", "content": "b"}] for r in ("user", "user", "tool")]
    chats[0][1]["content"] = None  # type: ignore[assignment]
    with dr.Session(tmp_path / "s"), pytest.raises(dr.errors.TrainingError, match="the chat template refuses row 2: no tools"):
        dr.frame({"messages": chats}).train(dr.SFT(str(micro_causal()), steps=1, chat_template=template, **CPU)).fit()
