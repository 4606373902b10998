"""A simulated disk behind the store: it can stop at any operation, and show every state that a power cut may leave.

What a sync promised is there after a power cut. What was not synced may be there, be torn, or be gone: of a file's new bytes any part, blocks of
zeros included; of a folder's new, removed and renamed entries any subset, in their order.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dreamframe.store.files import Files, Handle, Kind, storage_error
from dreamframe.store.locks import Lock

SECTOR = 512


class Crash(BaseException):
    """The process ends here: nothing after this operation happens."""


@dataclass
class Node:
    """A file (data) or a folder (entries), with what of it is on the platter."""

    is_dir: bool = False
    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    entries: dict[str, Node] = field(default_factory=dict)
    durable_entries: dict[str, Node] = field(default_factory=dict)
    changes: list[tuple[str, str | None, Node | None]] = field(default_factory=list)  # (removed or "", added or None, what was added)

    def change(self, removed: str, added: str | None, node: Node | None) -> None:
        self.entries.pop(removed, None)
        if added is not None and node is not None:
            self.entries[added] = node
        self.changes.append((removed, added, node))


class Disk(Files):
    """Files in memory. `stop_at=n` raises Crash at the n-th operation that changes something, and at every one after it."""

    def __init__(self, root: Path, *, stop_at: int | None = None, top: Node | None = None, seed: int = 0) -> None:
        super().__init__(root)
        self.top = top or Node(is_dir=True)
        self.stop_at = stop_at
        self.n_operations = 0
        self._held: set[int] = set()
        self._random = random.Random(seed)

    # What tests do

    def killed(self) -> Disk:
        """The disk as the next process finds it after a kill: everything that was done is there."""
        return Disk(self.root, top=_copy(self.top, {}))

    def after_power_cut(self, seed: int) -> Disk:
        """One legal state after a power cut."""
        chance = random.Random(seed)
        keep = chance.choice([0.0, 0.2, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0])
        return Disk(self.root, top=_survivor(self.top, chance, keep, {}))

    def operation(self) -> None:
        """Count one change; raise Crash from the appointed one on."""
        self.n_operations += 1
        if self.stop_at is not None and self.n_operations >= self.stop_at:
            raise Crash(self.n_operations)

    # Looking

    def kind(self, path: Path) -> Kind | None:
        node = self._find(path)
        return None if node is None else "dir" if node.is_dir else "file"

    def size(self, path: Path) -> int:
        return len(self._file(path, "look at").data)

    def number(self, path: Path) -> int:
        return sum(str(path).encode())

    def listdir(self, path: Path) -> list[str]:
        node = self._find(path)
        return sorted(node.entries) if node is not None and node.is_dir else []

    def read_bytes(self, path: Path, *, offset: int = 0, most: int | None = None) -> bytes:
        data = bytes(self._file(path, "read").data)[offset:]
        return data if most is None else data[:most]

    def map(self, path: Path) -> memoryview:
        return memoryview(bytes(self._file(path, "read").data))

    @contextmanager
    def reading(self, path: Path) -> Iterator[Callable[[int, int], bytes]]:
        data = bytes(self._file(path, "read").data)
        yield lambda offset, most: data[offset : offset + most]

    # Writing

    def append(self, path: Path) -> Handle:
        self.operation()
        parent = self._folder(path.parent, "write to")
        if path.name in parent.entries:
            raise storage_error(path, "write", errno.EEXIST)
        node = Node()
        parent.change("", path.name, node)
        return _Handle(self, path, node)

    def cut(self, path: Path, size: int) -> None:
        self.operation()
        node = self._file(path, "truncate")
        del node.data[size:]
        node.durable = bytes(node.data)

    def link(self, source: Path, target: Path) -> bool:
        self.operation()
        node, parent = self._file(source, "link"), self._folder(target.parent, "write to")
        if target.name in parent.entries:
            return False
        parent.change("", target.name, node)
        return True

    def rename_dir(self, source: Path, target: Path) -> bool:
        self.operation()
        there = self._find(target)
        if there is not None and (there.entries or not there.is_dir):
            return False
        self._rename(source, target)
        self.sync_dir(target.parent)
        return True

    def move(self, source: Path, target: Path) -> None:
        self.operation()
        self._rename(source, target)
        self.sync_dir(target.parent)

    def unlink(self, path: Path) -> None:
        self.operation()
        parent = self._find(path.parent)
        if parent is not None and path.name in parent.entries:
            parent.change(path.name, None, None)

    def sync(self, path: Path) -> None:
        self.operation()
        node = self._file(path, "sync")
        node.durable = bytes(node.data)

    def sync_dir(self, path: Path) -> None:
        self.operation()
        node = self._folder(path, "sync")
        node.durable_entries, node.changes = dict(node.entries), []

    def lock(self, path: Path, *, make: bool = True, wait_s: float = 0.0) -> Lock | None:
        node = self._find(path)
        if node is None:
            if not make:
                raise storage_error(path, "lock", errno.ENOENT)
            node = Node()
            self.operation()
            self._folder(path.parent, "write to").change("", path.name, node)
        if id(node) in self._held:
            return None
        self._held.add(id(node))
        return _Lock(self._held, node)

    def touch(self, path: Path) -> None:
        """No clock here."""

    def age_s(self, path: Path) -> float:
        return 0.0

    def _make_dir(self, path: Path) -> None:
        self.operation()
        if path == self.root:
            return
        parent = self._folder(path.parent, "write to")
        if path.name not in parent.entries:
            parent.change("", path.name, Node(is_dir=True))
        self.sync_dir(path.parent)

    def _remove_dir(self, path: Path) -> None:
        self.operation()
        self._folder(path.parent, "write to").change(path.name, None, None)

    # Inside

    def _rename(self, source: Path, target: Path) -> None:
        node = self._find(source)
        if node is None:
            raise storage_error(source, "move", errno.ENOENT)
        old, new = self._folder(source.parent, "move"), self._folder(target.parent, "write to")
        if old is new:
            new.change(source.name, target.name, node)
        else:
            new.change("", target.name, node)
            old.change(source.name, None, None)

    def _find(self, path: Path) -> Node | None:
        self._inside(path)
        node: Node | None = self.top
        for part in path.parts[len(self.root.parts) :]:
            node = node.entries.get(part) if node is not None and node.is_dir else None
        return node

    def _file(self, path: Path, doing: str) -> Node:
        node = self._find(path)
        if node is None or node.is_dir:
            raise storage_error(path, doing, errno.ENOENT)
        return node

    def _folder(self, path: Path, doing: str) -> Node:
        node = self._find(path)
        if node is None or not node.is_dir:
            raise storage_error(path, doing, errno.ENOENT)
        return node

    def torn(self, data: bytes) -> bytes:
        """What of a write had arrived when the process ended."""
        return data[: self._random.randrange(len(data) + 1)]


class _Handle:
    def __init__(self, disk: Disk, path: Path, node: Node) -> None:
        self._disk, self.path, self._node = disk, path, node

    def write(self, data: bytes | memoryview) -> None:
        try:
            self._disk.operation()
        except Crash as crash:
            if crash.args[0] == self._disk.stop_at:
                self._node.data += self._disk.torn(bytes(data))
            raise
        self._node.data += bytes(data)

    def sync(self) -> None:
        self._disk.operation()
        self._node.durable = bytes(self._node.data)

    def truncate(self, size: int) -> None:
        self._disk.operation()
        del self._node.data[size:]

    def close(self) -> None:
        """Closing promises nothing."""


class _Lock:
    def __init__(self, held: set[int], node: Node) -> None:
        self._held, self._node = held, node

    is_held = True

    def release(self) -> None:
        self._held.discard(id(self._node))


def _copy(node: Node, seen: dict[int, Node]) -> Node:
    """The node as it is now, with everything on the platter."""
    if id(node) not in seen:
        made = seen[id(node)] = Node(node.is_dir, bytearray(node.data), bytes(node.data))
        made.entries = {name: _copy(child, seen) for name, child in node.entries.items()}
        made.durable_entries = dict(made.entries)
    return seen[id(node)]


def _survivor(node: Node, chance: random.Random, keep: float, seen: dict[int, Node]) -> Node:
    """A legal state of the node after a power cut: each unsynced change is there with probability `keep`."""
    if id(node) not in seen:
        data = b"" if node.is_dir else _surviving_bytes(node, chance, keep)
        made = seen[id(node)] = Node(node.is_dir, bytearray(data), data)
        entries = dict(node.durable_entries)
        for removed, added, what in node.changes:
            if chance.random() < keep:
                entries.pop(removed, None)
                if added is not None and what is not None:
                    entries[added] = what
        made.entries = {name: _survivor(child, chance, keep, seen) for name, child in entries.items()}
        made.durable_entries = dict(made.entries)
    return seen[id(node)]


def _surviving_bytes(node: Node, chance: random.Random, keep: float) -> bytes:
    now, safe = bytes(node.data), node.durable
    if not now.startswith(safe):  # cut off and not synced: either length
        return now if chance.random() < keep else safe
    new = bytearray(now[len(safe) :])
    if keep < 1.0 and chance.random() < 0.7:
        del new[chance.randrange(len(new) + 1) :]
    for start in range(0, len(new), SECTOR):
        if chance.random() > keep:
            new[start : start + SECTOR] = bytes(len(new[start : start + SECTOR]))  # the length arrived, this block did not
    return safe + bytes(new)
