"""A request as the tokens that a model reads: its chat template, or the plain prompt of a base model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from dreamframe.errors import BadRequestError
from dreamframe.models.answer import MARKS
from dreamframe.models.request import Request

CHANNEL = "<|channel|>"
CHANNEL_ENDS = re.compile(r"(<\|(return|end|call)\|>)+$")


def prompt_tokens(tokenizer: Any, template: str | None, request: Request, *, who: str, drops_system: bool = False) -> list[int]:
    """Token ids of a request.

    Raises BadRequestError for messages that the template refuses or would drop, or that a model without template cannot take.
    """
    question = request.question
    if template is not None:
        more = question.sampling.extras().get("chat_template_kwargs") or {}
        messages = request.messages()
        if drops_system and any(m["role"] == "system" for m in messages):
            raise BadRequestError(f"{who}: its chat template leaves out the system prompt; put it into the prompt, or give a chat_template= that has it")
        try:
            text = tokenizer.apply_chat_template(messages, chat_template=template, tokenize=False, add_generation_prompt=True, **more)
        except Exception as exc:  # a template is a program of the model's maker: it may refuse roles, orders, anything
            raise BadRequestError(f"{who}: its chat template refuses these messages: {exc}") from exc
        return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
    if question.form == "messages":
        raise BadRequestError(f"{who}: the model has no chat template, so it takes no chat messages; give chat_template= or a plain prompt")
    text = f"{question.system}\n\n{request.prompt}" if question.system else request.prompt
    ids = list(tokenizer(text, verbose=False)["input_ids"])
    return ids or [next(i for i in (tokenizer.bos_token_id, tokenizer.pad_token_id, 0) if i is not None)]


def has_channels(tokenizer: Any) -> bool:
    """Whether a model tells its thoughts from its answer by special tokens, as gpt-oss does."""
    return CHANNEL in tokenizer.get_added_vocab()


def text_of_tokens(tokenizer: Any, tokens: Sequence[int], *, with_channels: bool) -> str:
    """What tokens say. Without the marks of its channels, a model's thoughts would run into its answer."""
    text = str(tokenizer.decode(tokens, skip_special_tokens=not with_channels))
    return CHANNEL_ENDS.sub("", text) if with_channels else text


def with_opening(text: str, prompt: Sequence[int], tokenizer: Any, request: Request) -> str:
    """What a model wrote, after the mark of thoughts that its template opened in the prompt: cut off within them, the text alone would not show it.

    A model that is held to a schema writes its JSON at once.
    """
    if request.question.json_schema is not None:
        return text
    tail = str(tokenizer.decode(prompt[-8:], skip_special_tokens=False)).rstrip()
    return next((opening for opening, _ in MARKS if tail.endswith(opening)), "") + text


def bias_of_tokens(tokenizer: Any, pairs: Sequence[tuple[str, float]]) -> dict[int, float]:
    """Token id → bias; a text stands for all of its tokens."""
    bias: dict[int, float] = {}
    for token, value in pairs:
        ids = [int(token)] if token.isdecimal() else tokenizer(token, add_special_tokens=False, verbose=False)["input_ids"]
        bias.update(dict.fromkeys(ids, value))
    return bias
