"""How likely a model finds each of a few texts after a prompt: no token is drawn. Imports torch: for worker threads only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from dreamframe.models.local.decode_loop import Row, batch_of
from dreamframe.models.menu import n_shared


def weigh(
    model: Any, prompts: Sequence[list[int]], texts: Sequence[Sequence[int]], *, pad: int, decoder_start: Sequence[int] | None = None
) -> list[list[float]]:  # fmt: skip
    """The logarithm of the probability of each text (token ids) after each prompt, from the first token on that the texts do not share: natural, at
    temperature 1, of the model's own logits over its whole vocabulary.

    What the texts share is read with the prompt. A prompt is read once, and then what is left of its texts, a token of all of them at a time.
    """
    n = min(n_shared(texts), min(map(len, texts)) - 1)  # each has one token at least of its own
    shared, tails = texts[0][:n], [text[n:] for text in texts]
    with torch.inference_mode():
        begins = [*prompts] if decoder_start is not None else [[*prompt, *shared] for prompt in prompts]
        rows = [Row(prompt=begin, max_new=1, ends=frozenset()) for begin in begins]
        start = None if decoder_start is None else [*decoder_start, *shared]
        batch = batch_of(model, rows, pad, start)
        first = _logs(batch.step())
        logs = first[:, [tail[0] for tail in tails]]  # (prompts, texts)
        longest = max(map(len, tails))
        if longest > 1:
            each = [i for i in range(len(rows)) for _ in tails]
            if not batch.keep(each):  # a model whose cache cannot be shared out reads each text on its own
                batch = batch_of(model, [rows[i] for i in each], pad, start)
                batch.step()
            for at in range(1, longest):
                batch.append([tail[at - 1] if at <= len(tail) else pad for tail in tails] * len(rows))
                found = _logs(batch.step()).view(len(rows), len(tails), -1)
                for text, tail in enumerate(tails):
                    if at < len(tail):
                        logs[:, text] += found[:, text, tail[at]]
        made: list[list[float]] = logs.tolist()
    return made


def _logs(logits: torch.Tensor) -> torch.Tensor:
    """Logarithms of probabilities: (rows, vocabulary), in double precision, since shares are made of their differences."""
    return logits.double().log_softmax(-1)
