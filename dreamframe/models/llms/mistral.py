"""Mistral's models, by its own API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamframe.models.api.wire import Dialect
from dreamframe.models.llms.openai import OpenAI


@dataclass(frozen=True)
class Mistral(OpenAI):
    """A model behind Mistral's API. Key: MISTRAL_API_KEY.

    >>> dr.Mistral("mistral-small-latest").endpoint
    'https://api.mistral.ai/v1'
    """

    provider: ClassVar[str] = "mistral"
    most_labels: ClassVar[int] = 0
    address: ClassVar[str] = "https://api.mistral.ai/v1"
    key_variable: ClassVar[str] = "MISTRAL_API_KEY"
    dialect: ClassVar[Dialect] = Dialect(seed="random_seed")
