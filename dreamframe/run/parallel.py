"""Asking several models at once: each request goes to the asker with the most room, and on to another if that one's key or account is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dreamframe.call import Failure, Question, Request
from dreamframe.llms.base import LLM
from dreamframe.run.queue import Asking

if TYPE_CHECKING:
    from dreamframe.run.ask import Asker


class ParallelAsker:
    """The askers of several models, as one."""

    def __init__(self, llms: Sequence[LLM], askers: Sequence[Asker]) -> None:
        self._llms, self._askers = llms, askers
        self._questions: dict[int, tuple[Question, list[Question]]] = {}  # id(question) → it, and the same question to each model

    async def close(self) -> None:
        """Its askers are closed each for itself."""

    async def ask(self, requests: Sequence[Request], run: Asking, *, order: int) -> dict[int, Failure]:
        """As `Asker.ask`."""
        failures: dict[int, Failure] = {}
        left = list(range(len(requests)))
        while left:
            able = [i for i, asker in enumerate(self._askers) if not asker.is_stopped(run)]
            shares = self._shares(left, able or list(range(len(self._askers))))
            done = await asyncio.gather(*(self._share(i, [requests[p] for p in share], run, order) for i, share in shares.items()))
            left = []
            for (i, share), failed in zip(shares.items(), done, strict=True):
                handed_on = bool(able) and self._askers[i].is_stopped(run)
                for at, failure in failed.items():
                    if handed_on:
                        left.append(share[at])
                    failures[share[at]] = failure
            if left and all(asker.is_stopped(run) for asker in self._askers):
                break
            for position in left:
                del failures[position]
        return failures

    def _shares(self, positions: Sequence[int], able: Sequence[int]) -> dict[int, list[int]]:
        """Positions by model: one after the other to the one with the most room."""
        loads = {i: self._askers[i].load for i in able}
        shares: dict[int, list[int]] = {}
        for position in positions:
            i = min(loads, key=loads.__getitem__)
            shares.setdefault(i, []).append(position)
            loads[i] += 1 / self._askers[i].concurrency
        return shares

    async def _share(self, i: int, requests: Sequence[Request], run: Asking, order: int) -> dict[int, Failure]:
        question = requests[0].question
        if id(question) not in self._questions:
            self._questions[id(question)] = (question, [replace(question, llm=llm) for llm in self._llms])
        return await self._askers[i].ask(requests, run, order=order, question=self._questions[id(question)][1][i])
