"""One model on several devices: a process a device, requests to the one that has least to do."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import itertools
import json
import sys
from collections.abc import Mapping
from typing import Any

from dreamframe import errors
from dreamframe.errors import CallError, ConnectionFailedError, DreamframeError, PermanentCallError, SettingError
from dreamframe.models.base import Artefact, ModelSettings
from dreamframe.models.local.cores import free_cores
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.weights import KeptWeights
from dreamframe.models.request import Completion, Question, Request, Sampling
from dreamframe.names import NAMES

LONGEST_LINE = 1 << 28  # bytes of one request or answer
PARTS = [name for name in Completion.__slots__ if name not in ("room", "attempts", "ms")]  # of an answer; whoever calls says the rest


def devices_of(device: Any, *, who: str) -> Any:
    """A device as it is; several as a tuple; a list of one as that one. Raises SettingError for anything else."""
    if device is None or isinstance(device, str):
        return device
    try:
        found = tuple(device)
    except TypeError:
        found = ()
    if not found or not all(isinstance(d, str) and d for d in found) or "auto" in found:
        raise SettingError(f'{who}: device={device!r}; give a device such as "cuda:0", a list of devices, or "auto".')
    return found if len(found) > 1 else found[0]


class Replica:
    """One process with a loaded model, and the requests that it has not answered yet."""

    def __init__(self, process: asyncio.subprocess.Process, device: str) -> None:
        self.process, self.device = process, device
        self.waiting: dict[int, asyncio.Future[Completion]] = {}
        self.is_ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.reading = asyncio.ensure_future(self._read())

    @property
    def is_alive(self) -> bool:
        return not self.reading.done()

    async def ask(self, number: int, request: Request) -> Completion:
        """The answer to one request. A cancelled one is given up by the process too."""
        answer: asyncio.Future[Completion] = asyncio.get_running_loop().create_future()
        self.waiting[number] = answer
        try:
            self._send({"number": number, **request_fields(request)})
            return await answer
        finally:
            self.waiting.pop(number, None)
            if answer.cancelled() and self.is_alive:
                self._send({"number": number, "drop": True})

    async def close(self) -> None:
        """End the process: its input ends, and it unloads; after a while it is killed."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        assert self.process.stdout is not None
        try:
            while line := await self.process.stdout.readline():
                self._take(json.loads(line))
        finally:
            code = self.process.returncode
            gone = ConnectionFailedError(f"the process of the model on {self.device} ended (exit code {code}); its requests are asked again")
            open_ones: list[asyncio.Future[Any]] = [*self.waiting.values(), self.is_ready]
            for answer in open_ones:
                if not answer.done():
                    answer.set_exception(gone)
            self.waiting.clear()

    def _take(self, message: Mapping[str, Any]) -> None:
        answer: asyncio.Future[Any] | None = self.is_ready if message["number"] is None else self.waiting.get(message["number"])
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(error_of(message))
        else:
            answer.set_result(None if message["number"] is None else completion_of(message))


class Replicas(Resident[list[Replica]]):
    """The client of a model on several devices."""

    def __init__(self, settings: ModelSettings, devices: tuple[str, ...]) -> None:
        super().__init__(settings)
        self._devices = devices
        self._numbers = itertools.count()

    @property
    def concurrency(self) -> int:
        return super().concurrency * len(self._devices)

    async def answer(self, engine: list[Replica], request: Request) -> Completion:
        alive = [r for r in engine if r.is_alive]
        if not alive:
            await self.unload()  # the next try starts new processes
            raise ConnectionFailedError(f"{self.settings.label}: the processes of all devices have ended")
        return await min(alive, key=lambda r: len(r.waiting)).ask(next(self._numbers), request)

    async def start(self) -> list[Replica]:
        replicas = [await self._started(device) for device in self._devices]
        try:
            await asyncio.gather(*(r.is_ready for r in replicas))
        except BaseException:
            await self.release(replicas)
            raise
        return replicas

    async def _started(self, device: str) -> Replica:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dreamframe.models.local.replica_worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LONGEST_LINE,
            start_new_session=True,  # Ctrl-C is the parent's to handle; when it is gone, the input ends
        )
        replica = Replica(process, device)
        replica._send(settings_fields(self.settings, device, share=len(self._devices)))
        return replica

    async def release(self, engine: list[Replica]) -> None:
        await asyncio.gather(*(r.close() for r in engine))


# What crosses between processes: JSON, and nothing that is ever run.


def settings_fields(settings: ModelSettings, device: str, *, share: int) -> dict[str, Any]:
    """Resolved settings for one device. Processors are shared evenly."""
    held = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    held = {k: v.path if isinstance(v, Artefact) else v for k, v in held.items()}
    held = {k: str(v.path() or v) if isinstance(v, KeptWeights) else v for k, v in held.items()}  # what they are is checked here
    held["authority"] = None if settings.authority is None else list(settings.authority.listed)
    kind = next(k.__name__ for k in type(settings).__mro__ if k.__name__ in NAMES)
    threads = held.get("threads") or (max(1, free_cores() // share) if device == "cpu" else None)
    return {"kind": kind, "fields": {**held, "device": device, "threads": threads}}


def request_fields(request: Request) -> dict[str, Any]:
    q = request.question
    asked = {"system": q.system, "sampling": q.sampling.given(), "json_schema": q.json_schema, "form": q.form, "labels": q.labels}
    return {"prompt": request.prompt, "sample": request.sample, "key": request.key.hex(), "question": asked}


def request_of(message: Mapping[str, Any], settings: ModelSettings) -> Request:
    asked = dict(message["question"])
    question = Question(llm=settings, **{**asked, "sampling": Sampling.of(**asked["sampling"]), "labels": tuple(asked["labels"])})
    return Request(question, message["prompt"], message["sample"], bytes.fromhex(message["key"]))


def completion_fields(completion: Completion) -> dict[str, Any]:
    held = {name: getattr(completion, name) for name in PARTS}
    return {**held, "data": base64.b64encode(completion.data).decode() if completion.data is not None else None}


def completion_of(message: Mapping[str, Any]) -> Completion:
    held = {name: message[name] for name in PARTS}
    return Completion(**{**held, "data": base64.b64decode(held["data"]) if held["data"] is not None else None})


def error_fields(error: Exception) -> dict[str, Any]:
    """An error by its name and text."""
    return {"error": type(error).__name__, "message": str(error), "stops_run": bool(getattr(error, "stops_run", False))}


def error_of(message: Mapping[str, Any]) -> DreamframeError:
    """The error again, where it is one of dreamframe's that a text makes; else a PermanentCallError."""
    kind = getattr(errors, message["error"], None)
    made: DreamframeError
    if isinstance(kind, type) and (issubclass(kind, CallError) or kind is SettingError):
        made = kind(message["message"])
    else:
        made = PermanentCallError(f"{message['error']}: {message['message']}")
    if isinstance(made, CallError) and message["stops_run"]:
        made.stops_run = True
    return made
