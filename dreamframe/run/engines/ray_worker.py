"""The process of a worker on Ray: it runs partitions of segments from plan JSON. What is asked, numbered and counted is the driver's.

Ray calls a worker's methods; what a worker wants of the driver waits in `said`, which the driver asks for again and again.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from dreamframe.errors import RunError
from dreamframe.models.base import Artefact
from dreamframe.models.request import Question, Replies
from dreamframe.plan.aside import passable
from dreamframe.plan.step import ModelStep
from dreamframe.run.engines.base import Segment, SegmentResult
from dreamframe.run.engines.pipeline import prepare, through
from dreamframe.run.engines.wire import segment_of

PREPARES = -1  # the order of what a step asks before it has rows
Trained = dict[tuple[int, int], Artefact]  # (place, number of the input) → what it was trained into


class Turn(NamedTuple):
    """One time that a segment is given rows: the number of the segment, and how often it was given some before."""

    segment: int
    time: int


class Said(NamedTuple):
    """What a worker tells the driver, or wants of it: then `call` is the number that the reply names."""

    kind: str  # "number", "ask", "walks" or "note"
    turn: Turn
    order: int
    call: int
    given: dict[str, Any]


class Raised(NamedTuple):
    """What ended a partition."""

    error: Exception


class FarContext:
    """`dreamframe.run.context.RunContext` in a worker, for one partition; its `order` is PREPARES before the first."""

    def __init__(self, worker: Worker, held: Held, turn: Turn, order: int) -> None:
        self._worker, self._held, self._turn, self._order = worker, held, turn, order

    async def number(self, place: int, order: int, keys: Sequence[bytes | None]) -> list[int]:  # noqa: ARG002  it is its own
        found: list[int] = await self._call("number", {"place": place, "keys": list(keys)})
        return found

    async def ask(self, place: int, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:  # noqa: ARG002
        known = (place, question.digest)
        asked = {"place": place, "digest": question.digest, "keys": list(keys), "prompts": prompts, "samples": list(samples)}
        if known not in self._held.questions:
            self._held.questions.add(known)
            asked["question"] = question
        found: Replies = await self._call("ask", asked)
        return found

    def walks(self, place: int, n_in: int, n_out: int | None) -> None:
        self._worker.say(Said("walks", self._turn, self._order, 0, {"place": place, "n_in": n_in, "n_out": n_out}))

    def note(self, place: int, said: str, figures: Mapping[str, float], *, warns: bool) -> None:
        self._worker.say(Said("note", self._turn, self._order, 0, {"place": place, "said": said, "figures": dict(figures), "warns": warns}))

    def artefact(self, step: ModelStep) -> Artefact:
        return self._held.trained[id(step)]

    def tables(self, place: int) -> tuple[pl.DataFrame, ...]:
        return self._held.tables[place]

    def kept(self, place: int) -> dict[str, Any]:
        return self._held.kept[place]

    async def _call(self, kind: str, given: dict[str, Any]) -> Any:
        return await self._worker.call(kind, self._turn, self._order, given)


class Held:
    """A segment that was opened in a worker."""

    def __init__(self, segment: Segment, tables: list[tuple[pl.DataFrame, ...]], trained: Trained) -> None:
        self.segment, self.tables = segment, tables
        self.trained = {id(segment.steps[place].inputs[i]): artefact for (place, i), artefact in trained.items()}
        self.kept: list[dict[str, Any]] = [{} for _ in segment.steps]
        self.questions: set[tuple[int, str]] = set()  # those that the driver knows
        self.opening = asyncio.Lock()
        self.working: set[asyncio.Task[Any]] = set()


class Worker:
    """What Ray makes an actor of."""

    def __init__(self, path: Sequence[str]) -> None:
        """`path`: where the driver finds modules; plans may hold functions and classes of them."""
        sys.path += [place for place in path if place not in sys.path]
        self._segments: dict[int, Held] = {}
        self._said: list[Said] = []
        self._has_said = asyncio.Event()
        self._calls = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}

    async def process(self) -> int:
        """The number of this process: it is there, and may be asked."""
        return os.getpid()

    async def open(self, number: int, text: str, handed: dict[str, object], beside: tuple[list[tuple[pl.DataFrame, ...]], Trained]) -> Raised | None:
        """Read a segment. `handed` is what JSON cannot hold of it, as Ray brings it from the process of the user's own plan; `beside` its tables and
        trained models."""
        try:
            record = json.loads(text)
            segment = segment_of(record, functions=handed, allow=record["allow"], trust_remote_code=True)  # what the driver runs already
        except Exception as exc:  # noqa: BLE001  the driver runs the segment itself, and says why
            return Raised(crossing(exc))
        self._segments[number] = Held(segment, *beside)
        return None

    async def run(self, turn: Turn, order: int, rows: pl.DataFrame) -> SegmentResult | Raised:
        """One partition through all steps."""
        held = self._segments[turn.segment]
        task = asyncio.ensure_future(self._through(held, turn, order, rows))
        held.working.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            return Raised(RunError("nobody wants these rows any more"))
        except BaseException as exc:  # noqa: BLE001  it ends the run, there
            return Raised(crossing(exc))
        finally:
            held.working.discard(task)

    async def _through(self, held: Held, turn: Turn, order: int, rows: pl.DataFrame) -> SegmentResult:
        async with held.opening:
            await prepare(held.segment, FarContext(self, held, turn, PREPARES))
        return await through(held.segment, order, rows, FarContext(self, held, turn, order))

    async def stop(self, number: int, *, is_over: bool) -> None:
        """Nobody wants what is under way of a segment; nor the segment, when it `is_over`."""
        held = self._segments.get(number)
        for task in [] if held is None else list(held.working):
            task.cancel()
        if is_over:
            self._segments.pop(number, None)

    # What the driver is told

    def say(self, message: Said) -> None:
        """Let the driver know, soon."""
        self._said.append(message)
        self._has_said.set()

    async def call(self, kind: str, turn: Turn, order: int, given: dict[str, Any]) -> Any:
        """What the driver replies."""
        call = next(self._calls)
        self._waiting[call] = asyncio.get_running_loop().create_future()
        try:
            self.say(Said(kind, turn, order, call, given))
            return await self._waiting[call]
        finally:
            del self._waiting[call]

    async def said(self) -> list[Said]:
        """All that was said since the last time, as soon as there is something."""
        await self._has_said.wait()
        self._has_said.clear()
        said, self._said = self._said, []
        return said

    async def reply(self, call: int, made: Any) -> None:
        """The driver's reply to a call."""
        waiting = self._waiting.get(call)
        if waiting is not None and not waiting.done():
            waiting.set_exception(made.error) if isinstance(made, Raised) else waiting.set_result(made)


def crossing(exc: BaseException) -> Exception:
    """The exception, where it comes out of another process as it went in; else its words."""
    made = passable(exc)
    try:
        told: Any = made.__reduce_ex__(2)
        maker, args, *state = told
        is_same = str(maker(*args)) == str(made) and _is_plain([args, *state])
    except Exception:  # noqa: BLE001  whatever an exception of the user's does when it is made again
        is_same = False
    return made if is_same else RunError(f"{type(exc).__name__}: {exc}")


def _is_plain(value: object) -> bool:
    """Whether nothing but values crosses with it."""
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(_is_plain(v) for pair in value.items() for v in pair)
    return value is None or type(value) in (bool, int, float, str, bytes)
