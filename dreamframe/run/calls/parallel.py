"""Asking several models at once: each request goes to the asker with the most room, and on to another if that one's key or account is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dreamframe.models.base import LLM
from dreamframe.models.request import Failure, Question, Request
from dreamframe.run.calls.queue import Asking

if TYPE_CHECKING:
    from dreamframe.run.calls.caller import Asker


class ParallelAsker:
    """The askers of several models, as one."""

    def __init__(self, llms: Sequence[LLM], askers: Sequence[Asker]) -> None:
        self._llms, self._askers = llms, askers
        self._questions: dict[str, list[Question]] = {}  # digest of a question → the same question to each model
        self._asked: dict[bytes, tuple[int, int]] = {}  # answer key → the asker that has it on its way, and for how many

    async def close(self) -> None:
        """Its askers are closed each for itself."""

    async def landed(self, run: Asking, within_s: float) -> None:
        """As `Asker.landed`."""
        await asyncio.gather(*(asker.landed(run, within_s) for asker in self._askers))

    async def ask(self, requests: Sequence[Request], run: Asking, *, order: int) -> dict[int, Failure]:
        """As `Asker.ask`."""
        failures: dict[int, Failure] = {}
        left = list(range(len(requests)))
        while left:
            able = [i for i in range(len(self._askers)) if not self._is_stopped(i, run)]
            shares = self._shares(left, requests, able or list(range(len(self._askers))))
            done = await self._each(shares, requests, run, order)
            left = []
            for (i, share), failed in zip(shares.items(), done, strict=True):
                handed_on = bool(able) and self._is_stopped(i, run)
                for at, failure in failed.items():
                    if handed_on:
                        left.append(share[at])
                    failures[share[at]] = failure
            if left and all(self._is_stopped(i, run) for i in range(len(self._askers))):
                break
            for position in left:
                del failures[position]
        return failures

    def _is_stopped(self, i: int, run: Asking) -> bool:
        return self._askers[i].stopped(run, self._llms[i].label) is not None

    def _shares(self, positions: Sequence[int], requests: Sequence[Request], able: Sequence[int]) -> dict[int, list[int]]:
        """Positions by model: one after the other to the one with the most room, or to the one that asks an equal request now."""
        loads = {i: self._askers[i].load for i in able}
        shares: dict[int, list[int]] = {}
        placed: dict[bytes, int] = {}
        for position in positions:
            key = requests[position].key
            i = placed[key] if key in placed else self._asked.get(key, (-1, 0))[0]
            if i not in loads:
                i = min(loads, key=loads.__getitem__)
            placed[key] = i
            shares.setdefault(i, []).append(position)
            loads[i] += 1 / self._askers[i].concurrency
        return shares

    async def _each(self, shares: dict[int, list[int]], requests: Sequence[Request], run: Asking, order: int) -> list[dict[int, Failure]]:
        """Ask each model its share. If one ask ends with a fault, the others are dropped."""
        asked = [(i, requests[p].key) for i, share in shares.items() for p in share]
        for i, key in asked:  # before anybody else is let to look
            self._asked[key] = (i, self._asked.get(key, (i, 0))[1] + 1)
        tasks = [asyncio.ensure_future(self._share(i, [requests[p] for p in share], run, order)) for i, share in shares.items()]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for _, key in asked:
                at, n = self._asked.pop(key)
                if n > 1:
                    self._asked[key] = (at, n - 1)

    def _share(self, i: int, requests: Sequence[Request], run: Asking, order: int) -> Coroutine[Any, Any, dict[int, Failure]]:
        question = requests[0].question
        if question.digest not in self._questions:
            self._questions[question.digest] = [replace(question, llm=llm) for llm in self._llms]
        return self._askers[i].ask(requests, run, order=order, question=self._questions[question.digest][i])
