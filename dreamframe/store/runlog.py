"""The log of runs: one JSON line for each event, one file for each run."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamframe.errors import StorageError
from dreamframe.store.files import Files, Handle
from dreamframe.store.layout import Layout, plain, warn
from dreamframe.store.records import wrong_event

MOST = 1 << 30  # bytes of a log, which is read whole
NAME = re.compile(r"\d{8}T\d{6}-\d+-[0-9a-f]+\.jsonl")


class RunLog:
    """The log of one run, written while it goes on: a process that is killed leaves every event that was appended. The file is made at the first event."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files, self._layout = files, layout
        self._handle: Handle | None = None
        self._n_bytes = 0

    def append(self, *events: Mapping[str, Any]) -> None:
        """Write events, each as a line: all, or with a StorageError none. They survive a kill once this returns, and a power cut once `end` has."""
        if not events:
            return
        if self._handle is None:
            self._files.mkdir(self._layout.runs)
            seconds, nanoseconds = divmod(time.time_ns(), 10**9)
            order = f"{nanoseconds // 1000:05x}"  # runs of one second and one process come in the order in which they began
            name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}-{os.getpid()}-{order}{secrets.token_hex(4)}.jsonl"
            self._handle = self._files.append(self._layout.runs / name)
        lines = (json.dumps(e, ensure_ascii=False, default=plain) for e in events)
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            self._handle.write(data)
        except StorageError:
            self._handle.truncate(self._n_bytes)  # no half line before those that come later
            raise
        self._n_bytes += len(data)

    def end(self) -> None:
        """The run is over: return when all of it would survive a power cut."""
        handle, self._handle = self._handle, None
        if handle is not None:
            try:
                handle.sync()
            finally:
                handle.close()
            self._files.sync_dir(self._layout.runs)


class RunLogs:
    """The logs of all runs, `runs/<time>.jsonl`."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files, self._layout = files, layout

    def begin(self) -> RunLog:
        """The log of a run that begins."""
        return RunLog(self._files, self._layout)

    def write(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Keep the events of a run that is over."""
        log = self.begin()
        try:
            log.append(*events)
        finally:
            log.end()

    def read(self) -> Iterator[dict[str, Any]]:
        """The events of all runs, oldest first, each with its `run` (the file's name) and `day` (2026-01-31). What is cut off or not ours is left out,
        with a warning."""
        for name in self._files.listdir(self._layout.runs):
            if not NAME.fullmatch(name):
                continue
            events, bad = read_log(self._files, self._layout.runs / name)
            if bad:
                warn(f"{self._layout.runs / name}: {len(bad)} lines are left out: {bad[0]}")
            yield from (of_run(event, name) for event in events)

    def follow(self) -> Follower:
        """Whoever looks on while runs write their logs."""
        return Follower(self._files, self._layout)


class Follower:
    """What is new in the logs of all runs on a folder, whoever writes them."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files, self._layout = files, layout
        self._at: dict[str, int] = {}  # name of a log → bytes that were read

    def news(self) -> list[dict[str, Any]]:
        """The events that were written since the last look, each with its `run` and `day`; at the first look, all. A line that is half written comes
        with the next look; one that is not ours never does."""
        found: list[dict[str, Any]] = []
        for name in self._files.listdir(self._layout.runs):
            path, at = self._layout.runs / name, self._at.get(name, 0)
            if NAME.fullmatch(name) and self._files.kind(path) == "file" and at < self._files.size(path) <= MOST:
                data = self._files.read_bytes(path, offset=at)
                whole = data[: data.rfind(b"\n") + 1]
                self._at[name] = at + len(whole)
                found += [of_run(event, name) for event in events_in(whole)[0]]
        return found


def of_run(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An event with the run that it is of: the name of its log, and the day."""
    return {**event, "run": name, "day": f"{name[:4]}-{name[4:6]}-{name[6:8]}"}


def read_log(files: Files, path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The events of one run, and what is wrong with the other lines, in words."""
    if files.kind(path) != "file":
        return [], ["it is not a regular file"]
    if files.size(path) > MOST:
        return [], [f"it is larger than the log of any run ({MOST >> 20} MB)"]
    return events_in(files.read_bytes(path))


def events_in(data: bytes) -> tuple[list[dict[str, Any]], list[str]]:
    """The events of a part of a log, and what is wrong with the other lines, in words."""
    events, bad = [], []
    *lines, cut_off = data.decode("utf-8", "replace").split("\n")  # of texts in JSON, other ends of lines are a part
    for i, line in enumerate([*lines, cut_off] if cut_off else lines, 1):
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            bad.append(f"line {i} is not JSON")
            continue
        if not isinstance(event, dict):
            bad.append(f"line {i} is not an event")
        elif (name := wrong_event(event)) is not None:
            bad.append(f"line {i} has a {name!r} that no run writes")
        else:
            events.append(event)
    return events, bad
