"""Where an answer ends: at the model's end tokens, at the token that closes an answer in its chat template, at the stops of the request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dreamframe.models.local.chat_template import closing_token


def end_ids(tokenizer: Any, generation_config: Any, template: str | None) -> frozenset[int]:
    """The ids that end an answer: those of the generation config, the tokenizer's own, and what the chat template closes an answer with."""
    own = getattr(generation_config, "eos_token_id", None)
    closing = None if template is None else closing_token(tokenizer, template)
    found = [*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id, None if closing is None else tokenizer.convert_tokens_to_ids(closing)]
    return frozenset(i for i in found if i is not None)


class Stops:
    """The stop strings of a request. `text` gives what tokens say; a stop may also name special tokens, which are no part of that."""

    def __init__(self, tokenizer: Any, stops: Sequence[str], text: Callable[[Sequence[int]], str]) -> None:
        self._tokenizer, self._stops, self._text = tokenizer, tuple(stops), text
        self._special = [t.content for t in tokenizer.added_tokens_decoder.values() if t.special and t.content]
        self._names_special = any(t in s for t in self._special for s in stops)
        self._tail = 4 * max(len(s) for s in stops) + 4  # a token is at least one byte, a character at most four

    def is_met(self, tokens: Sequence[int]) -> bool:
        """Whether the last tokens hold a stop."""
        said = self._said(tokens[-self._tail :])
        return any(s in said for s in self._stops)

    def cut(self, tokens: Sequence[int]) -> str:
        """What the tokens say before the first stop."""
        said = self._said(tokens)
        cuts = [at for s in self._stops if (at := said.find(s)) >= 0]
        if not cuts:
            return self._text(tokens)
        said = said[: min(cuts)]
        for token in self._special if self._names_special else ():
            said = said.replace(token, "")
        return said

    def _said(self, tokens: Sequence[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=False)) if self._names_special else self._text(tokens)
