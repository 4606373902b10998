"""A model that answers with the number of the sample, in an order that only the requests' keys decide: what the laws ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import dreamframe as dr
from dreamframe.models.base import Client, setting, steering
from dreamframe.models.menu import weighed
from dreamframe.models.request import Completion, Request
from dreamframe.testing import Fake, FakeClient


@dataclass(frozen=True)
class Ordinal(Fake):
    """Answers with the prompt and the request's ordinal among its equals, in an order that only the requests' keys decide."""

    model: str = "ordinal"
    tone: str | None = setting()
    refuses: Callable[[str], bool] | None = steering()
    provider: ClassVar[str] = "ordinal"
    most_labels: ClassVar[int] = 4

    def open(self) -> Client:
        return OrdinalClient(self)

    def reply(self, request: Request) -> Completion:
        if self.refuses is not None and self.refuses(request.prompt):
            raise dr.errors.BadRequestError("refused", status=400)
        if labels := request.question.labels:
            shares = [(len(request.prompt) * (i + 3)) % 7 + 1.0 for i in range(len(labels))]
            return Completion(weighed(labels, [share / (sum(shares) + 1) for share in shares]), n_in=1, n_out=1, model=self.model)
        return Completion(f"{request.prompt} #{request.sample}", n_in=1, n_out=1, model=self.model)


@dataclass(frozen=True)
class Brief(Ordinal):
    """Answers with the end of the prompt."""

    model: str = "brief"
    provider: ClassVar[str] = "brief"

    def reply(self, request: Request) -> Completion:
        return Completion(f"{request.prompt[-9:]} #{request.sample}", n_in=1, n_out=1, model=self.model)


class OrdinalClient(FakeClient):
    """Lets requests gather for two milliseconds and answers them in the order of their keys, as if thrown together by a busy server."""

    def __init__(self, llm: Fake) -> None:
        super().__init__(llm)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []

    async def complete(self, request: Request) -> Completion:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append((request.key, turn))
        if len(self._waiting) == 1:
            loop.call_later(0.002, self._release)
        await turn
        return await super().complete(request)

    def _release(self) -> None:
        waiting, self._waiting = sorted(self._waiting, key=lambda w: w[0]), []
        for _, turn in waiting:
            if not turn.done():
                turn.set_result(None)
