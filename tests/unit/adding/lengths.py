"""An embedder."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import ClassVar

from dreamframe.models.base import Client
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.request import Completion, Request


@dataclass(frozen=True)
class Lengths(Embedder):
    """One number a text: how long it is."""

    model: str = "lengths"
    provider: ClassVar[str] = "lengths"
    dim: ClassVar[int] = 1

    def pool_key(self) -> str:
        return "lengths"

    def open(self) -> Client:
        return LengthsClient()


class LengthsClient:
    concurrency = 4

    async def complete(self, request: Request) -> Completion:
        return Completion(None, data=struct.pack("<f", len(request.prompt)), model="lengths")

    async def close(self) -> None: ...
