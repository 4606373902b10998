"""One measured program: n prompts through dreamframe, through bare aiohttp, or through bare streams. Prints its own CPU, wall time and memory."""

from __future__ import annotations

import asyncio
import importlib
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

PROMPT = "Give one word for row {i}, which says: the quick brown fox jumps over the lazy dog, again and again, until somebody counts."


def dreamframe(url: str, n: int, concurrency: int, folder: Path) -> None:
    """A one-prompt run: session with journal, answers to a Parquet file."""
    import dreamframe as dr

    df = dr.frame({"i": range(n)}).prompt(dr.OpenAI("m", base_url=url, concurrency=concurrency), PROMPT, into="answer")
    with dr.Session(folder / "session", progress=False):
        df.write_parquet(folder / "out.parquet")


def bare(url: str, n: int, concurrency: int, folder: Path) -> None:
    """The same calls by hand: aiohttp, workers on one iterator, Parquet at the end."""
    import aiohttp
    import polars as pl

    answers: list[str | None] = [None] * n

    async def worker(session: aiohttp.ClientSession, rows: object) -> None:
        for i in rows:  # type: ignore[attr-defined]
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT.replace("{i}", str(i))}]}).encode()
            async with session.post(f"{url}/chat/completions", data=body) as reply:
                answers[i] = json.loads(await reply.read())["choices"][0]["message"]["content"]

    async def main() -> None:
        rows = iter(range(n))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency), headers={"Content-Type": "application/json"}) as session:
            await asyncio.gather(*(worker(session, rows) for _ in range(concurrency)))

    asyncio.run(main())
    pl.DataFrame({"i": range(n), "answer": answers}).write_parquet(folder / "out.parquet")


def streams(url: str, n: int, concurrency: int, folder: Path) -> None:
    """The same calls with what asyncio has: a stream for each worker, and replies of a length alone. No client can do less."""
    from urllib.parse import urlsplit

    import polars as pl

    answers: list[str | None] = [None] * n
    place = urlsplit(url)
    head = f"POST {place.path}/chat/completions HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\nContent-Length: "

    async def worker(rows: object) -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port, ssl=place.scheme == "https" or None)
        for i in rows:  # type: ignore[attr-defined]
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROMPT.replace("{i}", str(i))}]})
            writer.write(f"{head}{len(body)}\r\n\r\n{body}".encode())
            said = await reader.readuntil(b"\r\n\r\n")
            reply = await reader.readexactly(int(said.lower().partition(b"content-length:")[2].partition(b"\r")[0]))
            answers[i] = json.loads(reply)["choices"][0]["message"]["content"]
        writer.close()

    async def main() -> None:
        rows = iter(range(n))
        await asyncio.gather(*(worker(rows) for _ in range(concurrency)))

    asyncio.run(main())
    pl.DataFrame({"i": range(n), "answer": answers}).write_parquet(folder / "out.parquet")


def main() -> None:
    kind, url, n, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    with tempfile.TemporaryDirectory() as folder:
        importlib.import_module("dreamframe" if kind == "dreamframe" else "polars")
        importlib.import_module("aiohttp" if kind == "bare" else "httptools")  # the wall time is that of the run, not of imports
        began = time.perf_counter()
        {"dreamframe": dreamframe, "bare": bare, "streams": streams}[kind](url, n, concurrency, Path(folder))
        wall_s = time.perf_counter() - began
        import polars as pl

        rows = pl.read_parquet(Path(folder) / "out.parquet")
        assert rows.height == n
        assert rows.get_column("answer").null_count() == 0
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "wall_s": wall_s, "rss_mb": used.ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
