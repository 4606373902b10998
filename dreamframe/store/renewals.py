"""Answers that others have taken the place of: how often each request was asked anew. Small files, each written once; their union counts."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dreamframe.errors import CorruptFileError
from dreamframe.store.files import Files
from dreamframe.store.layout import Layout, is_damaged, read_json, sealed, warn

NAME = re.compile(r"\d{8}T\d{12}-\d+-[0-9a-f]{8}\.json")
KEY = re.compile(r"[0-9a-f]{32}")


class Renewals:
    """Request → how many times it was asked anew. Each time, its answer is kept under another key, and the last one counts."""

    def __init__(self, files: Files, layout: Layout | None) -> None:
        self._files, self._layout = files, layout
        self._times: dict[bytes, int] = {}
        self._read: set[str] = set()
        self.refresh()

    def of(self, key: bytes) -> bytes:
        """The key under which the answer to a request is kept now."""
        return _key(key, self._times.get(key, 0))

    def now(self, keys: Sequence[bytes | None]) -> Sequence[bytes | None]:
        """`of`, for a batch."""
        return keys if not self._times else [None if key is None else self.of(key) for key in keys]

    def next(self, key: bytes) -> tuple[bytes, int]:
        """The key that the next answer to a request gets, and the how many-th time it is that the request is asked anew."""
        times = self._times.get(key, 0) + 1
        return _key(key, times), times

    def add(self, times: Mapping[bytes, int]) -> None:
        """These requests were asked anew for the how many-th time, and their new answers are kept. What another run has renewed further stays so."""
        times = {key: n for key, n in times.items() if n > self._times.get(key, 0)}
        if self._layout is not None and times:
            self._files.mkdir(self._layout.renewals)
            now = time.time_ns() // 1000
            stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(now // 1_000_000))}{now % 1_000_000:06d}"
            name = f"{stamp}-{os.getpid()}-{secrets.token_hex(4)}.json"
            self._files.write_new(self._layout.renewals / name, sealed({"times": {key.hex(): n for key, n in times.items()}}))
            self._read.add(name)
        self._times.update(times)

    def refresh(self) -> None:
        """Read what other processes have written."""
        if self._layout is None:
            return
        for name in self._files.listdir(self._layout.renewals):
            if NAME.fullmatch(name) and name not in self._read:
                self._read.add(name)
                try:
                    for key, n in read_times(self._files, self._layout.renewals / name).items():
                        self._times[key] = max(n, self._times.get(key, 0))
                except CorruptFileError as exc:
                    warn(f"{exc}; the answers of before count again for what it named")


def read_times(files: Files, path: Path) -> dict[bytes, int]:
    """One file of renewals. Raises CorruptFileError if it is not as it was written."""
    record = read_json(files, path)
    times = record.get("times")
    if is_damaged(record, must=True) or not isinstance(times, dict):
        raise CorruptFileError(f"{path} does not have its checksum")
    if not all(isinstance(k, str) and KEY.fullmatch(k) and type(n) is int and n > 0 for k, n in times.items()):
        raise CorruptFileError(f"{path} does not name requests and how often they were asked anew")
    return {bytes.fromhex(key): n for key, n in times.items()}


def _key(key: bytes, times: int) -> bytes:
    return key if times == 0 else hashlib.sha256(b"asked anew" + times.to_bytes(8, "big") + key).digest()[:16]
