"""How likely models in this process find each label: by hand over the whole text, in a batch and alone, by both engines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import BadRequestError, ContextLengthError
from dreamframe.prompts.answer_schema import AnswerSchema
from tests.asking import ask_all, texts
from tests.micro import micro_causal, micro_seq2seq, micro_tokenizer
from tests.micro_gguf import micro_gguf

LABELS = ["positive", "negative", "no", "no idea"]  # two of them begin alike
PROMPTS = ["tell me about tea", "is this review positive or negative? answer yes or no.", "x", "the lamp is warm and the kettle boils in two minutes"]
BATCHED = 1e-4  # what kernels that add up in another order may change


def asked(shape: Any = LABELS) -> dict[str, Any]:
    schema = AnswerSchema.of(shape)
    assert schema is not None
    return {"json_schema": schema.json_schema, "labels": tuple(label for label, _ in schema.choices)}


def shares(llm: Any, prompts: list[str] = PROMPTS, **settings: Any) -> list[dict[str, float]]:
    return [dict(json.loads(text)["all"]) for text in texts(ask_all(llm, prompts, **{**asked(), **settings}))]


def by_hand(folder: Path, prompt: str, *, seq2seq: bool = False) -> dict[str, float]:
    """Each label's whole text read at once, with nothing shared: what it adds to the prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    tokenizer = micro_tokenizer()
    model: Any = (AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM).from_pretrained(folder).eval()
    logs = {}
    for label in LABELS:
        text = tokenizer(json.dumps({"answer": label}), add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            if seq2seq:
                read = torch.tensor([tokenizer(prompt)["input_ids"]])
                made = model(input_ids=read, decoder_input_ids=torch.tensor([[0, *text[:-1]]])).logits[0]
            else:
                chat = tokenizer.apply_chat_template([{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True)
                begun = tokenizer(chat, add_special_tokens=False)["input_ids"]
                made = model(input_ids=torch.tensor([[*begun, *text]])).logits[0, len(begun) - 1 : -1]
        logs[label] = float(made.double().log_softmax(-1)[range(len(text)), text].sum())
    best = max(logs.values())
    total = sum(math.exp(log - best) for log in logs.values())
    return {label: math.exp(log - best) / total for label, log in logs.items()}


@pytest.mark.parametrize("seq2seq", [False, True])
def test_probabilities_are_those_of_the_models_own_logits(seq2seq: bool) -> None:
    folder = micro_seq2seq() if seq2seq else micro_causal()
    for prompt, found in zip(PROMPTS, shares(dr.Transformers(folder, threads=1)), strict=True):
        assert found == pytest.approx(by_hand(folder, prompt, seq2seq=seq2seq), rel=BATCHED)


def test_a_batch_changes_nothing_but_the_rounding() -> None:
    together = shares(dr.Transformers(micro_causal(), threads=1))
    for prompt, found in zip(PROMPTS, together, strict=True):
        (alone,) = shares(dr.Transformers(micro_causal(), threads=1), [prompt])
        assert found == pytest.approx(alone, rel=BATCHED)


def test_a_cache_that_cannot_be_shared_out_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = shares(dr.Transformers(micro_causal(), threads=1))
    monkeypatch.setattr("dreamframe.models.local.decode_loop._Causal.keep", lambda *_: False)
    for found, other in zip(shared, shares(dr.Transformers(micro_causal(), threads=1)), strict=True):
        assert found == pytest.approx(other, rel=BATCHED)


def test_both_engines_agree_on_the_same_weights() -> None:
    theirs, ours = shares(dr.Transformers(micro_causal(), threads=1)), shares(dr.LlamaCpp(str(micro_gguf()), threads=1))
    for a, b in zip(theirs, ours, strict=True):
        assert b == pytest.approx(a, abs=0.01)  # llama.cpp computes with other roundings
        assert max(a, key=a.__getitem__) == max(b, key=b.__getitem__)


def test_the_answer_is_the_likeliest_label_and_greedy_decoding_takes_it_where_labels_are_a_token_apart() -> None:
    held = asked(bool)
    llm = dr.Transformers(micro_causal(), temperature=0, threads=1)
    weighed = [json.loads(text) for text in texts(ask_all(llm, PROMPTS, **held))]
    said = [json.loads(text)["answer"] for text in texts(ask_all(llm, PROMPTS, json_schema=held["json_schema"]))]
    assert [{"yes": True, "no": False}[w["label"]] for w in weighed] == said
    assert all(w["score"] == max(share for _, share in w["all"]) and w["held"] for w in weighed)


def test_labels_are_weighed_beside_other_requests() -> None:
    import asyncio

    from dreamframe.models.request import Question
    from tests.asking import requests

    llm = dr.Transformers(micro_causal(), temperature=0, max_tokens=4, threads=1)
    mixed = [*requests(Question(llm=llm, **asked()), PROMPTS[:2]), *requests(Question(llm=llm, sampling=llm.sampling), PROMPTS[:2])]

    async def main() -> list[Any]:
        client = llm.open()
        try:
            return await asyncio.gather(*(client.complete(r) for r in mixed))
        finally:
            await client.close()

    answers = [a.text for a in asyncio.run(main())]
    assert [dict(json.loads(a)["all"]) for a in answers[:2]] == [pytest.approx(s, rel=BATCHED) for s in shares(llm, PROMPTS[:2])]
    assert answers[2:] == texts(ask_all(llm, PROMPTS[:2]))


def test_labels_that_the_vocabulary_cannot_write_fail_the_row() -> None:
    (error,) = ask_all(dr.Transformers(micro_causal(), threads=1), ["x"], **{**asked(), "labels": ("a", "b"), "json_schema": twins()})
    assert isinstance(error, BadRequestError)
    assert "tells no probabilities of labels" in str(error)


def twins() -> str:
    """A schema with the same label twice: their tokens cannot be told apart."""
    return json.dumps({"type": "object", "properties": {"answer": {"type": "string", "enum": ["a", "a"]}}, "required": ["answer"]})


def test_a_prompt_that_leaves_no_room_for_the_labels_fails_alone() -> None:
    long, short = ask_all(dr.Transformers(micro_causal(), threads=1), ["tea " * 238, "tea"], **asked())
    assert isinstance(long, ContextLengthError)
    assert json.loads(short.text)["label"] in LABELS


@pytest.mark.parametrize("llm", [dr.Transformers(micro_causal(), temperature=1.0, threads=1), dr.LlamaCpp(str(micro_gguf()), temperature=1.0, threads=1)])
def test_verbs_ask_without_a_menu_and_keep_the_answer(llm: Any, session: dr.Session) -> None:
    rows = dr.frame({"t": PROMPTS})
    made = rows.classify(llm, LABELS, "t", probability="p", keep="prompt").collect()
    assert made["p"].is_between(0.25, 1).all()
    assert not made["label_prompt"].str.contains("A. positive", literal=True).any()
    again = rows.classify(llm, LABELS, "t", into="mood", probability="q").collect(offline=True)
    assert again["q"].to_list() == made["p"].to_list()
