"""One model in several processes: a replica each, requests to the one that has least to do, none lost when one ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from typing import Any

from dreamframe.errors import PermanentCallError, SettingError
from dreamframe.models.base import ModelSettings
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.replica import Ended, Place, Replica, Strange
from dreamframe.models.local.replica_wire import settings_fields
from dreamframe.models.request import Completion, Request

ALONE_AFTER = 2  # ends of the process that a request was in flight at: from then on it is asked alone, so that the third says whose fault it is
MOST_FAULTS = 3  # requests in a row that a process fails and another answers: then it is started again


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


def check_replicas(settings: Any) -> None:
    """Raise SettingError for replicas that there cannot be."""
    n, device, who = getattr(settings, "replicas", None), getattr(settings, "device", None), type(settings).__name__
    if n is None:
        return
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise SettingError(f"{who}: replicas={n!r}; give a whole number of 1 or more.")
    if isinstance(device, tuple) and n < len(device):
        raise SettingError(f"{who}: replicas={n} cannot be on {len(device)} devices; give {len(device)} or more, or fewer devices.")
    if n > 1 and (device == "auto" or any(f'"{name}"' in (getattr(settings, "load", None) or "") for name in ("device_map", "max_memory"))):
        raise SettingError(
            f"{who}: replicas={n} puts a whole model in each process, and device='auto' or load= spreads one over all devices; give one of them."
        )


def places_of(settings: Any) -> tuple[str | None, ...]:
    """The device of each replica; empty where the model is loaded in this process. "cuda" and None are parted by each process for itself."""
    n, device = getattr(settings, "replicas", None), getattr(settings, "device", None)
    devices = device if isinstance(device, tuple) else (device,)
    n = n or len(devices)
    return () if n == 1 else tuple(devices[i % len(devices)] for i in range(n))


class Replicas(Resident[list[Place]]):
    """The client of a model in several processes.

    A request whose process ends is asked again, of another one or of the next in its place. One that was in flight at ALONE_AFTER ends is asked alone,
    and fails if that ends its process too: whatever else was in flight is not blamed. An error that is none of dreamframe's is asked about once more
    elsewhere, and stands if it comes again.
    """

    def __init__(self, settings: ModelSettings, devices: Sequence[str | None]) -> None:
        super().__init__(settings)
        self._devices = devices
        self._numbers = itertools.count()
        self._moved = asyncio.Event()  # a process is ready, has ended or has answered
        self._turn = asyncio.Lock()  # of those that are asked alone
        self._cleared: Place | None = None  # where one of them is asked

    @property
    def concurrency(self) -> int:
        return super().concurrency * len(self._devices)

    @property
    def n_bytes(self) -> int:
        return int(getattr(self.settings, "n_bytes", 0)) * len(self._devices)

    async def answer(self, engine: list[Place], request: Request) -> Completion:
        n_ended, first, strange = 0, None, None
        while True:
            is_alone = n_ended >= ALONE_AFTER
            async with self._alone(engine) if is_alone else self._least_busy(engine, but=first) as (place, replica):
                try:
                    made = await replica.ask(next(self._numbers), request)
                except Ended:
                    n_ended += 1
                    if is_alone:
                        place.n_ended = 0  # the place is not to blame
                        raise PermanentCallError(
                            f"{self.settings.label}: this request ended the process that it was asked in {n_ended} times, the last time alone"
                        ) from None
                    continue
                except Strange as exc:
                    if first is not None:
                        raise exc.error from None
                    first, strange = place, replica
                    continue
                finally:
                    self._moved.set()
            if strange is not None and strange is not replica:
                strange.n_faults += 1
                if strange.n_faults >= MOST_FAULTS:
                    with contextlib.suppress(ProcessLookupError):
                        strange.process.kill()
            return made

    @contextlib.asynccontextmanager
    async def _least_busy(self, places: list[Place], *, but: Place | None) -> AsyncIterator[tuple[Place, Replica]]:
        while not (ready := [(p, p.ready) for p in places if p.ready is not None and p is not self._cleared]):
            await self._change(places)
        yield min(ready, key=lambda r: (r[0] is but, len(r[1].waiting)))

    @contextlib.asynccontextmanager
    async def _alone(self, places: list[Place]) -> AsyncIterator[tuple[Place, Replica]]:
        """A process that is asked nothing else meanwhile."""
        async with self._turn:
            try:
                while True:
                    ready = [(p, p.ready) for p in places if p.ready is not None]
                    found = next((r for r in ready if r[0] is self._cleared), None) or min(ready, key=lambda r: len(r[1].waiting), default=None)
                    self._cleared = found[0] if found else None
                    if found is not None and not found[1].waiting:
                        yield found
                        return
                    await self._change(places)
            finally:
                self._cleared = None
                self._moved.set()

    async def _change(self, places: list[Place]) -> None:
        """Wait until something has changed. Raises the error of the places, if all are given up."""
        if (error := places[0].error) is not None and all(p.error is not None for p in places):
            await self.unload()  # the next run starts new processes
            raise error
        self._moved.clear()
        await self._moved.wait()

    async def start(self) -> list[Place]:
        label, n = self.settings.label, len(self._devices)
        told = {device: await asyncio.to_thread(settings_fields, self.settings, device, share=n) for device in dict.fromkeys(self._devices)}
        places = [
            Place(f"{label}: replica {i + 1} of {n}" + (f" on {device}" if device else ""), {**told[device], "index": i}, self._moved.set)
            for i, device in enumerate(self._devices)
        ]
        try:
            while not all(p.replica is not None or p.error is not None for p in places):
                if any(p.error is not None for p in places):
                    break
                self._moved.clear()
                await self._moved.wait()
            for place in places:
                if place.error is not None:
                    raise place.error
        except BaseException:
            await self.release(places)
            raise
        return places

    async def release(self, engine: list[Place]) -> None:
        await asyncio.gather(*(place.close() for place in engine))
