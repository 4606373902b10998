"""Language models by name: `"openai/gpt-4o-mini"` is a provider and a model."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import MISSING, fields
from typing import Any

from dreamframe.errors import SettingError, did_you_mean
from dreamframe.models.base import LLM

PROVIDERS = {
    "openai": "openai:OpenAI",
    "azure": "compatible:AzureOpenAI",
    "together": "compatible:Together",
    "groq": "compatible:Groq",
    "openrouter": "compatible:OpenRouter",
    "deepseek": "compatible:DeepSeek",
    "fireworks": "compatible:Fireworks",
    "gemini": "compatible:Gemini",
    "hf": "compatible:HFInference",
    "ollama": "compatible:Ollama",
    "vllm-server": "compatible:VLLMServer",
    "llamacpp-server": "compatible:LlamaCppServer",
    "anthropic": "anthropic:Anthropic",
    "mistral": "mistral:Mistral",
    "litellm": "litellm:LiteLLM",
    "transformers": "transformers:Transformers",
    "llamacpp": "llamacpp:LlamaCpp",
    "smollm2": "smollm2:SmolLM2",
    "vllm": "vllm:VLLM",
}
"""Provider → file beside this one and class in it. Imported when first named."""

EXAMPLE = 'dr.llm("openai/gpt-4o-mini")'


def llm(name: str, **settings: Any) -> LLM:
    """Make a model's settings from `"provider/model"`; `settings` are those of the provider's class.

    Raises SettingError for a name without a known provider and for settings that the provider does not have.

    >>> dr.llm("openai/gpt-4o-mini", temperature=0).model
    'gpt-4o-mini'
    """
    provider, slash, model = name.partition("/")
    known = providers()
    if provider not in known:
        what = f"names no provider: {provider!r} is not one" if slash else "names no provider"
        raise SettingError(f"llm {name!r} {what}.{did_you_mean(provider, known)} Possible: {', '.join(known)}. Example: {EXAMPLE}.")
    kind = _class(provider)
    own = {f.name for f in fields(kind) if f.init}
    for setting in settings:
        if setting not in own:
            raise SettingError.unknown(setting, possible=own - {"model"}, where=f"llm {name!r}")
    if model:
        return kind(model, **settings)
    if any(f.name == "model" and f.default is MISSING and f.default_factory is MISSING for f in fields(kind)):
        raise SettingError(f"llm {name!r} names no model after its provider. Example: {EXAMPLE}.")
    return kind(**settings)


def providers() -> list[str]:
    """The names that can stand before the slash."""
    return [name for name, place in PROVIDERS.items() if importlib.util.find_spec(f"dreamframe.models.llms.{place.partition(':')[0]}")]


def _class(provider: str) -> type[LLM]:
    file, _, name = PROVIDERS[provider].partition(":")
    kind: type[LLM] = getattr(importlib.import_module(f"dreamframe.models.llms.{file}"), name)
    return kind
