"""OpenAI and every server that speaks its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dreamframe.models.api.batch_api import BatchApi, OpenAIBatches
from dreamframe.models.api.first_token import asks_for
from dreamframe.models.api.http import Http
from dreamframe.models.api.openai_format import OpenAIFormat
from dreamframe.models.api.settings import ApiLLM
from dreamframe.models.api.wire import Api, Dialect, Wire
from dreamframe.models.base import setting
from dreamframe.models.request import Question


@dataclass(frozen=True)
class OpenAI(ApiLLM):
    """A model behind OpenAI's API, or behind any server that speaks it (`base_url=`).

    The key is `api_key` or the environment variable OPENAI_API_KEY, read when the first call is made; a server of your own may need none. Without
    `base_url`, OPENAI_BASE_URL is read when the settings are made, as if it were given.
    `identity` stands for the address: give the old one, and the answers are kept when a server moves. `api` is "chat", "completions" for base models, or
    "responses". What a server refuses (`max_tokens`, a system message, a strict schema) is left out after its first refusal.

    Raises SettingError for an address that is not a URL; when asked, AuthenticationError without a key.

    >>> dr.OpenAI("my-model", base_url="http://localhost:8000/v1", temperature=0).label
    'my-model'
    """

    api: Api = setting("chat")  # chat | completions | responses
    reasoning_effort: str | None = setting()  # as the provider names it: low, medium, high

    provider: ClassVar[str] = "openai"
    has_batches: ClassVar[bool] = True
    address: ClassVar[str] = "https://api.openai.com/v1"
    address_variable: ClassVar[str] = "OPENAI_BASE_URL"
    key_variable: ClassVar[str] = "OPENAI_API_KEY"
    most_labels: ClassVar[int] = 20  # of the tokens that it lists
    counts_logprobs: ClassVar[bool] = False  # whether its chat API is told the number of tokens in `logprobs`

    def identity_fields(self) -> Mapping[str, object]:
        """Settings that were left as they are do not count: those that come later then change no identity."""
        return {k: v for k, v in super().identity_fields().items() if k not in ("api", "reasoning_effort") or v not in (None, "chat")}

    def no_probabilities(self) -> str | None:
        if self.most_labels and self.reasoning_effort not in (None, "none"):
            return f"thinks before it answers (reasoning_effort={self.reasoning_effort!r}), and a model that does tells no log-probabilities"
        return super().no_probabilities()

    def no_tools(self) -> str | None:
        return "speaks the completions API, which has no tools" if self.api == "completions" else None

    def first_api(self) -> Api:
        return self.api

    def batches(self, http: Http, place: str) -> BatchApi:
        return OpenAIBatches(http, self.url, place=place)

    def wire(self, question: Question, dialect: Dialect) -> Wire:
        more: dict[str, Any] = {}
        if self.reasoning_effort is not None:
            more = {"reasoning": {"effort": self.reasoning_effort}} if dialect.api == "responses" else {"reasoning_effort": self.reasoning_effort}
        if question.labels:
            more |= asks_for(dialect.api, self.most_labels, as_count=self.counts_logprobs)
        return OpenAIFormat(question, dialect, model=self.model, more=more)
