"""Damages a small session in every way and looks at what is found: a program of its own, so that a crash of the interpreter is seen from outside.

python -m tests.faults.damage truncations|flips|unchecked|crafted|offsets|unvalidated
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa

from dreamframe.errors import StoreError
from dreamframe.store import journal, steps
from dreamframe.store.stores import stores_on
from tests.faults.disk import Disk, Node
from tests.storing import give, keys_of, step_key, store_step, table_of, warned

ROOT = Path("/nowhere/out")
ANSWERS = range(12)
ASKED = [*keys_of(ANSWERS[::-1]), bytes(16), bytes([255]) * 16]  # and two keys that nothing has
TABLE = table_of(6)
FLIPS = 4000


def small_session(*, rows_a_frame: int = 4) -> Disk:
    """Twelve answers, one output, one model."""
    disk = Disk(ROOT)
    stores = stores_on(disk)
    for start in range(0, len(ANSWERS), rows_a_frame):
        give(stores.answers, range(start, start + rows_a_frame))
        stores.answers.flush()
    store_step(stores, 1, TABLE)
    out = stores.models.workdir(step_key(2), "SFT") / "out"
    disk.mkdir(out)
    weights = disk.append(out / "adapter.safetensors")
    weights.write(bytes(range(64)))
    stores.models.commit(step_key(2), "SFT", out, {"loss": 1})
    stores.answers.close()
    return disk


def files_of(node: Node, at: Path = ROOT) -> Iterator[tuple[Path, Node]]:
    for name, child in sorted(node.entries.items()):
        if child.is_dir:
            yield from files_of(child, at / name)
        else:
            yield at / name, child


def node_at(disk: Disk, path: Path) -> Node:
    return disk._file(path, "damage")


def look(disk: Disk) -> Counter[str]:
    """Open a damaged session and read everything in it."""
    seen: Counter[str] = Counter(states=1)
    with warned() as said:
        try:
            stores = stores_on(disk)
        except StoreError as exc:
            return Counter({"states": 1, f"cannot be opened: {type(exc).__name__}": 1})
        assert stores.steps is not None
        found = stores.answers.lookup(ASKED)
        for i, text in zip(ANSWERS[::-1], found["text"].to_list(), strict=False):
            seen["missing answers" if text is None else "right" if text == f"answer {i}" else "wrong answers"] += 1
        seen["wrong answers"] += found["found"][len(ANSWERS) :].sum()
        output = stores.steps.find(step_key(1))
        seen["missing outputs" if output is None else "right" if output.rows().equals(TABLE) else "wrong outputs"] += 1
        model = stores.models.find(step_key(2))
        whole = model is not None and disk.read_bytes(model / "adapter.safetensors") == bytes(range(64))
        seen["missing models" if model is None else "right" if whole else "wrong models"] += 1
        stores.answers.close()
    seen[f"with {len(said)} warnings"] += 1
    return seen


def truncations(whole: Disk) -> Iterator[Disk]:
    for path, node in files_of(whole.top):
        if "runs" not in path.parts:
            for size in range(len(node.data)):
                disk = whole.killed()
                del node_at(disk, path).data[size:]
                yield disk


def flips(whole: Disk, *, n: int = FLIPS) -> Iterator[Disk]:
    """One flipped bit, anywhere; big files are hit more often."""
    chance = random.Random(0)
    files = list(files_of(whole.top))
    for path, node in chance.choices(files, [len(node.data) for _, node in files], k=n):
        disk = whole.killed()
        node_at(disk, path).data[chance.randrange(len(node.data))] ^= 1 << chance.randrange(8)
        yield disk


def crafted(whole: Disk, *, n: int = 600) -> Iterator[Disk]:
    """A flipped bit or a big number inside a payload, under checksums that are right again."""
    chance = random.Random(1)
    files = [(path, node) for path, node in files_of(whole.top) if path.suffix in (".answers", ".arrow")]
    for i in range(n):
        path, _ = files[i % len(files)]
        disk = whole.killed()
        data = node_at(disk, path).data
        first = len(journal.header()) + journal.HEADER.size if path.suffix == ".answers" else 0
        at = chance.randrange(first // 8, len(data) // 8 - 1) * 8
        data[at : at + 8] = chance.choice([b"\xff" * 8, (1 << 40).to_bytes(8, "little"), (1 << 62).to_bytes(8, "little"), bytes(8), chance.randbytes(8)])
        _seal(disk, path, data)
        yield disk


def _seal(disk: Disk, path: Path, data: bytearray) -> None:
    """Give a damaged file right checksums again, as somebody would who means harm."""
    if path.suffix == ".answers":
        at = len(journal.FILE_MAGIC)
        while at + journal.HEADER.size <= len(data):
            magic, _, length, _ = journal.HEADER.unpack_from(data, at)
            start = at + journal.HEADER.size
            if magic != journal.FRAME_MAGIC or length > len(data) - start:
                return
            payload = bytes(data[start : start + length])
            journal.HEADER.pack_into(data, at, magic, 0, length, journal.xxhash.xxh3_64_intdigest(payload))
            at = start + length
        return
    manifest = node_at(disk, path.parent / "step.json").data
    record = json.loads(manifest)
    manifest[:] = steps.sealed({**record, "data_xxh3_128": steps.xxhash.xxh3_128_hexdigest(bytes(data))})


def unchecked(whole: Disk) -> Iterator[Disk]:
    """Flips, with the checksums switched off."""
    journal.xxhash = SimpleNamespace(xxh3_64_intdigest=lambda _: AnyNumber())  # type: ignore[assignment]
    yield from flips(whole, n=1500)


def offsets(_: Disk) -> Iterator[Disk]:
    """A text that is said to end a terabyte further on, under a right checksum."""
    disk = small_session(rows_a_frame=len(ANSWERS))
    (path,) = (path for path, _ in files_of(disk.top) if path.suffix == ".answers")
    data = node_at(disk, path).data
    at = data.index((8).to_bytes(8, "little") + (16).to_bytes(8, "little"))
    data[at + 8 : at + 16] = (1 << 40).to_bytes(8, "little")
    _seal(disk, path, data)
    yield disk


def unvalidated(whole: Disk) -> Iterator[Disk]:
    """The same, with the validation switched off."""
    journal.decode = lambda payload, is_former: pa.ipc.read_record_batch(pa.ipc.read_message(payload), journal._arrow_schema(is_former=is_former))
    yield from offsets(whole)


class AnyNumber(int):
    """Equal to every checksum."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


MODES: dict[str, Callable[[Disk], Iterator[Disk]]] = {f.__name__: f for f in (truncations, flips, unchecked, crafted, offsets, unvalidated)}


def main(mode: str) -> None:
    total: Counter[str] = Counter()
    for disk in MODES[mode](small_session()):
        total.update(look(disk))
        if mode == "unchecked" and total["wrong answers"]:
            break  # that is what was to be shown
    print(json.dumps(total))


if __name__ == "__main__":
    main(sys.argv[1])
