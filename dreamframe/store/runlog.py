"""The log of runs: one JSON line for each event, one file for each run."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dreamframe.store.files import Files
from dreamframe.store.layout import Layout


class RunLog:
    """Writes `runs/<time>.jsonl`; nothing for a session in memory."""

    def __init__(self, files: Files, layout: Layout | None) -> None:
        self._files, self._layout = files, layout

    def write(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Keep the events of one run."""
        if self._layout is None or not events:
            return
        self._files.mkdir(self._layout.runs)
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        lines = (json.dumps(e, ensure_ascii=False, default=str) for e in events)
        self._files.write_new(self._layout.runs / name, "".join(f"{line}\n" for line in lines).encode())
