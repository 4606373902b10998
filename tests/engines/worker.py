"""The process that runs partitions: it has a pipe, plan JSON, and what Python alone can say of the plans of the laws."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import Any

import polars as pl

import dreamframe.testing
import tests.laws.cases
import tests.laws.talks
import tests.laws.verbs
from dreamframe.models.base import Artefact
from dreamframe.models.request import Question, Replies
from dreamframe.plan.step import ModelStep
from dreamframe.run.engines.base import Segment
from dreamframe.run.engines.pipeline import prepare, through
from dreamframe.run.engines.wire import segment_of

KNOWN = (dreamframe.testing, tests.laws.cases, tests.laws.verbs, tests.laws.talks)
HANDED = {name: value for module in KNOWN for name, value in vars(module).items() if callable(value) and name[0] != "_"}


class Remote:
    """`dreamframe.run.context.RunContext` at the far end of the pipe."""

    def __init__(self, pipe: Pipe, number: int, segment: Segment, tables: list[tuple[pl.DataFrame, ...]], trained: dict[tuple[int, int], Artefact]) -> None:
        self._pipe, self._number, self._tables = pipe, number, tables
        self._trained = {id(segment.steps[place].inputs[i]): artefact for (place, i), artefact in trained.items()}
        self._kept: list[dict[str, Any]] = [{} for _ in segment.steps]

    async def number(self, place: int, order: int, keys: Sequence[bytes | None]) -> list[int]:
        found: list[int] = await self._pipe.call("number", self._number, {"place": place, "order": order, "keys": list(keys)})
        return found

    async def ask(self, place: int, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:
        asked = {"place": place, "question": question, "keys": keys, "prompts": prompts, "samples": samples, "order": order}
        found: Replies = await self._pipe.call("ask", self._number, asked)
        return found

    def walks(self, place: int, n_in: int, n_out: int | None) -> None:
        """The counts come with the rows."""

    def note(self, place: int, said: str, figures: Mapping[str, float], *, warns: bool) -> None:
        raise AssertionError("only table steps find something, and those run where the run is")

    def artefact(self, step: ModelStep) -> Artefact:
        return self._trained[id(step)]

    def tables(self, place: int) -> tuple[pl.DataFrame, ...]:
        return self._tables[place]

    def kept(self, place: int) -> dict[str, Any]:
        return self._kept[place]


class Pipe:
    """Calls to the run, and their replies."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._calls = itertools.count()

    async def call(self, kind: str, number: int, asked: dict[str, Any]) -> Any:
        call = next(self._calls)
        self._waiting[call] = asyncio.get_running_loop().create_future()
        self.connection.send((kind, number, call, asked))
        return await self._waiting[call]

    def reply(self, call: int, made: Any) -> None:
        waiting = self._waiting.pop(call)
        if not waiting.done():
            waiting.set_exception(made) if isinstance(made, BaseException) else waiting.set_result(made)


async def _serve(connection: Connection) -> None:
    pipe = Pipe(connection)
    segments: dict[int, asyncio.Task[tuple[Segment, Remote, asyncio.Lock]]] = {}
    tasks: dict[asyncio.Task[None], int] = {}

    async def opened(number: int, text: str, tables: list[tuple[pl.DataFrame, ...]], trained: Any) -> tuple[Segment, Remote, asyncio.Lock]:
        segment = segment_of(json.loads(text), functions=HANDED, allow=("**",))
        return segment, Remote(pipe, number, segment, tables, trained), asyncio.Lock()

    async def run(number: int, order: int, rows: pl.DataFrame) -> None:
        try:
            segment, ctx, opening = await segments[number]
            async with opening:
                await prepare(segment, ctx)
            made: Any = await through(segment, order, rows, ctx)
        except Exception as exc:  # noqa: BLE001  it ends the run there
            made = RuntimeError(f"{type(exc).__name__}: {exc}")
        connection.send(("done", number, order, made, os.getpid()))

    while True:
        kind, *said = await asyncio.to_thread(connection.recv)
        if kind == "open":
            segments[said[0]] = asyncio.create_task(opened(*said))
        elif kind == "run":
            task = asyncio.create_task(run(*said))
            tasks[task] = said[0]
            task.add_done_callback(tasks.pop)
        elif kind == "reply":
            pipe.reply(*said)
        else:
            segments.pop(said[0])
            for task in [t for t, number in tasks.items() if number == said[0]]:
                task.cancel()


def work(connection: Connection) -> None:
    """Serve until the pipe ends."""
    try:
        asyncio.run(_serve(connection))
    except (EOFError, OSError):
        return
