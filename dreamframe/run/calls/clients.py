"""The askers of a process: one for each client and event loop, opened when the first request needs it."""

from __future__ import annotations

import asyncio
import atexit
import contextlib

from dreamframe.models.base import LLM, Client
from dreamframe.models.embedders.openai import EmbedderClient
from dreamframe.models.parallel import Parallel
from dreamframe.models.secrets import redactor_of
from dreamframe.redaction.redactor import Redactor
from dreamframe.run.calls.caller import Asker
from dreamframe.run.calls.embedding_batches import PackAsker
from dreamframe.run.calls.parallel import ParallelAsker

_askers: dict[asyncio.AbstractEventLoop, dict[str, Asker | ParallelAsker | PackAsker]] = {}


def asker_for(llm: LLM) -> Asker | ParallelAsker | PackAsker:
    """The asker of a model's client in the running loop: opened at the first call, kept until the loop ends."""
    loop = asyncio.get_running_loop()
    if loop not in _askers:
        for closed in [known for known in _askers if known.is_closed()]:
            del _askers[closed]
        _askers[loop] = {}
    llm.check_reach()  # also of a client that is open: another plan may share it
    key = llm.pool_key()
    asker = _askers[loop].get(key)
    if asker is None:
        if isinstance(llm, Parallel):
            asker = ParallelAsker(llm.llms, [a for part in llm.llms if isinstance(a := asker_for(part), Asker)])
        else:
            asker = asker_of(llm.open(), loop, redactor_of([llm]))
        _askers[loop][key] = asker
    return asker


def asker_of(client: Client, loop: asyncio.AbstractEventLoop, hides: Redactor | None = None) -> Asker | PackAsker:
    """The asker that a client is made for."""
    asker = Asker(client, loop, hides)
    return PackAsker(asker, client) if isinstance(client, EmbedderClient) else asker


async def close_all() -> None:
    """Close every client of the running loop."""
    askers = _askers.pop(asyncio.get_running_loop(), {})
    await asyncio.gather(*(asker.close() for asker in askers.values()))


def _close_at_exit() -> None:
    for loop in list(_askers):
        if loop.is_running():
            with contextlib.suppress(TimeoutError):  # the process ends now, whatever a connection is waiting for
                asyncio.run_coroutine_threadsafe(close_all(), loop).result(timeout=2)


atexit.register(_close_at_exit)
