"""Models that hold memory in this process: loaded when first asked, unloaded when others need the room or on request."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from dreamframe.errors import DreamframeError, PermanentCallError
from dreamframe.models.base import Artefact, Limits, ModelSettings
from dreamframe.models.pinned import OfWeights
from dreamframe.models.request import Completion, Request

E = TypeVar("E")  # what is loaded
GRACE_S = 0.05  # a model that was asked so recently is likely to be asked again at once
ROOM = 1.2  # memory that must be free for a model, in sizes of its files


class Resident(ABC, Generic[E]):
    """The client of a model in this process. A subclass loads an engine, answers requests with it, and releases it.

    It may be unloaded whenever no request is in flight; the next request loads it again.
    """

    limits = Limits(timeout_s=None)  # a slow machine is not a failure

    def __init__(self, settings: ModelSettings) -> None:
        self.settings = settings
        self.in_flight = 0
        self.asked_at = 0.0  # loop time of the last request's end
        self._ready: asyncio.Future[E] | None = None
        self._leaving: asyncio.Future[None] | None = None
        self.is_outdated = False  # its weights were replaced: it leaves when it has answered what it was asked

    @property
    def concurrency(self) -> int:
        return int(getattr(self.settings, "concurrency", 1))

    async def complete(self, request: Request) -> Completion:
        self.in_flight += 1
        try:
            return await self.answer(await self.loaded(), request)
        finally:
            self.in_flight -= 1
            self.asked_at = asyncio.get_running_loop().time()
            if self.in_flight == 0:
                loaded_models().changed()
                if self.is_outdated:
                    self._farewell = asyncio.ensure_future(self.unload())

    async def loaded(self) -> E:
        """The engine, loaded now if it is not."""
        if self._ready is None:
            self._ready = asyncio.ensure_future(self._load())
            self._ready.add_done_callback(self._forget_failure)
        return await asyncio.shield(self._ready)

    def _forget_failure(self, ready: asyncio.Future[E]) -> None:
        """What could not be loaded is tried again by the next run: the files may be whole by then."""
        if self._ready is ready and (ready.cancelled() or ready.exception() is not None):
            self._ready = None

    async def close(self) -> None:
        await self.unload()

    async def unload(self) -> None:
        """Release the engine; what is in flight ends early. A client that is not loaded stays so."""
        ready, self._ready = self._ready, None
        if ready is not None:
            self._leaving = asyncio.ensure_future(self._leave(ready))
            await asyncio.shield(self._leaving)

    async def _leave(self, ready: asyncio.Future[E]) -> None:
        made = (await asyncio.gather(ready, return_exceptions=True))[0]
        if not isinstance(made, BaseException):
            await self.release(made)
        loaded_models().leave(self)

    async def _load(self) -> E:
        if self._leaving is not None:  # never twice in memory
            await asyncio.shield(self._leaving)
        self.is_outdated = False
        loaded = loaded_models()
        await loaded.take(self)
        try:
            return await self._checked(await self.start())
        except DreamframeError:
            loaded.leave(self)
            raise
        except Exception as exc:  # whatever a library says about weights it cannot load: nothing can be asked
            loaded.leave(self)
            error = PermanentCallError(f"{self.settings.label}: the model could not be loaded: {type(exc).__name__}: {exc}")
            error.stops_run = True
            raise error from exc

    async def _checked(self, engine: E) -> E:
        """What was loaded, if the files are still those that its requests are keyed by."""
        try:
            await asyncio.to_thread(self.settings.check_weights)
        except BaseException:
            await self.release(engine)
            raise
        return engine

    def replaces(self, other: Resident[Any]) -> bool:
        """Whether both were loaded from one place, which holds other weights now."""
        mine, theirs = self.settings, other.settings
        if not isinstance(mine, OfWeights) or not isinstance(theirs, OfWeights) or type(mine) is not type(theirs):
            return False
        return mine.weights_names() == theirs.weights_names() and mine.weights_key() != theirs.weights_key()

    @property
    def n_bytes(self) -> int:
        """Memory that it needs, guessed from its files; 0 where that is not known."""
        return 0

    async def start(self) -> E:
        """Make the engine."""
        return await asyncio.to_thread(self.load)

    def load(self) -> E:
        """Make the engine; on a worker thread. A subclass has this, or a `start` of its own."""
        raise TypeError(f"{type(self).__name__} has neither load() nor start()")

    @abstractmethod
    async def answer(self, engine: E, request: Request) -> Completion:
        """Answer one request."""

    @abstractmethod
    async def release(self, engine: E) -> None:
        """Give back threads and memory, having made short what is in flight."""


class LoadedModels:
    """The models of one event loop that are loaded, and how many may be."""

    def __init__(self, available: Callable[[], int | None] | None = None) -> None:
        self._most: list[int] = []  # that the runs of now allow
        self.models: list[Resident[Any]] = []
        self._available = available or available_bytes
        self._turn = asyncio.Lock()  # models load one after the other, so that memory is counted right
        self._change = asyncio.Event()

    @property
    def most(self) -> int | None:
        """The least that a run of now allows; None: as many as memory holds."""
        return min(self._most, default=None)

    @contextlib.contextmanager
    def at_most(self, n: int | None) -> Iterator[None]:
        """While a run is on that allows so many models at once; None: it does not mind. It speaks for itself alone: when it is over, its limit is."""
        if n is None:
            yield
            return
        self._most.append(n)
        try:
            yield
        finally:
            self._most.remove(n)

    async def take(self, model: Resident[Any]) -> None:
        """Wait until there is room. Idle models make room, the one that was asked longest ago first."""
        async with self._turn:
            for old in [m for m in self.models if model.replaces(m)]:
                old.is_outdated = True
                if old.in_flight == 0:
                    await old.unload()
            while self.most is not None and len(self.models) >= self.most:
                await self._one_leaves()
            while self._is_tight(model) and (idle := self._idle()):
                await idle[0].unload()
            self.models.append(model)

    def leave(self, model: Resident[Any]) -> None:
        if model in self.models:
            self.models.remove(model)
        self.changed()

    def changed(self) -> None:
        """A model has become idle or has left."""
        self._change.set()

    async def clear(self) -> None:
        """Unload every idle model: something large needs the memory."""
        for model in self._idle():
            await model.unload()

    def _idle(self, *, for_s: float = 0.0) -> list[Resident[Any]]:
        now = asyncio.get_running_loop().time()
        return sorted((m for m in self.models if m.in_flight == 0 and now - m.asked_at >= for_s), key=lambda m: m.asked_at)

    async def _one_leaves(self) -> None:
        if idle := self._idle(for_s=GRACE_S):
            await idle[0].unload()
            return
        self._change.clear()
        with contextlib.suppress(TimeoutError):  # a model that is idle only has to stay so for the grace
            async with asyncio.timeout(GRACE_S):
                await self._change.wait()
                await asyncio.sleep(GRACE_S)

    def _is_tight(self, model: Resident[Any]) -> bool:
        free = self._available()
        return free is not None and free < ROOM * model.n_bytes


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoadedModels] = WeakKeyDictionary()


def loaded_models() -> LoadedModels:
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _of_loops:
        _of_loops[loop] = LoadedModels()
    return _of_loops[loop]


def unload(settings: ModelSettings) -> bool:
    """Unload the model that these settings stand for, and wait until it is. False where it was not loaded."""
    found = [(loop, m) for loop, loaded in list(_of_loops.items()) if loop.is_running() for m in loaded.models if _same(settings, m.settings)]
    for loop, model in found:
        asyncio.run_coroutine_threadsafe(model.unload(), loop).result()
    return bool(found)


def _same(settings: ModelSettings, loaded: ModelSettings) -> bool:
    """Whether they load the same: a model of the plan equals whatever it was trained into, and how it is asked is not part of it."""
    if type(settings) is not type(loaded):
        return False
    edges = {id(e) for e in settings.edges()}
    for f in fields(settings):
        if f.name in settings.outside_identity:  # one engine serves them all
            continue
        mine, theirs = getattr(settings, f.name), getattr(loaded, f.name)
        if mine != theirs and not (id(mine) in edges and isinstance(theirs, Artefact)):
            return False
    return True


def available_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def n_bytes_of(weights: Path) -> int:
    """Bytes of a file or of all files of a folder."""
    if weights.is_file():
        return weights.stat().st_size
    return sum(f.stat().st_size for f in weights.rglob("*") if f.suffix in (".safetensors", ".bin"))


def own_memory(model: Any) -> Any:
    """The model in memory of its own: as it was loaded, it may still lie in its file, and whoever writes over that file changes the model."""
    import torch

    with torch.no_grad():
        for held in (*model.parameters(), *model.buffers()):
            if held.device.type == "cpu":
                held.data = held.data.clone()
    return model
