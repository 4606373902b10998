"""Language models by name: `"openai/gpt-4o-mini"` is a provider and a model."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from dreamframe.errors import SettingError, did_you_mean
from dreamframe.models.base import LLM
from dreamframe.models.habits import called, described
from dreamframe.names import named, providers

EXAMPLE = 'dr.llm("openai/gpt-4o-mini")'


def llm(name: str, **settings: Any) -> LLM:
    """Make a model's settings from `"provider/model"`; `settings` are those of the provider's class.

    Raises SettingError for a name without a known provider and for settings that the provider does not have.

    >>> dr.llm("openai/gpt-4o-mini", temperature=0).model
    'gpt-4o-mini'
    """
    if not isinstance(name, str):
        raise SettingError(f"llm: {described(name)} is not a name such as 'openai/gpt-4o-mini'; a model is given to a verb as it is.{called(name)}")
    provider, slash, model = name.partition("/")
    places = providers()
    known = list(places)
    if provider not in known:
        what = f"names no provider: {provider!r} is not one" if slash else "names no provider"
        raise SettingError(f"llm {name!r} {what}.{did_you_mean(provider, known)} Possible: {', '.join(known)}. Example: {EXAMPLE}.")
    kind: type[LLM] = named(places[provider])
    own = {f.name for f in fields(kind) if f.init}
    for setting in settings:
        if setting not in own:
            raise SettingError.unknown(setting, possible=own - {"model"}, where=f"llm {name!r}")
    if model:
        return kind(model, **settings)
    if any(f.name == "model" and f.default is MISSING and f.default_factory is MISSING for f in fields(kind)):
        raise SettingError(f"llm {name!r} names no model after its provider. Example: {EXAMPLE}.")
    return kind(**settings)
