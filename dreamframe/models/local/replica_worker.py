"""The process of one device: reads settings and requests as JSON lines, writes answers. Started by replicas.py, never by hand."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, BinaryIO

from dreamframe.models.authority import Authority
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.replicas import LONGEST_LINE, completion_fields, error_fields, request_of
from dreamframe.names import named


async def serve(lines: asyncio.StreamReader, out: BinaryIO) -> None:
    """Load the model, answer requests until the input ends, unload."""

    def send(message: dict[str, Any]) -> None:
        out.write(json.dumps(message).encode() + b"\n")
        out.flush()

    given = json.loads(await lines.readline())
    allowed = given["fields"].pop("authority")
    given["fields"]["authority"] = None if allowed is None else Authority.of(allowed)
    settings = named(given["kind"])(**given["fields"]).pinned()  # once, not for each request
    client = settings.open()
    assert isinstance(client, Resident)
    try:
        await client.loaded()
        send({"number": None})
    except Exception as exc:  # noqa: BLE001  the parent raises it
        send({"number": None, **error_fields(exc)})
        return
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
    await client.close()


async def main(out: BinaryIO) -> None:
    reader = asyncio.StreamReader(limit=LONGEST_LINE)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await serve(reader, out)


if __name__ == "__main__":
    kept = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    asyncio.run(main(kept))
