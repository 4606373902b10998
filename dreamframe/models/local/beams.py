"""Beam search: the library's own, for rows that ask for it. Imports torch and transformers: for worker threads only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import GenerationConfig

from dreamframe.models.local.decode_loop import Row


@dataclass(frozen=True)
class Beams:
    """What rows must share to be searched for together, since the longest answer allowed decides which beams are worth keeping."""

    num_beams: int
    length_penalty: float
    early_stopping: bool | str
    repetition_penalty: float
    ngram: int
    min_new: int
    max_new: int

    @classmethod
    def of(cls, extras: Mapping[str, Any], row: Row) -> Beams:
        """Those of a row."""
        own = (extras.get("length_penalty", 1.0), extras.get("early_stopping", False), row.repetition_penalty, row.ngram, row.min_new, row.max_new)
        return cls(extras["num_beams"], *own)


def search(
    model: Any, rows: Sequence[Row], beams: Beams, *, pad: int, decoder_start: Sequence[int] | None, on_step: Callable[[], bool]
) -> None:  # fmt: skip
    """Give each row the likeliest answer found and its `finish`. `on_step` gives True to stop all of them."""
    device = model.get_input_embeddings().weight.device
    longest = max(len(r.prompt) for r in rows)
    sides = [((longest - len(r.prompt)) if decoder_start is None else 0, (longest - len(r.prompt)) if decoder_start is not None else 0) for r in rows]
    ids = torch.tensor([[pad] * left + r.prompt + [pad] * right for r, (left, right) in zip(rows, sides, strict=True)], device=device)
    mask = torch.tensor([[0] * left + [1] * len(r.prompt) + [0] * right for r, (left, right) in zip(rows, sides, strict=True)], device=device)
    start = {} if decoder_start is None else {"decoder_start_token_id": decoder_start[0], "forced_bos_token_id": (*decoder_start, None)[1]}
    config = GenerationConfig(
        do_sample=False,
        num_beams=beams.num_beams,
        length_penalty=beams.length_penalty,
        early_stopping=beams.early_stopping,
        repetition_penalty=beams.repetition_penalty,
        no_repeat_ngram_size=beams.ngram,
        min_new_tokens=beams.min_new or None,
        max_new_tokens=beams.max_new,
        eos_token_id=sorted(rows[0].ends) or None,
        pad_token_id=pad,
        **start,
    )

    def is_over(ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:  # noqa: ARG001  as transformers calls it
        return torch.full((len(ids),), on_step() or not any(r.is_wanted() for r in rows), device=ids.device)

    with torch.inference_mode():
        found = model.generate(input_ids=ids, attention_mask=mask, generation_config=config, stopping_criteria=[is_over])
    for row, tokens in zip(rows, found[:, longest if decoder_start is None else 1 :].tolist(), strict=True):
        end = next((i for i, token in enumerate(tokens) if token in row.ends), None)
        row.tokens = tokens[: beams.max_new if end is None else end]
        row.finish = "cancelled" if on_step() or not row.is_wanted() else "length" if end is None else "stop"
