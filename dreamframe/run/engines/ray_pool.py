"""The workers on Ray, seen from the driver: started, asked, listened to, and started anew when they die."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import warnings
from typing import Any
from weakref import WeakValueDictionary

import polars as pl

from dreamframe.errors import PlanFormatError, RunError
from dreamframe.run.engines.base import SegmentResult
from dreamframe.run.engines.ray_served import Served
from dreamframe.run.engines.ray_worker import Raised, Worker
from dreamframe.run.warning import RunWarning

MOST_TRIES = 4  # workers that may die of one partition
MOST_STARTS = 5  # workers in a row that may die before they are ready, while none is
BACKOFF_S = 0.2  # before a worker is started anew; doubled each time, until a partition is done
MOST_BACKOFF_S = 10.0
GATHER_S = 3.0  # that the first workers wait for the others: the rows in flight would all be theirs
WAIT_S = 30.0  # without any worker: then the user hears of it


class LostError(Exception):
    """The worker has died, or its machine cannot be reached."""


class Link:
    """One worker."""

    def __init__(self, pool: Pool, actor: Any) -> None:
        self._pool, self.actor = pool, actor
        self.is_ready = False
        self.n_running = 0
        self._opened: dict[int, asyncio.Task[None]] = {}
        self._life = asyncio.ensure_future(self._live())

    async def _live(self) -> None:
        try:
            await self.actor.process.remote()
            self.is_ready = True
            self._pool.has_ready()
            while True:
                for said in await self.actor.said.remote():
                    if (served := self._pool.served.get(said.turn.segment)) is not None:
                        served.heard(said, self)
        except self._pool.lost_errors as exc:
            self._pool.lost(self, exc)

    async def run(self, served: Served, order: int, rows: pl.DataFrame) -> SegmentResult | Raised:
        """One partition. Raises LostError when the worker dies of it, or meanwhile."""
        self.n_running += 1
        try:
            await self.open(served)
            made: SegmentResult | Raised = await self.actor.run.remote(served.turn, order, rows)
            return made
        except self._pool.lost_errors as exc:
            self._pool.lost(self, exc)  # at once: nobody else is sent there
            raise LostError(_told(exc)) from exc
        finally:
            self.n_running -= 1

    async def open(self, served: Served) -> None:
        """Let the worker know a segment, once. Raises what it says against it."""
        number = served.turn.segment
        if number not in self._opened:
            self._opened[number] = asyncio.ensure_future(self._open(served))
        await asyncio.shield(self._opened[number])

    async def _open(self, served: Served) -> None:
        try:
            opening = self.actor.open.remote(served.turn.segment, served.text, served.handed, self._pool.beside(served))
        except Exception as exc:  # Ray's, of what no process can be sent
            raise PlanFormatError(f"{', '.join(served.handed)}: {type(exc).__name__}: {_told(exc)}") from exc
        said = await opening
        if said is not None:
            raise said.error

    def stop(self, number: int, *, is_over: bool) -> None:
        """As `Worker.stop`; nobody waits for it."""
        if number in self._opened and self._pool.is_connected:
            self.actor.stop.remote(number, is_over=is_over)
        if is_over:
            self._opened.pop(number, None)

    def reply(self, call: int, made: Any) -> None:
        """Answer what the worker asked."""
        self.actor.reply.remote(call, made)

    def end(self) -> None:
        """End the process."""
        self._life.cancel()
        self._pool.kill(self.actor)


class Pool:
    """The workers of one engine. Lives in the event loop."""

    def __init__(self, ray: Any, n: int, *, cpus: float) -> None:
        self._ray, self.n, self._cpus = ray, n, cpus
        self.lost_errors = (ray.exceptions.RayActorError, ray.exceptions.ObjectLostError, ray.exceptions.WorkerCrashedError)
        self.links: list[Link] = []
        self.served: WeakValueDictionary[int, Served] = WeakValueDictionary()
        self._beside: dict[int, Any] = {}  # number of a segment → where Ray holds what it reads
        self._is_ready = asyncio.Event()
        self._n_deaths = self._n_failed_starts = 0  # in a row
        self._gathered = 0.0  # loop time until which it is waited for all of them
        self._broken: BaseException | None = None
        self._starting: set[asyncio.Task[None]] = set()

    @property
    def is_connected(self) -> bool:
        """Whether the program has not left the cluster."""
        return bool(self._ray.is_initialized())

    async def start(self) -> None:
        """Start the workers, if they are not there, and wait a while for those that start."""
        if not self.links and not self._starting:
            self._broken, self._n_failed_starts = None, 0
            self.links = [self._new() for _ in range(self.n)]
            self._gathered = asyncio.get_running_loop().time() + GATHER_S
        while (left := self._gathered - asyncio.get_running_loop().time()) > 0 and (self._starting or not all(link.is_ready for link in self.links)):
            self._is_ready.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_ready.wait(), left)

    def _new(self) -> Link:
        made = self._ray.remote(Worker).options(num_cpus=self._cpus, max_restarts=0, max_concurrency=10_000, scheduling_strategy="SPREAD")
        return Link(self, made.remote([place for place in sys.path if place]))

    async def run(self, served: Served, order: int, rows: pl.DataFrame) -> SegmentResult:
        """One partition on the worker that has least to do; on another one when that dies. Raises what ended it."""
        for _ in range(MOST_TRIES):
            try:
                made = await (await self.ready()).run(served, order, rows)
            except LostError as exc:
                why = exc
                continue
            if isinstance(made, Raised):
                raise served.error_of(order, made.error)
            served.finished(order)
            self._n_deaths = 0
            return made
        labels = ", ".join(step.label for step in served.segment.steps)
        same = f"the same {rows.height:,} rows"
        raise RunError(f"{labels}: {MOST_TRIES} workers on Ray died one after the other while they had {same}. The last one: {why}") from why

    async def ready(self) -> Link:
        """The worker that has least to do, of those that are up. Raises RunError where none comes up."""
        while not (up := [link for link in self.links if link.is_ready]):
            if self._broken is not None:
                raise RunError(f"no worker could be started on Ray: {_told(self._broken)}") from self._broken
            self._is_ready.clear()
            try:
                async with asyncio.timeout(WAIT_S):
                    await self._is_ready.wait()
            except TimeoutError:
                free = {name: n for name, n in self._ray.available_resources().items() if name in ("CPU", "GPU")}
                warnings.warn(f"no worker has come up on Ray for {WAIT_S:g} s; each wants {self._cpus:g} CPU, and free are {free}", RunWarning, stacklevel=2)
        return min(up, key=lambda link: link.n_running)

    def has_ready(self) -> None:
        """A worker is up."""
        self._n_failed_starts = 0
        self._is_ready.set()

    def lost(self, link: Link, exc: BaseException) -> None:
        """A worker has died: another one is started in its place, after a while if many did."""
        if link not in self.links:
            return
        self.links.remove(link)
        if not self.is_connected:
            return  # they are all gone
        self.kill(link.actor)  # one that cannot be reached may still be there
        self._n_deaths += 1
        self._n_failed_starts += not link.is_ready
        if self._n_failed_starts >= MOST_STARTS and not any(one.is_ready for one in self.links):
            self._broken = exc
            self._is_ready.set()
            return
        self._gathered = asyncio.get_running_loop().time() + GATHER_S
        task = asyncio.ensure_future(self._anew(min(BACKOFF_S * 2 ** (self._n_deaths - 1), MOST_BACKOFF_S)))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _anew(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        if self.is_connected:
            self.links.append(self._new())

    def beside(self, served: Served) -> Any:
        """The tables and trained models of a segment, put down once for all workers."""
        number = served.turn.segment
        if number not in self._beside:
            self._beside[number] = self._ray.put(served.beside())
        return self._beside[number]

    def stop(self, number: int, *, is_over: bool) -> None:
        """Nobody wants what workers do of a segment; nor the segment, when it `is_over`."""
        for link in self.links:
            link.stop(number, is_over=is_over)
        if is_over:
            self._beside.pop(number, None)

    def kill(self, actor: Any) -> None:
        """End a process, if it is there."""
        kill(self._ray, actor)

    def end(self) -> None:
        """End all workers; they start again when they are needed."""
        for task in self._starting:
            task.cancel()
        links, self.links = self.links, []
        for link in links:
            link.end()


def kill(ray: Any, actor: Any) -> None:
    """End the process of an actor, where the program has not left its cluster meanwhile: Ray would start another one for that."""
    if ray.is_initialized():
        ray.kill(actor, no_restart=True)


def _told(exc: BaseException) -> str:
    """What Ray says, in one line."""
    return " ".join(str(exc).split())[:400] or type(exc).__name__
