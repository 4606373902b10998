"""A bucket on this machine: moto's S3 server, which speaks the real protocol and honours If-None-Match."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dreamframe.store.address import address_of
from dreamframe.store.objects import Objects

SECRET = "sk-of-the-bucket-4f1c"


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server, which ends with the block."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def make(endpoint: str, bucket: str) -> None:
    """A new bucket."""
    line = http.client.HTTPConnection(endpoint.removeprefix("http://"))
    line.request("PUT", f"/{bucket}", headers={"Content-Length": "0"})
    assert line.getresponse().status == 200
    line.close()


def keys(patch: pytest.MonkeyPatch, endpoint: str, cache: Path) -> None:
    """The environment of a machine that may use the buckets; `cache`: where it has its working copies."""
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "AKIDLOOPBACK", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1",
        "DREAMFRAME_CACHE": str(cache),
    }.items():  # fmt: skip
        patch.setenv(name, value)


def objects(text: str) -> Objects:
    """The objects of a session."""
    address = address_of(text)
    assert address is not None
    return Objects(address)
