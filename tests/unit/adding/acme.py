"""A preset of a server that speaks OpenAI's protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamframe.models.llms.openai import OpenAI


@dataclass(frozen=True)
class Acme(OpenAI):
    """A model at acme.example. Key: ACME_API_KEY."""

    provider: ClassVar[str] = "acme"
    address: ClassVar[str] = "https://api.acme.example/v1"
    key_variable: ClassVar[str] = "ACME_API_KEY"
