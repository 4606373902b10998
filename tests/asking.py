"""Ask a model directly, without a plan, a run or a store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from dreamframe.identity.tables import answer_keys
from dreamframe.models.base import ModelSettings
from dreamframe.models.request import Completion, Question, Request


def ask_all(llm: ModelSettings, prompts: Sequence[str], *, one_by_one: bool = False, samples: Sequence[int] | None = None, **question: Any) -> list[Any]:
    """The completions (or errors) of all prompts, asked together through one client."""
    own = {name: getattr(llm, name) for name in ("system", "sampling") if hasattr(llm, name)}
    asked = Question(llm=llm, **{**own, **question})
    return asyncio.run(_ask(llm, requests(asked, prompts, samples), one_by_one))


def requests(question: Question, prompts: Sequence[str], samples: Sequence[int] | None = None) -> list[Request]:
    """Requests with the keys that a run would give them."""
    samples = list(samples) if samples is not None else [0] * len(prompts)
    keys = answer_keys(question.key_prefix, list(prompts), samples)
    return [Request(question, p, s, k) for p, s, k in zip(prompts, samples, keys, strict=True) if k is not None]


async def _ask(llm: ModelSettings, asked: list[Request], one_by_one: bool) -> list[Completion | BaseException]:
    client = llm.open()
    try:
        if one_by_one:
            return [await client.complete(r) for r in asked]
        return await asyncio.gather(*(client.complete(r) for r in asked), return_exceptions=True)
    finally:
        await client.close()


def texts(answers: Sequence[Any]) -> list[str]:
    """The texts of completions; raises the first error among them."""
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return [a.text for a in answers]
