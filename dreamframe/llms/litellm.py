"""Models of every provider that the litellm library knows: Bedrock, Vertex, Cohere, AI21 and the rest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dreamframe.errors import MissingExtraError, NotAllowedError
from dreamframe.llms.api import Connection
from dreamframe.llms.base import steering
from dreamframe.llms.http import Reply
from dreamframe.llms.openai import OpenAI
from dreamframe.llms.prices import Price


@dataclass(frozen=True)
class LiteLLM(OpenAI):
    """A model by its litellm name, like "bedrock/anthropic.claude-3-haiku-20240307-v1:0". Keys are those that litellm reads from the environment.

    Needs `pip install 'dreamframe[litellm]'`, in an environment without openai 3. Its calls cost more CPU than those of a class of our own: prefer that
    where there is one. Retries and limits are ours, not litellm's.

    >>> dr.LiteLLM("cohere/command-r", temperature=0).label
    'cohere/command-r'
    """

    concurrency: int = steering(64)

    provider: ClassVar[str] = "litellm"
    has_batches: ClassVar[bool] = False
    address: ClassVar[str] = ""
    key_variable: ClassVar[str] = "LITELLM_API_KEY"
    needs_key: ClassVar[bool] = False
    pip_extra: ClassVar[str] = "litellm"

    @property
    def price(self) -> Price | None:
        """Nothing is known of it here."""
        return None

    def check_reach(self) -> None:
        """Its name decides who is asked, with whose key: it is listed, or not asked."""
        super().check_reach()
        if self.authority is not None and self.model not in self.authority.listed:
            what = f"{self.label}: where LiteLLM asks, and with which of your keys, its model's name decides"
            raise NotAllowedError(f"{what}. If it may, list the name where you read the plan: allow=[{self.model!r}].")

    def connect(self, headers: Mapping[str, str]) -> Connection:  # noqa: ARG002  litellm makes its own
        return Library(self)


class Library:
    """The litellm library as what carries the bytes: a request becomes a call of it, an exception becomes a refusal."""

    def __init__(self, llm: LiteLLM) -> None:
        try:
            import litellm
        except ImportError as exc:
            raise MissingExtraError("litellm", extra="litellm", needed_for="dr.LiteLLM") from exc
        self._litellm: Any = litellm
        more = {"api_key": llm.key(), "api_base": llm.base_url, "extra_headers": llm.headers}
        self._more = {k: v for k, v in more.items() if v is not None} | {"num_retries": 0, "max_retries": 0, "timeout": llm.timeout_s}

    async def post(self, url: str, body: bytes) -> Reply:
        """One call. `url` tells text completions from chat."""
        ask = self._litellm.atext_completion if url.endswith("/completions") and not url.endswith("/chat/completions") else self._litellm.acompletion
        try:
            done = await ask(**json.loads(body), **self._more)
        except Exception as exc:
            status = getattr(exc, "status_code", None)
            if not isinstance(status, int):
                raise
            return Reply(status, _headers(exc), json.dumps({"error": {"message": str(exc), "code": _code(exc)}}).encode())
        return Reply(200, {}, json.dumps(done.model_dump(), default=str).encode())

    async def close(self) -> None:
        """litellm keeps its own connections."""


def _headers(exc: Exception) -> Mapping[str, str]:
    """The headers of the provider's reply, as far as litellm kept them."""
    found: Mapping[str, str] = getattr(getattr(exc, "response", None), "headers", None) or {}
    return {{"retry-after": "Retry-After"}.get(k.lower(), k): v for k, v in dict(found).items()}


def _code(exc: Exception) -> str:
    """litellm's classes say more than its status codes."""
    names = {"ContentPolicyViolationError": "content_policy_violation", "ContextWindowExceededError": "context_length_exceeded"}
    return names.get(type(exc).__name__, type(exc).__name__)
