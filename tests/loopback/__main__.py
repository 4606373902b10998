"""The server in a process of its own: `python -m tests.loopback --latency 0.2`. Prints its address as a line of JSON, and serves until stdin closes."""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import sys
import threading
import time
from pathlib import Path

from tests.loopback.faults import FAULTS
from tests.loopback.server import Bucket, Call, Loopback


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m tests.loopback", description=__doc__)
    options.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options.add_argument("--rpm", type=float, help="calls a minute; more are answered 429")
    options.add_argument("--burst", type=float, default=10.0, help="calls that may come at once within --rpm")
    options.add_argument("--answer", help="the text of every answer (default: the prompt)")
    options.add_argument("--fault", choices=sorted(FAULTS), help="how it goes wrong")
    options.add_argument("--every", type=int, default=1, help="every n-th request goes wrong")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--tls", action="store_true", help="with the certificate in self_signed.pem")
    given = options.parse_args()
    server = Loopback(latency_s=given.latency, rate=Bucket(given.rpm, given.burst) if given.rpm else None, keep=False, tls=_tls() if given.tls else None)
    if given.answer is not None:
        server.reply = lambda body: given.answer
    if given.fault:
        server.fault = lambda call: FAULTS[given.fault] if _is_wrong(call, given.every) else None
    ready = threading.Event()
    threading.Thread(target=lambda: asyncio.run(server.serve(ready, given.port)), daemon=True).start()
    ready.wait(20)
    print(json.dumps({"url": server.url, "port": server.port}), flush=True)
    sys.stdin.read()
    print(json.dumps({**server.counters(), "cpu_s": time.process_time()}), flush=True)


def _tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).with_name("self_signed.pem"))
    return context


def _is_wrong(call: Call, every: int) -> bool:
    return call.ordinal % every == every - 1


if __name__ == "__main__":
    main()
