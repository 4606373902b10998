"""A segment that workers on Ray run, at the driver: what it is for them, and what the run does for their partitions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Protocol

from dreamframe.errors import PlanFormatError
from dreamframe.models.base import ModelSettings
from dreamframe.models.request import Question, Replies
from dreamframe.plan.step import ModelStep
from dreamframe.run.context import RunContext
from dreamframe.run.engines.base import Segment
from dreamframe.run.engines.ray_worker import PREPARES, Raised, Said, Trained, Turn, crossing
from dreamframe.run.engines.wire import segment_record

Key = tuple[Any, ...]


class Answerable(Protocol):
    """Who said something, and waits for the reply."""

    def reply(self, call: int, made: Any) -> None: ...


class Served:
    """A segment with its run. What a partition asked or numbered is done once, also when its worker died and another one runs it again."""

    def __init__(self, number: int, segment: Segment, ctx: RunContext, place_model: Callable[[Any], Any]) -> None:
        """Raises PlanFormatError for a segment that cannot cross. `place_model` gives a model's settings, or those that ask its replicas."""
        self.segment, self.ctx, self._place_model = segment, ctx, place_model
        self.handed: dict[str, object] = {}
        self.text = json.dumps({**segment_record(segment, handed=self.handed), "allow": _allowed(segment)})
        self.turn = Turn(number, 0)
        self._done: dict[int, dict[Key, asyncio.Task[Any]]] = {}  # by order of the partition
        self._numbered: dict[tuple[int, int], list[bytes | None]] = {}  # (order, place) → the requests
        self._walked: set[tuple[int, int, bool]] = set()  # (order, place, whether it was through)
        self._questions: dict[tuple[int, str], Question] = {}  # as a worker has said them
        self._mine: dict[tuple[int, str], Question] = {}
        self._errors: dict[int, BaseException] = {}  # what a partition was told, as it was raised here
        self._serving: set[asyncio.Task[None]] = set()

    def beside(self) -> tuple[list[Any], Trained]:
        """The tables and the trained models that its steps read."""
        places = range(len(self.segment.steps))
        steps = [(p, i, below) for p in places for i, below in enumerate(self.segment.steps[p].inputs)]
        return [self.ctx.tables(p) for p in places], {(p, i): self.ctx.artefact(below) for p, i, below in steps if isinstance(below, ModelStep)}

    def begin(self) -> None:
        """It is given rows: partitions are numbered from 0."""
        self.turn = self.turn._replace(time=self.turn.time + 1)

    def finished(self, order: int) -> None:
        """A partition is done: nobody runs it again."""
        self._done.pop(order, None)

    def error_of(self, order: int, told: Exception) -> BaseException:
        """What ended a partition: the error itself, where it was raised here and the worker only passed it on."""
        mine = self._errors.get(order, self._errors.get(PREPARES))
        return told if mine is None else mine

    async def end(self) -> None:
        """Nobody wants more rows: what is asked for is given up."""
        self.turn = self.turn._replace(time=self.turn.time + 1)  # what workers say of the last one is not listened to
        prepared = {key: task for key, task in self._done.get(PREPARES, {}).items() if task.done() and not task.cancelled()}
        tasks = [*self._serving, *(task for done in self._done.values() for task in done.values() if not task.done())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._done = {PREPARES: prepared}
        for known in (self._numbered, self._walked, self._errors):
            known.clear()

    # What workers say

    def heard(self, said: Said, worker: Answerable) -> None:
        """Do what a worker wants."""
        given, place = said.given, said.given["place"]
        if question := given.pop("question", None):
            self._questions.setdefault((place, given["digest"]), question)
        if said.turn != self.turn:
            return
        if said.kind == "walks":
            walked = (said.order, place, given["n_out"] is not None)
            if walked not in self._walked:  # it was run before, on a worker that died
                self._walked.add(walked)
                self.ctx.walks(place, given["n_in"], given["n_out"])
        elif said.kind == "note":
            self.ctx.note(place, given["said"], given["figures"], warns=given["warns"])
        else:
            task = asyncio.ensure_future(self._serve(said, worker))
            self._serving.add(task)
            task.add_done_callback(self._serving.discard)

    async def _serve(self, said: Said, worker: Answerable) -> None:
        order, given = said.order, said.given
        made: Any
        try:
            made = await (self._number(order, **given) if said.kind == "number" else self._ask(order, **given))
        except asyncio.CancelledError:
            raise
        except BaseException as exc:  # noqa: BLE001  whatever it is, it is the partition's to hear
            self._errors.setdefault(order, exc)
            made = Raised(crossing(exc))
        worker.reply(said.call, made)

    async def _number(self, order: int, place: int, keys: list[bytes | None]) -> list[int]:
        known = self._numbered.setdefault((order, place), keys)
        if known != keys:  # a function gave other values at the second time: these have no number among the rows of the run
            return [keys[:i].count(key) if key is not None else 0 for i, key in enumerate(keys)]
        found: list[int] = await self._once(order, ("number", place), lambda: self.ctx.number(place, order, keys))
        return found

    async def _ask(self, order: int, place: int, digest: str, keys: list[bytes | None], prompts: Any, samples: list[int]) -> Replies:
        question = self._question(place, digest)
        key = ("ask", place, digest, tuple(keys))
        found: Replies = await self._once(order, key, lambda: self.ctx.ask(place, question, keys, prompts, samples, max(order, 0)))
        return found

    async def _once(self, order: int, key: Key, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        done = self._done.setdefault(order, {})
        if key not in done:
            done[key] = asyncio.ensure_future(work())
        return await asyncio.shield(done[key])  # whoever waits may end, and another one wait for it

    def _question(self, place: int, digest: str) -> Question:
        """The question with the run's own model in it: what does not cross (a key, a client, a log) is on that one."""
        known = (place, digest)
        if known not in self._mine:
            theirs = self._questions[known]
            models: list[ModelSettings] = [m.resolve(lambda trained: self.ctx.artefact(trained.step)) for m in self.segment.steps[place].asks()]
            asked: Any = theirs.llm
            mine = next(found for m in models if (found := m.matching(asked)) is not None)
            self._mine[known] = replace(theirs, llm=self._place_model(mine))
        return self._mine[known]


def _allowed(segment: Segment) -> list[str] | None:
    """What the segment may reach, where a worker reads it: what its steps may here."""
    authorities = {step.authority for step in segment.steps}
    if len(authorities) > 1:
        raise PlanFormatError("some of them are of a plan that was read, and may not reach what the others may")
    (authority,) = authorities
    return None if authority is None else list(authority.listed)
