"""A language model of a protocol of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dreamframe.models.base import LLM, Client
from dreamframe.models.request import Completion, Request


@dataclass(frozen=True)
class Shouting(LLM):
    """Says it louder."""

    provider: ClassVar[str] = "shouting"

    def pool_key(self) -> str:
        return "shouting"

    def open(self) -> Client:
        return ShoutingClient()


class ShoutingClient:
    concurrency = 4

    async def complete(self, request: Request) -> Completion:
        return Completion(request.prompt.upper(), model="shouting")

    async def close(self) -> None: ...
