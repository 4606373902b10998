"""One process with a loaded model, and the place that is kept filled: a process that ends is started again, up to a limit."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from typing import IO, Any

from dreamframe.errors import DreamframeError, PermanentCallError
from dreamframe.models.local.replica_wire import LONGEST_LINE, completion_of, error_of, request_fields
from dreamframe.models.request import Completion, Request

BACKOFF_S, LONGEST_BACKOFF_S = 0.5, 30.0  # before a process is started again; doubled each time that one ended without an answer
MOST_ENDS = 5  # processes of one place that may end so in a row
LEAVE_S = 10.0  # how long a process may take to unload
LAST_WORDS = 2000  # characters of what it wrote to its standard error


class Ended(Exception):
    """The process ended before it had answered."""


class Strange(Exception):
    """The engine raised what it has no name for: the fault of the request, or of the process."""

    def __init__(self, error: DreamframeError) -> None:
        super().__init__(str(error))
        self.error = error


class Replica:
    """One process, and the requests that it has not answered yet."""

    def __init__(self, process: asyncio.subprocess.Process, told: IO[bytes]) -> None:
        self.process, self._told = process, told
        self.waiting: dict[int, asyncio.Future[Completion]] = {}
        self.is_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.has_answered = False
        self.n_faults = 0  # requests in a row that it failed and another answered
        self.reading = asyncio.ensure_future(self._read())

    @classmethod
    async def started(cls, settings: Mapping[str, Any]) -> Replica:
        """A process that loads the model that these fields describe. It ends with this one: its input ends then."""
        told = tempfile.TemporaryFile()  # noqa: SIM115  closed with the replica
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-X", "faulthandler", "-m", "dreamframe.models.local.replica_worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=told,
                limit=LONGEST_LINE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        except BaseException:
            told.close()
            raise
        replica = cls(process, told)
        replica._send(settings)
        return replica

    async def ask(self, number: int, request: Request) -> Completion:
        """The answer to one request. A cancelled one is given up by the process too. Raises Ended, Strange, or the error that it met."""
        answer: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self.waiting[number] = answer
        try:
            self._send({"number": number, **request_fields(request)})
            made = await answer
            self.has_answered, self.n_faults = True, 0
            return made
        finally:
            self.waiting.pop(number, None)
            if answer.cancelled() and not self.reading.done():
                self._send({"number": number, "drop": True})

    async def close(self) -> None:
        """End the process: its input ends, and it unloads; after a while it is killed."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(LEAVE_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)
        self._told.close()

    async def how_it_ended(self) -> str:
        """Its exit code or signal, and the last that it wrote. Before it is closed."""
        code = await self.process.wait()
        end = self._told.seek(0, os.SEEK_END)
        self._told.seek(max(0, end - LAST_WORDS))
        said = self._told.read().decode(errors="replace").strip()
        how = f"exit code {code}" if code >= 0 else _signal(-code)
        return f"{how}; its last words:\n{said}\n" if said else f"{how}."

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            while line := await self.process.stdout.readline():
                self._take(json.loads(line))
        finally:
            open_ones: list[asyncio.Future[Any]] = [*self.waiting.values(), self.is_ready]
            for answer in open_ones:
                if not answer.done():
                    answer.set_exception(Ended())
            self.waiting.clear()

    def _take(self, message: Mapping[str, Any]) -> None:
        answer: asyncio.Future[Any] | None = self.is_ready if message["number"] is None else self.waiting.get(message["number"])
        if answer is None or answer.done():
            return
        if "error" in message:
            error = error_of(message)
            answer.set_exception(Strange(error) if message["strange"] and message["number"] is not None else error)
        else:
            answer.set_result(None if message["number"] is None else completion_of(message))


def _signal(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = str(number)
    return f"signal {name}" + (", as the system ends processes when memory runs out" if name == "SIGKILL" else "")


class Place:
    """Where one replica works: the process of now, and why there is none any more."""

    def __init__(self, name: str, fields: Mapping[str, Any], changed: Callable[[], None]) -> None:
        self.name, self._fields, self._changed = name, fields, changed
        self.replica: Replica | None = None  # once it is ready
        self.error: DreamframeError | None = None  # it is given up
        self.n_ended = 0  # in a row, without an answer
        self.keeping = asyncio.ensure_future(self._keep())

    @property
    def ready(self) -> Replica | None:
        """The process that can be asked now."""
        return None if self.replica is None or self.replica.reading.done() else self.replica

    async def close(self) -> None:
        self.keeping.cancel()
        await asyncio.gather(self.keeping, return_exceptions=True)

    async def _keep(self) -> None:
        was_ready = False
        while self.error is None:
            how = await self._one_life()
            was_ready = was_ready or how[1]
            if self.error is None and self.n_ended >= MOST_ENDS:
                self.error = PermanentCallError(
                    f"{self.name}: its process ended {self.n_ended} times in a row without an answer, the last time by {how[0]} "
                    "Give fewer replicas=, or a model or batches that fit into memory."
                )
                self.error.stops_run = True
            self._changed()
            if self.error is None:
                await asyncio.sleep(min(LONGEST_BACKOFF_S, BACKOFF_S * 2 ** max(0, self.n_ended - 1)))
        if was_ready:
            warnings.warn(f"{self.error} It is given up; the other replicas go on.", stacklevel=1)

    async def _one_life(self) -> tuple[str, bool]:
        """A process from its start to its end: how it ended, and whether it had loaded the model."""
        how, is_loaded = "", False
        try:
            replica = await Replica.started(self._fields)
        except OSError as exc:
            self.error = PermanentCallError(f"{self.name}: no process can be started: {exc}")
            self.error.stops_run = True
            return how, is_loaded
        try:
            await replica.is_ready
            self.replica, is_loaded = replica, True
            self._changed()
            await asyncio.wait([replica.reading])
            how = await replica.how_it_ended()
        except Ended:
            how = await replica.how_it_ended()
        except DreamframeError as exc:
            self.error = exc
        finally:
            self.replica = None
            await replica.close()
        self.n_ended = 1 if replica.has_answered else self.n_ended + 1
        return how, is_loaded
