"""How models in this process count tokens: by their own tokenizers, which are loaded without the weights, and only when a text may be too long."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from dreamframe.models.local.chat_template import template_of
from dreamframe.models.local.chat_tokens import prompt_tokens
from dreamframe.models.local.settings import ToLoad
from dreamframe.models.measure import MARKS, Measure
from dreamframe.models.request import Question, Request
from dreamframe.models.tokens import usual

HIGHEST = 10**9  # what tokenizers say that know no limit


def of_folder(weights: ToLoad, *, chat_template: str | None, context: int | None) -> Measure:
    """The measure of weights that transformers loads; downloaded or converted now if they were not before. `context` is a limit of the settings' own."""
    folder = weights.folder()
    own = weights.adapter is not None and (weights.adapter / "tokenizer_config.json").exists()
    place = str(weights.adapter if own else folder)
    config, told = _read(folder / "config.json"), _read(Path(place) / "tokenizer_config.json")
    text = config.get("text_config") or config
    limits = [context, *(text.get(name) for name in ("max_position_embeddings", "n_positions")), told.get("model_max_length")]
    known = min((int(n) for n in limits if isinstance(n, int | float) and 0 < n < HIGHEST), default=None)
    return _measure(known, lambda: _tokenizer(place, None, weights.trust_remote_code), chat_template, weights.who, not config.get("is_encoder_decoder"))


def of_gguf(gguf: Path, *, context: int, who: str) -> Measure:
    """The measure of a GGUF file. Where transformers, which reads its tokenizer, is not installed, tokens are estimated."""
    if importlib.util.find_spec("transformers") is None or importlib.util.find_spec("gguf") is None:
        return Measure(context, usual, lambda question, prompt: usual(f"{question.system or ''}{prompt}") + MARKS)
    return _measure(context, lambda: _tokenizer(str(gguf.parent), gguf.name, False), None, who, True)


def _measure(context: int | None, load: Callable[[], Any], chat_template: str | None, who: str, holds_answer: bool) -> Measure:
    def count(text: str) -> int:
        return len(load()(text, add_special_tokens=False, verbose=False)["input_ids"])

    def count_request(question: Question, prompt: str) -> int:
        tokenizer = load()
        return len(prompt_tokens(tokenizer, template_of(tokenizer, chat_template, who), Request(question, prompt, 0, b"\0" * 16), who=who))

    return Measure(context, count, count_request, holds_answer)


@lru_cache(maxsize=8)
def _tokenizer(folder: str, gguf: str | None, trust_remote_code: bool) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code, **({"gguf_file": gguf} if gguf else {}))


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
