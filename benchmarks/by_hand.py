"""The engines of this process driven by hand, as somebody writes it who knows them: batches sorted by length, no work twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def chats(tokenizer: Any, prompts: Sequence[str]) -> list[str]:
    """Each prompt in the model's chat template, as text."""
    asked = [[{"role": "user", "content": p}] for p in prompts]
    return [str(tokenizer.apply_chat_template(a, tokenize=False, add_generation_prompt=True)) for a in asked]


def generate(model: Any, tokenizer: Any, prompts: Sequence[str], *, rows: int, max_tokens: int, grammar: str | None = None) -> int:
    """Batches of `rows` prompts, from the longest down, through transformers' own generate; the new tokens."""
    import torch

    read, made = sorted(chats(tokenizer, prompts), key=len, reverse=True), 0
    for at in range(0, len(read), rows):
        batch = tokenizer(read[at : at + rows], return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
        n_read = batch["input_ids"].shape[1]
        held = [held_to(tokenizer, grammar, len(batch["input_ids"]), n_read)] if grammar else None
        with torch.inference_mode():
            out = model.generate(**batch, max_new_tokens=max_tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id, logits_processor=held)
        new = out[:, n_read:].tolist()
        made += sum(len(tokens) if tokenizer.eos_token_id not in tokens else tokens.index(tokenizer.eos_token_id) for tokens in new)
    return made


_vocabularies: dict[int, Any] = {}


def held_to(tokenizer: Any, grammar: str, rows: int, n_read: int) -> Callable[[Any, Any], Any]:
    """A logits processor that holds a batch to a grammar of llguidance."""
    import torch
    from llguidance import LLMatcher
    from llguidance.hf import from_tokenizer

    if id(tokenizer) not in _vocabularies:
        _vocabularies[id(tokenizer)] = from_tokenizer(tokenizer)
    first = LLMatcher(_vocabularies[id(tokenizer)], grammar)
    matchers = [first.deep_copy() for _ in range(rows)]

    def process(ids: Any, logits: Any) -> Any:
        for matcher, tokens in zip(matchers, ids[:, n_read:].tolist(), strict=True):
            if tokens and not matcher.is_stopped():
                matcher.consume_token(tokens[-1])
        masks = b"".join(m.compute_logit_bias() for m in matchers)
        allowed = torch.frombuffer(bytearray(masks), dtype=torch.uint8).view(rows, -1)[:, : logits.shape[1]].to(logits.device)
        logits[:, : allowed.shape[1]].masked_fill_(allowed == 0, -torch.inf)
        return logits

    return process


def llamacpp(server: Any, prompts: Sequence[str], *, slots: int, max_tokens: int, grammar: str | None = None) -> int:
    """llama.cpp's server in this process with one thread a slot and nothing else; the new tokens."""
    held = {"grammar": grammar} if grammar else {}

    def ask(prompt: str) -> int:
        body = {"messages": [{"role": "user", "content": prompt}], "max_tokens": max_tokens, "temperature": 0, **held}
        return int(server.handle_chat_completions(body)["usage"]["completion_tokens"])

    with ThreadPoolExecutor(slots) as pool:
        return sum(pool.map(ask, prompts))


def llamacpp_vectors(server: Any, texts: Sequence[str]) -> int:
    """llama.cpp's server asked for one vector after the other."""
    return sum(len(server.handle_embeddings({"input": [t], "encoding_format": "float"})["data"]) for t in texts)


def onnx_vectors(session: Any, tokenizer: Any, texts: Sequence[str], *, rows: int) -> int:
    """onnxruntime: sorted, small batches, the mean of the tokens, at length one."""
    ordered, n = sorted(texts, key=len), 0
    for at in range(0, len(ordered), rows):
        held = tokenizer(ordered[at : at + rows], padding=True, truncation=True, max_length=256, return_tensors="np")
        states = session.run(None, {i.name: held[i.name].astype("int64") for i in session.get_inputs()})[0]
        mask = held["attention_mask"][..., None]
        vectors = (states * mask).sum(1) / mask.sum(1)
        n += len(vectors / (vectors**2).sum(1, keepdims=True) ** 0.5)
    return n
