"""The log of runs: one JSON line for each event, one file for each run."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dreamframe.store.files import Files
from dreamframe.store.layout import Layout

NAME = re.compile(r"\d{8}T\d{6}-\d+-[0-9a-f]+\.jsonl")


class RunLog:
    """Writes `runs/<time>.jsonl`; nothing for a session in memory."""

    def __init__(self, files: Files, layout: Layout | None) -> None:
        self._files, self._layout = files, layout

    def read(self) -> Iterator[dict[str, Any]]:
        """The events of all runs, oldest first, each with its `day` (2026-01-31). Lines that were cut off or are none of ours are left out."""
        if self._layout is None:
            return
        for name in self._files.listdir(self._layout.runs):
            if not NAME.fullmatch(name):
                continue
            for line in self._files.read_bytes(self._layout.runs / name).decode("utf-8", "replace").splitlines():
                try:
                    event = json.loads(line)
                except (ValueError, RecursionError):
                    continue
                if isinstance(event, dict):
                    yield {**event, "day": f"{name[:4]}-{name[4:6]}-{name[6:8]}"}

    def write(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Keep the events of one run."""
        if self._layout is None or not events:
            return
        self._files.mkdir(self._layout.runs)
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        lines = (json.dumps(e, ensure_ascii=False, default=str) for e in events)
        self._files.write_new(self._layout.runs / name, "".join(f"{line}\n" for line in lines).encode())
