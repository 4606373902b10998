"""The process of one replica: reads settings and requests as JSON lines, writes answers. Started by replica.py, never by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import Any, BinaryIO

from dreamframe.models.authority import Authority
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.replica import LEAVE_S
from dreamframe.models.local.replica_wire import LONGEST_LINE, completion_fields, error_fields, request_of
from dreamframe.names import named


async def serve(lines: asyncio.StreamReader, out: BinaryIO) -> None:
    """Load the model, answer requests until the input ends, unload."""

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message).encode() + b"\n")
        out.flush()

    given = json.loads(await lines.readline())
    allowed = given["fields"].pop("authority")
    given["fields"]["authority"] = None if allowed is None else Authority.of(allowed)
    if "device" in given["fields"]:
        given["fields"]["device"] = placed(given["fields"]["device"], given["index"])
    settings = named(given["kind"])(**given["fields"]).pinned()  # once, not for each request
    client = settings.open()
    assert isinstance(client, Resident)

    async def load() -> None:
        try:
            await client.loaded()
            send({"number": None})
        except Exception as exc:  # noqa: BLE001  the parent raises it
            send({"number": None, **error_fields(exc)})

    loading = asyncio.create_task(load())  # meanwhile the input may end: then nobody waits any more
    working: dict[int, asyncio.Task[None]] = {}

    async def answer(message: dict[str, Any]) -> None:
        try:
            made = completion_fields(await client.complete(request_of(message, settings)))
        except Exception as exc:  # noqa: BLE001  the parent raises it
            made = error_fields(exc)
        send({"number": message["number"], **made})

    while line := await lines.readline():
        message = json.loads(line)
        number = message["number"]
        if message.get("drop"):
            if number in working:
                working[number].cancel()
            continue
        working[number] = asyncio.create_task(answer(message))
        working[number].add_done_callback(lambda _, number=number: working.pop(number, None))  # type: ignore[misc]
    for task in working.values():
        task.cancel()
    if loading.done():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(client.close(), LEAVE_S)


def placed(device: str | None, index: int) -> str | None:
    """The device of the replica of this number: several GPUs are shared out, where none is named."""
    if device not in (None, "cuda"):
        return device
    import torch

    n = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{index % n}" if n else device


async def main(out: BinaryIO) -> None:
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await serve(reader, out)


if __name__ == "__main__":
    kept = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    asyncio.run(main(kept))
    kept.close()
    os._exit(0)  # a thread of an engine may be at work still
