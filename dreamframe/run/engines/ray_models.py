"""Models in process on Ray: replicas as actors, placed where there is a GPU or a processor for each, and started anew when they die or break."""

from __future__ import annotations

import asyncio
import copy
import functools
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dreamframe.errors import ConnectionFailedError, DreamframeError, PermanentCallError
from dreamframe.models.base import Limits, ModelSettings
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.replica_wire import completion_fields, completion_of, error_fields, error_of, request_fields, request_of
from dreamframe.models.request import Completion, Request
from dreamframe.run.engines.ray_pool import kill

MOST_BREAKS = 3  # replicas that may break, one after the other, at one request


class Replica:
    """One process with the model. What Ray makes an actor of."""

    def __init__(self, path: Sequence[str]) -> None:
        """`path`: where the driver finds modules."""
        sys.path += [place for place in path if place not in sys.path]
        self._settings: Any = None
        self._client: Any = None

    async def load(self, settings: ModelSettings) -> dict[str, Any] | None:
        """Load the model; what kept it from that, if something did."""
        try:
            self._settings = settings.pinned()
            self._client = self._settings.open()
            if isinstance(self._client, Resident):
                await self._client.loaded()
        except Exception as exc:  # noqa: BLE001  the driver raises it
            return error_fields(exc)
        return None

    async def complete(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer one request. An error that nobody foresaw says that the replica `is_broken`."""
        try:
            return completion_fields(await self._client.complete(request_of(asked, self._settings)))
        except Exception as exc:  # noqa: BLE001  the driver raises it
            return {**error_fields(exc), "is_broken": not isinstance(exc, DreamframeError)}


@dataclass(eq=False)
class Placed:
    """A replica, seen from the driver."""

    actor: Any
    is_up: asyncio.Future[None]
    n_asked: int = 0
    is_gone: bool = False


class Fleet:
    """The client of a model that has replicas: each request goes to the one that has least to do."""

    def __init__(self, settings: ModelSettings, ray: Any, *, n: int, cpus: float, gpus: float) -> None:
        client: Any = settings.open()  # which loads nothing
        self.concurrency = client.concurrency * n
        self.limits = getattr(client, "limits", Limits())
        self._settings, self._label, self._ray, self._n = settings, settings.label, ray, n
        self._made = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0, "max_concurrency": 10_000}
        self._replicas: list[Placed] = []
        self._breaks: Counter[bytes] = Counter()  # by request

    async def complete(self, request: Request) -> Completion:
        """The answer of a replica. Raises ConnectionFailedError, after which the request is tried again, when the replica died or broke."""
        replica = await self._least()
        replica.n_asked += 1
        try:
            await asyncio.shield(replica.is_up)
            said = await replica.actor.complete.remote(request_fields(request))
        except self._ray.exceptions.RayError as exc:
            self._gone(replica)
            raise ConnectionFailedError(f"{self._label}: a replica on Ray died ({type(exc).__name__}); its requests are asked again") from exc
        finally:
            replica.n_asked -= 1
        if "error" not in said:
            return completion_of(said)
        error = error_of(said)
        if not said["is_broken"]:
            raise error
        self._gone(replica)  # it may be the device that fails, and nothing but a new process helps
        self._breaks[request.key] += 1
        if self._breaks[request.key] >= MOST_BREAKS:
            raise PermanentCallError(f"{error}; so did {MOST_BREAKS} replicas, one after the other")
        raise ConnectionFailedError(f"{self._label}: a replica on Ray broke ({error}) and is started anew; its requests are asked again")

    async def _least(self) -> Placed:
        """The replica that has least to do. One that is up goes before one that is not: there may be no room for that one."""
        while len(self._replicas) < self._n:
            self._replicas.append(self._start())
        if not any(r.is_up.done() for r in self._replicas):
            await asyncio.wait([r.is_up for r in self._replicas], return_when=asyncio.FIRST_COMPLETED)
        up = [r for r in self._replicas if r.is_up.done()]
        return min(up or self._replicas, key=lambda r: r.n_asked)

    def _start(self) -> Placed:
        actor = self._ray.remote(Replica).options(**self._made).remote([place for place in sys.path if place])
        return Placed(actor, asyncio.ensure_future(self._loaded(actor)))

    async def _loaded(self, actor: Any) -> None:
        if (said := await actor.load.remote(self._settings)) is not None:
            error = error_of(said)
            if isinstance(error, PermanentCallError):
                error.stops_run = True  # what cannot be loaded answers nobody
            raise error

    def _gone(self, replica: Placed) -> None:
        if not replica.is_gone:
            replica.is_gone = True
            if replica in self._replicas:
                self._replicas.remove(replica)
            kill(self._ray, replica.actor)

    def unload(self) -> None:
        """End all replicas; the next request starts them again."""
        for replica in list(self._replicas):
            replica.is_up.cancel()
            self._gone(replica)

    async def close(self) -> None:
        self.unload()


class Fleets:
    """The replicas of all models that an engine has asked, and the settings that lead to them."""

    def __init__(self, ray: Any, *, n: int, cpus: float, gpus: float) -> None:
        self._make = functools.partial(Fleet, ray=ray, n=n, cpus=cpus, gpus=gpus)
        self._fleets: list[Fleet] = []

    def place(self, settings: Any) -> Any:
        """The same settings, whose client asks replicas; those of an API or a server as they are: the driver asks these."""
        if not hasattr(settings, "unload"):
            return settings
        placed = copy.copy(settings)
        kind: type[ModelSettings] = type(settings)
        object.__setattr__(placed, "__class__", on_ray(kind))
        object.__setattr__(placed, "opens", lambda: self._opened(settings))
        return placed

    def _opened(self, settings: Any) -> Fleet:
        made = self._make(settings)
        self._fleets.append(made)
        return made

    def unload(self) -> None:
        """End all replicas."""
        for fleet in self._fleets:
            fleet.unload()


@functools.cache
def on_ray(kind: type[ModelSettings]) -> type[ModelSettings]:
    """The class of settings whose model has replicas: in all else it is theirs, and so are the keys of answers."""

    def open_(self: Any) -> Any:
        return self.opens()

    def pool_key(self: Any) -> str:
        return f"on Ray: {kind.pool_key(self)}"

    return type(kind.__name__, (kind,), {"open": open_, "pool_key": pool_key})
