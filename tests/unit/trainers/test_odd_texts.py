"""Texts that are learnt otherwise than they look."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.odd_texts import once, remark
from tests.micro import micro_tokenizer


class AddsStart:
    """A tokenizer that puts <s> before every text, as Llama's does."""

    def __init__(self) -> None:
        self.inner = micro_tokenizer()
        self.bos_token, self.bos_token_id, self.eos_token = self.inner.bos_token, self.inner.bos_token_id, self.inner.eos_token

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": [self.bos_token_id, *self.inner(text)["input_ids"]]}


def test_a_start_or_an_end_that_is_there_is_not_doubled() -> None:
    """`<s>` is added by the tokenizer; the trainer adds the end where the text does not end with it, and a newline behind it is enough for that."""
    rows = pl.DataFrame({"text": ["<s>tea<|im_end|>\n", "tea ", "<|im_end|> tea"]})
    assert once(rows, AddsStart())["text"].to_list() == ["tea<|im_end|>", "tea ", "<|im_end|> tea"]
    assert once(rows, micro_tokenizer())["text"].to_list() == ["<s>tea<|im_end|>", "tea ", "<|im_end|> tea"]
    pair = pl.DataFrame({"prompt": ["<s>q"], "completion": ["<s>a<|im_end|> \n"]})
    assert once(pair, AddsStart()).row(0) == ("q", "<s>a<|im_end|>")


@pytest.mark.parametrize(
    ("rows", "is_chat", "said"),
    [
        ({"prompt": ["tea", "<|im_start|>user\nq"]}, True, "1 of 2 rows hold tokens of the chat template in their texts (rows 1)"),
        ({"prompt": ["<|im_start|>user\nq"]}, False, None),
        ({"messages": [[{"role": "assistant", "content": "a<|im_end|>"}]]}, True, "1 of 1 rows hold tokens of the chat template"),
        ({"prompt": ['[{"role": "user", "content": "a"}]']}, True, "1 of 1 prompts are chats as JSON, and were learnt as that text (rows 0)"),
        ({"prompt": ["[1, 2]"], "completion": [" "]}, True, "1 of 1 rows have an empty completion: from them it learns to say nothing (rows 0)"),
        ({"prompt": ["a"], "chosen": ["b"], "rejected": [""]}, True, None),
        ({"messages": [[{"role": "human", "content": "a"}, {"role": "gpt", "content": "b"}]]}, True, "hold no turn of 'assistant'"),
        ({"messages": [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]]}, True, None),
    ],
)
def test_texts_that_look_like_something_else_are_noted(rows: dict[str, list[object]], is_chat: bool, said: str | None, tmp_path: Path) -> None:
    job = TrainJob(rows=tmp_path, workdir=tmp_path, out=tmp_path)
    remark(pl.DataFrame(rows), micro_tokenizer(), is_chat=is_chat, who="SFT", job=job)
    assert [said in note for note in job.notes] == ([] if said is None else [True])  # type: ignore[operator]
