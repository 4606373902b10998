"""Providers and servers that speak OpenAI's protocol, each with its address, the name of its key's variable, and where it differs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import parse_qsl, urlencode

from dreamframe.errors import SettingError
from dreamframe.models.api.settings import no_key
from dreamframe.models.api.variant import variant_of
from dreamframe.models.api.wire import Dialect
from dreamframe.models.base import setting
from dreamframe.models.llms.openai import OpenAI


@dataclass(frozen=True)
class Together(OpenAI):
    """A model at together.ai. Key: TOGETHER_API_KEY; address: TOGETHER_BASE_URL, if any.

    >>> dr.Together("meta-llama/Llama-3.3-70B-Instruct-Turbo").endpoint
    'https://api.together.xyz/v1'
    """

    provider: ClassVar[str] = "together"
    most_labels: ClassVar[int] = 20
    counts_logprobs: ClassVar[bool] = True
    address: ClassVar[str] = "https://api.together.xyz/v1"
    address_variable: ClassVar[str] = "TOGETHER_BASE_URL"
    key_variable: ClassVar[str] = "TOGETHER_API_KEY"


@dataclass(frozen=True)
class Groq(OpenAI):
    """A model at groq.com. Key: GROQ_API_KEY; address: GROQ_BASE_URL, if any.

    >>> dr.Groq("llama-3.1-8b-instant").endpoint
    'https://api.groq.com/openai/v1'
    """

    provider: ClassVar[str] = "groq"
    most_labels: ClassVar[int] = 0
    address: ClassVar[str] = "https://api.groq.com/openai/v1"
    address_variable: ClassVar[str] = "GROQ_BASE_URL"
    adds_path: ClassVar[bool] = True
    key_variable: ClassVar[str] = "GROQ_API_KEY"


@dataclass(frozen=True)
class OpenRouter(OpenAI):
    """A model behind openrouter.ai. Key: OPENROUTER_API_KEY.

    >>> dr.OpenRouter("anthropic/claude-sonnet-4").endpoint
    'https://openrouter.ai/api/v1'
    """

    provider: ClassVar[str] = "openrouter"
    address: ClassVar[str] = "https://openrouter.ai/api/v1"
    key_variable: ClassVar[str] = "OPENROUTER_API_KEY"


@dataclass(frozen=True)
class DeepSeek(OpenAI):
    """A model at deepseek.com. Key: DEEPSEEK_API_KEY. It has a JSON mode but no schemas, so the schema is told as well.

    >>> dr.DeepSeek("deepseek-chat").endpoint
    'https://api.deepseek.com/v1'
    """

    provider: ClassVar[str] = "deepseek"
    address: ClassVar[str] = "https://api.deepseek.com/v1"
    key_variable: ClassVar[str] = "DEEPSEEK_API_KEY"
    dialect: ClassVar[Dialect] = Dialect(schema="object")


@dataclass(frozen=True)
class Fireworks(OpenAI):
    """A model at fireworks.ai. Key: FIREWORKS_API_KEY; address: FIREWORKS_BASE_URL, if any.

    >>> dr.Fireworks("accounts/fireworks/models/llama-v3p1-8b-instruct").endpoint
    'https://api.fireworks.ai/inference/v1'
    """

    provider: ClassVar[str] = "fireworks"
    most_labels: ClassVar[int] = 5
    address: ClassVar[str] = "https://api.fireworks.ai/inference/v1"
    address_variable: ClassVar[str] = "FIREWORKS_BASE_URL"
    adds_path: ClassVar[bool] = True
    key_variable: ClassVar[str] = "FIREWORKS_API_KEY"


@dataclass(frozen=True)
class Gemini(OpenAI):
    """A Gemini model by Google's OpenAI-compatible endpoint. Key: GEMINI_API_KEY; address: GOOGLE_GEMINI_BASE_URL, if any.

    >>> dr.Gemini("gemini-2.5-flash").endpoint
    'https://generativelanguage.googleapis.com/v1beta/openai'
    """

    provider: ClassVar[str] = "gemini"
    most_labels: ClassVar[int] = 0  # not by this endpoint
    address: ClassVar[str] = "https://generativelanguage.googleapis.com/v1beta/openai"
    address_variable: ClassVar[str] = "GOOGLE_GEMINI_BASE_URL"
    adds_path: ClassVar[bool] = True
    key_variable: ClassVar[str] = "GEMINI_API_KEY"


@dataclass(frozen=True)
class HFInference(OpenAI):
    """A model behind Hugging Face's inference router, or (with `base_url`) an inference endpoint. Key: HF_TOKEN.

    >>> dr.HFInference("meta-llama/Llama-3.1-8B-Instruct").endpoint
    'https://router.huggingface.co/v1'
    """

    provider: ClassVar[str] = "hf"
    most_labels: ClassVar[int] = 5
    address: ClassVar[str] = "https://router.huggingface.co/v1"
    key_variable: ClassVar[str] = "HF_TOKEN"


@dataclass(frozen=True)
class Ollama(OpenAI):
    """A model in an Ollama server, by default on this machine or where OLLAMA_HOST says. It needs no key.

    >>> dr.Ollama("llama3.2").endpoint
    'http://localhost:11434/v1'
    """

    provider: ClassVar[str] = "ollama"
    address: ClassVar[str] = "http://localhost:11434/v1"
    address_variable: ClassVar[str] = "OLLAMA_HOST"
    adds_path: ClassVar[bool] = True
    is_named_by_host: ClassVar[bool] = True
    key_variable: ClassVar[str] = "OLLAMA_API_KEY"
    needs_key: ClassVar[bool] = False


@dataclass(frozen=True)
class VLLMServer(OpenAI):
    """A model in a vLLM server (`vllm serve`), by default on this machine. Key, where the server wants one: VLLM_API_KEY.

    >>> dr.VLLMServer("Qwen/Qwen2.5-7B-Instruct", base_url="http://gpu1:8000/v1").endpoint
    'http://gpu1:8000/v1'
    """

    provider: ClassVar[str] = "vllm-server"
    address: ClassVar[str] = "http://localhost:8000/v1"
    key_variable: ClassVar[str] = "VLLM_API_KEY"
    needs_key: ClassVar[bool] = False


@dataclass(frozen=True)
class LlamaCppServer(OpenAI):
    """A model in a llama.cpp server (`llama-server`), by default on this machine. Key, where the server wants one: LLAMA_API_KEY.

    >>> dr.LlamaCppServer("qwen").endpoint
    'http://localhost:8080/v1'
    """

    provider: ClassVar[str] = "llamacpp-server"
    address: ClassVar[str] = "http://localhost:8080/v1"
    key_variable: ClassVar[str] = "LLAMA_API_KEY"
    needs_key: ClassVar[bool] = False


@dataclass(frozen=True)
class AzureOpenAI(OpenAI):
    """A deployment at Azure: `model` is its name, `base_url` the resource, such as "https://my-resource.openai.azure.com" (or AZURE_OPENAI_ENDPOINT). Key:
    AZURE_OPENAI_API_KEY.

    Without `api_version`, Azure's v1 API is spoken; with one (or OPENAI_API_VERSION), the older API of that date. Raises SettingError without an address.

    >>> dr.AzureOpenAI("my-gpt", base_url="https://mine.openai.azure.com").url("/chat/completions")
    'https://mine.openai.azure.com/openai/v1/chat/completions'
    """

    api_version: str | None = setting()

    provider: ClassVar[str] = "azure"
    address_variable: ClassVar[str] = "AZURE_OPENAI_ENDPOINT"
    key_variable: ClassVar[str] = "AZURE_OPENAI_API_KEY"

    def __post_init__(self) -> None:
        is_told = self.base_url is not None
        super().__post_init__()
        if not is_told and self.api_version is None and (version := os.environ.get("OPENAI_API_VERSION", "").strip()):
            object.__setattr__(self, "api_version", version)
        if self.base_url is None:
            like = "'https://my-resource.openai.azure.com'"
            raise SettingError(f"AzureOpenAI: base_url is missing. Give the address of your resource, like {like}, or set AZURE_OPENAI_ENDPOINT.")

    def key(self) -> str | None:
        if (found := super().key()) is None:
            raise no_key(self)
        return found

    def url(self, path: str) -> str:
        if self.api_version is None:
            return f"{self.endpoint.removesuffix('/openai/v1')}/openai/v1{path}" + (f"?{self.query}" if self.query else "")
        return f"{self.endpoint}/openai/deployments/{self.model}{path}?api-version={self.api_version}" + (f"&{self.query}" if self.query else "")

    def auth(self, key: str | None) -> Mapping[str, str]:
        return {"api-key": key} if key else {}

    def asks_for(self) -> str | None:
        query = urlencode([(k, v) for k, v in parse_qsl(self.query or "", keep_blank_values=True) if k != "api-version"])
        return variant_of(None if self.identity else query, self.headers or ())

    def identity_fields(self) -> Mapping[str, object]:
        """The version of the API changes how a deployment is asked, not what it answers."""
        return {k: v for k, v in super().identity_fields().items() if k != "api_version"}
