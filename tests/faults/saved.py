"""Damages a folder that `Dataset.save_to_disk` wrote, and reads it: a program of its own, so that a crash of the interpreter is seen from outside.

python -m tests.faults.saved FOLDER FLIPS [trusting]
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from pathlib import Path

import datasets
import polars as pl

import dreamframe as dr
from dreamframe.hub import datasets as hub

N = 200


def save(folder: Path) -> None:
    features = {"t": datasets.Value("string"), "n": datasets.Value("int64"), "l": datasets.ClassLabel(names=["a", "b"]), "s": [datasets.Value("string")]}
    rows = {"t": [f"tea {i}" * (i % 7) for i in range(N)], "n": list(range(N)), "l": [i % 2 for i in range(N)], "s": [["x"] * (i % 3) for i in range(N)]}
    datasets.Dataset.from_dict(rows, features=datasets.Features(features)).save_to_disk(str(folder))


def main(folder: Path, flips: int, *, trusting: bool) -> None:
    if trusting:
        hub.check_stream = lambda path: None
        hub.to_frame = pl.DataFrame
        hub._rows = lambda made, door: hub.named_labels(pl.DataFrame(made.with_format("arrow")[:]), made.features, door=door)
    datasets.utils.disable_progress_bars()
    save(folder)
    files = sorted(p for p in folder.iterdir() if p.is_file())
    chance, seen = random.Random(3), Counter[str]()
    for i in range(flips):
        file = files[0] if i % 4 else chance.choice(files)
        whole = file.read_bytes()
        data = bytearray(whole)
        at = chance.randrange(len(data)) if i % 2 else chance.randrange(min(len(data), 1200))
        data[at] ^= 1 << chance.randrange(8)
        file.write_bytes(data)
        print(i, file.name, at, file=sys.stderr, flush=True)
        try:
            seen["rows"] += len(dr.scan_hf_disk(folder).collect().to_dicts()) > -1
        except dr.errors.PlanError:
            seen["refused"] += 1
        file.unlink()  # mapped bytes of the damaged file stay as they were
        file.write_bytes(whole)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), trusting=sys.argv[3:] == ["trusting"])
