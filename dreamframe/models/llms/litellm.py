"""Models of every provider that the litellm library knows: Bedrock, Vertex, Cohere, AI21 and the rest."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from dreamframe.errors import DreamframeError, MissingExtraError, NotAllowedError, SettingError
from dreamframe.models.api.http import Reply
from dreamframe.models.api.settings import Connection
from dreamframe.models.api.wire import Dialect
from dreamframe.models.base import steering
from dreamframe.models.llms.openai import OpenAI
from dreamframe.models.prices import Price
from dreamframe.models.secrets import redactor_of

PREFIXES = {  # of variables, by the first word of the provider, where they are not its own name
    "bedrock": ("AWS",),
    "sagemaker": ("AWS",),
    "vertex": ("VERTEXAI", "VERTEX", "GOOGLE", "GCLOUD", "DEFAULT_VERTEXAI"),
    "gemini": ("GOOGLE",),
    "text-completion-openai": ("OPENAI",),
    "together": ("TOGETHERAI",),
    "watsonx": ("WX", "WML"),
    "huggingface": ("HF",),
    "": ("OPENAI", "ANTHROPIC", "COHERE", "GEMINI", "GOOGLE", "MISTRAL", "REPLICATE", "HUGGINGFACE", "TOGETHERAI"),  # litellm knows them by their models
}
ADDRESS = re.compile(r"(^|_)(BASE|URL|ENDPOINT|HOST)(_|$)")
CHOICE = re.compile(r"_(API_VERSION|REGION|REGION_NAME|LOCATION|PROJECT|PROJECT_ID|DEPLOYMENT|DEPLOYMENT_ID)$")
SECRET = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)(_|$)")


@dataclass(frozen=True)
class LiteLLM(OpenAI):
    """A model by its litellm name, like "bedrock/anthropic.claude-3-haiku-20240307-v1:0". Keys are those that litellm reads from the environment.

    Needs `pip install 'dreamframe[litellm]'`. Its calls cost more CPU than those of a class of our own: prefer that where there is one. Retries and
    limits are ours, not litellm's.

    >>> dr.LiteLLM("cohere/command-r", temperature=0).label
    'cohere/command-r'
    """

    concurrency: int = steering(64)
    environment: str | None = steering()  # of a question: what the environment chose when it was made

    provider: ClassVar[str] = "litellm"
    most_labels: ClassVar[int] = 0  # which of its providers tell them is not known here
    has_batches: ClassVar[bool] = False
    dialect: ClassVar[Dialect] = Dialect(streams=("no",))  # litellm streams for servers that want it
    address: ClassVar[str] = ""
    key_variable: ClassVar[str] = "LITELLM_API_KEY"
    needs_key: ClassVar[bool] = False

    def identity_fields(self) -> Mapping[str, object]:
        """What the environment chooses for this provider counts as well: litellm reads it where no `base_url` is given."""
        around = self.environment if self.environment is not None else self.around()
        return {**super().identity_fields(), **({"environment": around} if around else {})}

    def around(self) -> str:
        """What the environment chooses now: a digest, or nothing. `identity` stands for it, as for any address."""
        return environment_of(self.model, has_base=self.base_url is not None) or "" if self.identity is None else ""

    def pinned(self) -> Self:
        if self.environment is not None:
            return self
        made = copy.copy(self)
        object.__setattr__(made, "environment", self.around())
        return made

    def pool_key(self) -> str:
        return f"{super().pool_key()} {self.identity_fields()}"

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

    def unmet(self) -> tuple[DreamframeError, ...]:
        return () if importlib.util.find_spec("litellm") else (MissingExtraError("litellm", extra="litellm", needed_for="dr.LiteLLM"),)

    def connect(self, headers: Mapping[str, str]) -> Connection:  # noqa: ARG002  litellm makes its own
        return Library(self)


def environment_of(model: str, *, has_base: bool) -> str | None:
    """A digest of the variables that choose where litellm asks for this model, and in what version or region; None where there are none.

    Keys and tokens do not count, nor do variables of other providers.
    """
    provider = model.lower().rpartition("/")[0].partition("/")[0].partition("_")[0]
    prefixes = tuple(f"{p}_" for p in (*PREFIXES.get(provider, ()), provider.upper().replace("-", "_")) if p)
    around = {k: v for k, v in os.environ.items() if k.startswith(prefixes) and not SECRET.search(k)}
    found = {k: v for k, v in around.items() if CHOICE.search(k) or (ADDRESS.search(k) and not has_base)}
    if not has_base and (base := getattr(sys.modules.get("litellm"), "api_base", None)) is not None:
        found["litellm.api_base"] = str(base)
    return hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest()[:32] if found else None


class Library:
    """The litellm library as what carries the bytes: a request becomes a call of it, an exception becomes a refusal."""

    def __init__(self, llm: LiteLLM) -> None:
        try:
            import litellm
        except ImportError as exc:
            raise MissingExtraError("litellm", extra="litellm", needed_for="dr.LiteLLM") from exc
        self._litellm: Any = litellm
        self._llm, self._hides = llm, redactor_of([llm])
        more = {"api_key": llm.key(), "api_base": llm.base_url, "extra_headers": dict(llm.headers) if llm.headers else None}
        self._more = {k: v for k, v in more.items() if v is not None} | {"num_retries": 0, "max_retries": 0, "timeout": llm.timeout_s}

    async def post(self, url: str, body: bytes) -> Reply:
        """One call. `url` tells text completions from chat. Raises SettingError where the environment came to choose another place meanwhile."""
        if self._llm.environment not in (None, self._llm.around()):
            raise SettingError(f"{self._llm.label}: the environment names another address or region than when the run began; run again.")
        ask = self._litellm.atext_completion if url.endswith("/completions") and not url.endswith("/chat/completions") else self._litellm.acompletion
        try:
            done = await ask(**json.loads(body), **self._more)
        except Exception as exc:
            status = getattr(exc, "status_code", None)
            if not isinstance(status, int):
                self._hides.error(exc)
                raise
            return Reply(status, _headers(exc), json.dumps({"error": {"message": str(exc), "code": _code(exc)}}).encode()).without(self._hides)
        return Reply(200, {}, json.dumps(done.model_dump(), default=str).encode()).without(self._hides)

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
