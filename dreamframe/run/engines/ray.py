"""The engine on Ray Core: segments run in workers on as many machines as the cluster has; the driver numbers, asks, counts and keeps."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import os
import warnings
import weakref
from collections.abc import AsyncGenerator
from typing import Any

import polars as pl

from dreamframe.errors import FingerprintError, PlanFormatError, SettingError
from dreamframe.run.context import RunContext
from dreamframe.run.engines.base import Feed, Segment, SegmentResult, batches_of, check_engine
from dreamframe.run.engines.local import LocalEngine
from dreamframe.run.engines.pipeline import pipeline
from dreamframe.run.engines.ray_models import Fleets
from dreamframe.run.engines.ray_pool import Pool
from dreamframe.run.engines.ray_served import Served
from dreamframe.run.warning import RunWarning

IDLE_S = 60.0  # workers and replicas without anything to do end after so long
PARTITION = 4_096  # rows that cross together where no model is asked about them
SERVED = "the segment as workers on Ray know it"


class RayEngine(LocalEngine):
    """Rows on the workers of a Ray cluster (pip install 'dreamframe[ray]'): `dr.Session(folder, engine="ray")`, or with settings, `engine=dr.RayEngine(…)`.

    `workers` run functions, conditions and what makes prompts of rows and rows of answers: as many as the cluster has processors, less one, each of which
    reserves `cpus` of them. A model that is loaded in process has `replicas`, each with `gpus` of its own: one for each GPU of the cluster, else one that
    reserves `cpus`. Models behind APIs and servers are asked by the process that runs the plan, so limits, budgets and `offline=` hold for all workers
    together, and what a worker has asked is kept when it dies. Tables and trainings run in that process, too.

    With `RAY_ADDRESS` in the environment, or after `ray.init(…)` of your own, that cluster is used; else one is started on this machine, and ends with the
    process. Raises MissingExtraError where Ray is not installed, SettingError for numbers that cannot be.

    >>> with dr.Session("./output", engine=dr.RayEngine(workers=16, replicas=4, gpus=2)) as session:  # the cluster is looked for when something runs
    ...     session.usage()["calls"]
    0
    """

    name = "ray"

    def __init__(self, *, workers: int | None = None, cpus: float = 1, replicas: int | None = None, gpus: float | None = None) -> None:
        check_engine("ray")
        for name, value, least in (("workers", workers, 1), ("cpus", cpus, 0), ("replicas", replicas, 1), ("gpus", gpus, 0)):
            if value is not None and not value >= least:
                raise SettingError(f"RayEngine: {name}={value!r}; give {least} or more.")
        self._workers, self._cpus, self._replicas, self._gpus = workers, cpus, replicas, gpus
        self._numbers = itertools.count()
        self._connecting: asyncio.Task[None] | None = None
        self._cluster: str | None = None  # that of the workers
        self._pool: Pool | None = None
        self._fleets: Fleets | None = None
        self._n_users = 0  # segments that are given rows now
        self._idle: asyncio.TimerHandle | None = None

    def rows(self, segment: Segment, source: Feed, ctx: RunContext) -> AsyncGenerator[SegmentResult, None]:
        return self._parts(segment, source, ctx)

    async def _parts(self, segment: Segment, source: Feed, ctx: RunContext) -> AsyncGenerator[SegmentResult, None]:
        try:
            served = await self._served(segment, ctx)
        except (PlanFormatError, FingerprintError) as exc:
            warnings.warn(f"these steps run in this process, and not on Ray, since they cannot be sent there: {exc}", RunWarning, stacklevel=2)
            async for result in super().rows(segment, source, ctx):
                yield result
            return
        pool = self._pool
        assert pool is not None
        later = segment.later_rows if any(step.models() for step in segment.steps) else max(segment.later_rows, PARTITION)
        window = max(segment.window, 2 * pool.n * later)
        served.begin()
        self._begin()
        try:
            batches = batches_of(source, segment.batch_rows, later)
            is_here = isinstance(source, pl.DataFrame)
            async for result in pipeline(batches, functools.partial(pool.run, served), window=window, in_memory=is_here):
                yield result
        finally:
            pool.stop(served.turn.segment, is_over=False)
            await served.end()
            self._end()

    async def _served(self, segment: Segment, ctx: RunContext) -> Served:
        """The segment, known to a worker; once for a run, however often it is given rows. Raises PlanFormatError for one that cannot cross."""
        await self._connected()
        pool, kept = self._pool, ctx.kept(0)
        assert pool is not None
        assert self._fleets is not None
        await pool.start()
        if SERVED not in kept:
            number = next(self._numbers)
            served = Served(number, segment, ctx, self._fleets.place)
            pool.served[number] = served
            await (await pool.ready()).open(served)
            loop = asyncio.get_running_loop()
            weakref.finalize(served, _forget, loop, pool, number).atexit = False
            kept[SERVED] = served
        found: Served = kept[SERVED]
        return found

    # Ray

    async def _connected(self) -> None:
        """Connect to the cluster: once, and again where the program has left it."""
        if self._connecting is None or (self._connecting.done() and self._cluster != cluster_of()):
            self._connecting = asyncio.create_task(self._connect())
        try:
            await asyncio.shield(self._connecting)
        except Exception:
            self._connecting = None  # the next run tries again
            raise

    async def _connect(self) -> None:
        ray = await asyncio.to_thread(connected)
        self._cluster, there = cluster_of(), ray.cluster_resources()
        n_gpus = int(there.get("GPU", 0))
        gpus = self._gpus if self._gpus is not None else float(n_gpus > 0)
        n = self._replicas or (max(1, int(n_gpus // gpus)) if gpus else 1)
        self._pool = Pool(ray, self._workers or max(1, int(there.get("CPU", 1)) - 1), cpus=self._cpus)
        self._fleets = Fleets(ray, n=n, cpus=0 if gpus else self._cpus, gpus=gpus)

    def _begin(self) -> None:
        self._n_users += 1
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def _end(self) -> None:
        self._n_users -= 1
        if self._n_users == 0:
            self._idle = asyncio.get_running_loop().call_later(IDLE_S, self._rest)

    def _rest(self) -> None:
        """End workers and replicas: others may want their processors."""
        if self._pool is not None and self._fleets is not None:
            self._pool.end()
            self._fleets.unload()


def _forget(loop: asyncio.AbstractEventLoop, pool: Pool, number: int) -> None:
    if loop.is_running():
        loop.call_soon_threadsafe(functools.partial(pool.stop, number, is_over=True))


def connected() -> Any:
    """Ray, connected: to the cluster of this process's own `ray.init`, to that of RAY_ADDRESS, or to one that is started here and ends with the process."""
    import ray

    if not ray.is_initialized():
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if os.environ.get("RAY_ADDRESS"):
            ray.init(**quiet)
        else:
            ray.init(address="local", include_dashboard=False, **quiet)
    return ray


def cluster_of() -> str | None:
    """What tells apart the clusters that this process is connected to, one after the other; None while it is to none."""
    import ray

    return str(ray.get_runtime_context().get_node_id()) if ray.is_initialized() else None


@functools.cache
def engine() -> RayEngine:
    """The engine of this process: its workers stay for the next run."""
    return RayEngine()
