"""Decoding with torch: a padded batch in, new tokens for each row out. Every row has its own sampling, seed, limits and grammar.

A row's answer does not depend on its batch, but for rounding: kernels add up in another order for another batch shape (differences of about 1e-6 in
float32), which shows only where two tokens are nearly equally likely. Each token of a sampled row uses one uniform number of the row's own generator.
Rows that are done leave the batch, so that a long answer does not make the short ones compute. What rows share at their beginning is read once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from dreamframe.models.local.prefixes import depth_to_share

LEAVE_SHARE = 0.25  # done rows leave once they are this share of the batch: copying the cache costs about one step


@dataclass
class Row:
    """One request: what to read, and how to choose the tokens of its answer. `tokens` and `finish` are the answer."""

    prompt: list[int]
    max_new: int
    ends: frozenset[int]  # token ids that end an answer
    temperature: float = 0.0  # 0: the likeliest token
    top_p: float = 1.0
    top_k: int = 0  # 0: all
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    min_new: int = 0
    ngram: int = 0  # tokens of a run that must not come twice; 0: any may
    read: Sequence[int] = ()  # tokens before the answer that count among such runs
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    bias: dict[int, float] = field(default_factory=dict)
    seed: int = 0
    grammar: Any = None  # llguidance's matcher
    is_stopped: Callable[[list[int]], bool] | None = None  # whether the answer holds a stop string
    is_wanted: Callable[[], bool] = lambda: True
    tokens: list[int] = field(default_factory=list)
    finish: str | None = None

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed) if self.temperature > 0 else None

    def take(self, token: int) -> None:
        """Add a token, and see whether the answer ends with it."""
        if token in self.ends:
            self.finish = "stop"
            return
        self.tokens.append(token)
        if self._is_complete(token):
            self.finish = "stop"
        elif len(self.tokens) >= self.max_new:
            self.finish = "length"
        elif not self.is_wanted():
            self.finish = "cancelled"

    def _is_complete(self, token: int) -> bool:
        if self.grammar is not None and (not self.grammar.consume_token(token) or self.grammar.is_stopped()):
            return True
        return self.is_stopped is not None and self.is_stopped(self.tokens)


def generate(model: Any, rows: Sequence[Row], *, pad: int, decoder_start: Sequence[int] | None = None, on_step: Callable[[], bool] | None = None) -> None:
    """Decode until every row has its `finish`. `decoder_start` makes it a seq2seq model. `on_step` gives True to stop all of them."""
    with torch.inference_mode():
        _decode(batch_of(model, rows, pad, decoder_start), list(rows), on_step)


def batch_of(model: Any, rows: Sequence[Row], pad: int, decoder_start: Sequence[int] | None) -> _Causal | _Seq2Seq:
    """The rows as a batch that the model reads."""
    return _Seq2Seq(model, rows, pad, decoder_start) if decoder_start is not None else _Causal(model, rows, pad)


def _decode(batch: _Causal | _Seq2Seq, live: list[Row], on_step: Callable[[], bool] | None) -> None:
    while True:
        logits = batch.step()
        chosen = choose(logits, live)
        for row, token in zip(live, chosen, strict=True):
            if row.finish is None:
                row.take(token)
        if on_step is not None and on_step():
            for row in live:
                row.finish = row.finish or "cancelled"
        left = [i for i, row in enumerate(live) if row.finish is None]
        if not left:
            return
        if len(live) - len(left) >= LEAVE_SHARE * len(live) and batch.keep(left):
            live, chosen = [live[i] for i in left], [chosen[i] for i in left]
        batch.append(chosen)


class _Causal:
    """A batch of a decoder, padded on the left; where the first `depth` tokens are read once for all rows that share them, after these."""

    def __init__(self, model: Any, rows: Sequence[Row], pad: int) -> None:
        self._model = model
        self._device = model.get_input_embeddings().weight.device
        accepted = _accepted(model)
        self._has_positions = "position_ids" in accepted
        self._last_only = {"logits_to_keep": 1} if "logits_to_keep" in accepted else {}
        self._cache: Any = None
        depth = depth_to_share([r.prompt for r in rows]) if self._has_positions and _reads_by_position(model) else 0
        if depth:
            self._cache = self._read_once([tuple(r.prompt[:depth]) for r in rows])
        self._n_read = depth = 0 if self._cache is None else depth  # tokens of each row that the cache holds
        gaps = [max(len(r.prompt) for r in rows) - len(r.prompt) for r in rows]
        ids = [r.prompt[:depth] + [pad] * gap + r.prompt[depth:] for r, gap in zip(rows, gaps, strict=True)]
        mask = [[1] * depth + [0] * gap + [1] * (len(r.prompt) - depth) for r, gap in zip(rows, gaps, strict=True)]
        self._ids, self._mask = torch.tensor(ids, device=self._device), torch.tensor(mask, device=self._device)  # (rows, tokens)

    def _read_once(self, beginnings: Sequence[tuple[int, ...]]) -> Any:
        """The cache of the beginnings, each of them read once; None where the model keeps another kind of cache, which cannot be shared out."""
        found = {beginning: i for i, beginning in enumerate(dict.fromkeys(beginnings))}
        ids = torch.tensor(list(found), device=self._device)
        cache = self._model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, **self._last_only).past_key_values
        if any(type(layer).__name__ != "DynamicLayer" for layer in getattr(cache, "layers", [None])):
            return None
        _select(cache, torch.tensor([found[beginning] for beginning in beginnings], device=self._device))
        return cache

    def step(self) -> torch.Tensor:
        """Logits of the next token: (rows, vocabulary)."""
        positions = (self._mask.cumsum(-1) - 1).clamp(min=0)
        ids, positions = self._ids[:, self._n_read :], positions[:, self._n_read :]
        where = {"position_ids": positions} if self._has_positions else {}
        out = self._model(input_ids=ids, attention_mask=self._mask, past_key_values=self._cache, use_cache=True, **where, **self._last_only)
        self._cache = getattr(out, "past_key_values", None)  # a model that has none reads everything again at each step
        self._n_read = 0 if self._cache is None else self._ids.shape[1]
        return out.logits[:, -1].float()

    def append(self, tokens: Sequence[int]) -> None:
        self._ids = torch.cat([self._ids, torch.tensor(tokens, device=self._device)[:, None]], dim=1)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(tokens), 1)], dim=1)

    def keep(self, rows: Sequence[int]) -> bool:
        """Go on with these rows, each as often as it is named; False where the model's cache cannot."""
        index = torch.tensor(rows, device=self._device)
        if self._cache is not None and not _select(self._cache, index):
            return False
        self._ids, self._mask = self._ids[index], self._mask[index]
        return True


class _Seq2Seq:
    """A batch of an encoder and decoder, padded on the right."""

    def __init__(self, model: Any, rows: Sequence[Row], pad: int, start: Sequence[int]) -> None:
        self._model = model
        self._device = model.get_input_embeddings().weight.device
        longest = max(len(r.prompt) for r in rows)
        ids = torch.tensor([r.prompt + [pad] * (longest - len(r.prompt)) for r in rows], device=self._device)
        self._mask = torch.tensor([[1] * len(r.prompt) + [0] * (longest - len(r.prompt)) for r in rows], device=self._device)
        self._read = model.get_encoder()(input_ids=ids, attention_mask=self._mask, return_dict=True)
        self._ids = torch.tensor([list(start)] * len(rows), device=self._device)
        self._cache: Any = None

    def step(self) -> torch.Tensor:
        """Logits of the next token: (rows, vocabulary)."""
        ids = self._ids if self._cache is None else self._ids[:, -1:]
        out = self._model(encoder_outputs=self._read, attention_mask=self._mask, decoder_input_ids=ids, past_key_values=self._cache, use_cache=True)
        self._cache = getattr(out, "past_key_values", None)
        return out.logits[:, -1].float()

    def append(self, tokens: Sequence[int]) -> None:
        self._ids = torch.cat([self._ids, torch.tensor(tokens, device=self._device)[:, None]], dim=1)

    def keep(self, rows: Sequence[int]) -> bool:
        """Drop all other rows; False where the model's cache cannot."""
        index = torch.tensor(rows, device=self._device)
        if self._cache is not None and not _select(self._cache, index):
            return False
        self._ids, self._mask = self._ids[index], self._mask[index]
        for name, value in self._read.items():
            if isinstance(value, torch.Tensor):
                self._read[name] = value[index]
        return True


def _accepted(model: Any) -> set[str]:
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return set(inspect.signature(inner.forward).parameters)


def _reads_by_position(model: Any) -> bool:
    """Whether it changes nothing that a row is read in two parts, with a gap between: every layer sees all tokens before, by their positions and the mask."""
    config = model.config.get_text_config()
    layers = getattr(config, "layer_types", None) or ["sliding" if getattr(config, "sliding_window", None) else "full_attention"]
    reads_ahead = getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False)  # tokens of an adapter's own, before all others
    rotary = str(getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None))
    is_stretched = "dynamic" in rotary or "longrope" in rotary  # a long row turns its first tokens otherwise than a short one
    is_plain = getattr(config, "_attn_implementation", None) in ("sdpa", "eager")
    return set(layers) == {"full_attention"} and is_plain and not reads_ahead and not is_stretched


def _select(cache: Any, rows: torch.Tensor) -> bool:
    if not hasattr(cache, "batch_select_indices"):
        return False
    cache.batch_select_indices(rows)
    return True


def choose(logits: torch.Tensor, rows: Sequence[Row]) -> list[int]:
    """The next token of each row. Logits: (rows, vocabulary) float32; changed in place."""
    for i, row in enumerate(rows):
        if row.finish is None:
            _adjust(logits[i], row)
    if held := [i for i, row in enumerate(rows) if row.finish is None and row.grammar is not None]:
        _hold(logits, held, [rows[i].grammar for i in held])
    chosen: list[int] = logits.argmax(-1).tolist()
    for i, row in enumerate(rows):
        if row.finish is None and row.generator is not None:
            chosen[i] = _sample(logits[i], row)
    return chosen


def _adjust(logits: torch.Tensor, row: Row) -> None:
    """Biases and penalties, on one row's logits: (vocabulary,)."""
    if row.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*row.prompt, *row.tokens}), device=logits.device)
        values = logits[seen]
        logits[seen] = torch.where(values > 0, values / row.repetition_penalty, values * row.repetition_penalty)
    if row.tokens and (row.presence_penalty or row.frequency_penalty):
        written, counts = torch.tensor(row.tokens, device=logits.device).unique(return_counts=True)
        logits[written] -= row.presence_penalty + row.frequency_penalty * counts
    if row.ngram and (spent := _spent(row)):
        logits[spent] = -torch.inf
    if len(row.tokens) < row.min_new:
        logits[sorted(row.ends)] = -torch.inf
    for token, bias in row.bias.items():
        logits[token] += bias


def _hold(logits: torch.Tensor, which: list[int], grammars: Sequence[Any]) -> None:
    """Leave these rows the tokens that their grammars allow: one mask, so that it crosses to the device once a step, whatever the batch."""
    masks = b"".join(g.compute_logit_bias() for g in grammars)
    allowed = torch.frombuffer(bytearray(masks), dtype=torch.uint8).view(len(which), -1)[:, : logits.shape[1]].to(logits.device) != 0
    if (lacks := logits.shape[1] - allowed.shape[1]) > 0:  # rows of the embedding that no token has
        allowed = torch.nn.functional.pad(allowed, (0, lacks))
    if len(which) == len(logits):
        logits.masked_fill_(~allowed, -torch.inf)
    else:
        logits[which] = logits[which].masked_fill_(~allowed, -torch.inf)


def _spent(row: Row) -> list[int]:
    """The tokens that would end a run of `ngram` tokens which was there before."""
    seen = [*row.read, *row.tokens]
    if len(seen) < row.ngram:
        return []
    begun = seen[len(seen) - row.ngram + 1 :]
    return sorted({seen[i + row.ngram - 1] for i in range(len(seen) - row.ngram + 1) if seen[i : i + row.ngram - 1] == begun})


def _sample(logits: torch.Tensor, row: Row) -> int:
    """Draw one token: the row's next uniform number, looked up in the cumulated probabilities (double precision: vocabularies are long)."""
    assert row.generator is not None
    scaled = logits / row.temperature
    if row.top_k:
        scaled[scaled < scaled.topk(min(row.top_k, len(scaled))).values[-1]] = -torch.inf
    shares = scaled.double().softmax(-1)
    if row.min_p:
        shares[shares < row.min_p * shares.max()] = 0.0
    if row.top_p < 1.0:
        ordered, order = shares.sort(descending=True)
        outside = ordered.cumsum(-1) - ordered >= row.top_p * ordered.sum()  # the likeliest token always stays
        shares[order[outside]] = 0.0
    uniform = torch.rand((), generator=row.generator, dtype=torch.float64).to(shares.device)
    cumulated = shares.cumsum(-1)
    drawn = int(torch.searchsorted(cumulated, uniform * cumulated[-1], right=True))
    return min(drawn, len(shares) - 1)
