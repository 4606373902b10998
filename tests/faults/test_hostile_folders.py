"""A session folder from a stranger can execute nothing, read and write nothing outside itself, and crash nothing."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import xxhash

import dreamframe as dr
from dreamframe.store.journal import FILE_MAGIC, FRAME_MAGIC, HEADER, framed, header
from dreamframe.store.layout import sealed
from tests.faults.hostile import commit_model
from tests.storing import give, journals, opened, step_key, store_step, table_of

ROOT = Path(__file__).parents[2]
SECRET = "the secret outside"


QUIET = {"nothing hostile", "a link to the root", "programs beside the data", "names that are no text"}


class Bomb:
    """Unpickled, it starts a program."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("echo boom",)


PICKLE = pickle.dumps(Bomb())


def journal(folder: Path) -> Path:
    return journals(folder)[0]


def step(folder: Path) -> Path:
    return next(folder.glob("steps/summary-*"))


def model(folder: Path) -> Path:
    return next(folder.glob("models/SFT-*"))


def link_to(outside: Path, path: Path) -> None:
    """Put a link to the outside in the place of a file or folder."""
    target = outside / path.name
    if path.exists():
        shutil.move(path, target)
    elif not target.exists():
        target.mkdir(parents=True)
    path.symlink_to(target)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def edit(path: Path, **fields: object) -> None:
    path.write_bytes(sealed({**json.loads(path.read_text()), **fields}))


def replace_data(folder: Path, data: bytes) -> None:
    """Other bytes as the rows of a step, under a right checksum."""
    (step(folder) / "data.arrow").write_bytes(data)
    edit(step(folder) / "step.json", data_xxh3_128=xxhash.xxh3_128_hexdigest(data))


def extension_type() -> bytes:
    """A column that asks its reader to unpickle its type."""
    field = pa.field("n", pa.int64(), metadata={"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": PICKLE})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([field])) as stream:
        stream.write_table(pa.table({"n": pa.array(range(6), pa.int64())}))
    return bytes(sink.getvalue().to_pybytes())


def inflated() -> bytes:
    """Compressed buffers that say to be a terabyte long."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("text", pa.string())]), options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_table(pa.table({"text": ["x" * 100_000]}))
    data = bytearray(sink.getvalue().to_pybytes())
    at = data.index((100_000).to_bytes(8, "little"))
    data[at : at + 8] = (1 << 40).to_bytes(8, "little")
    return bytes(data)


CASES: dict[str, Callable[[Path, Path], object]] = {
    "nothing hostile": lambda f, o: None,
    "a journal is a link": lambda f, o: link_to(o, journal(f)),
    "the answers are a link": lambda f, o: link_to(o, f / "answers"),
    "a manifest is a link": lambda f, o: link_to(o, step(f) / "step.json"),
    "rows are a link": lambda f, o: link_to(o, step(f) / "data.arrow"),
    "an output is a link": lambda f, o: link_to(o, step(f)),
    "the steps are a link": lambda f, o: link_to(o, f / "steps"),
    "weights are a link": lambda f, o: link_to(o, model(f) / "config.json"),
    "the models are a link": lambda f, o: link_to(o, f / "models"),
    "a workdir is a link": lambda f, o: link_to(o, f / "models" / f".SFT-{step_key(60)[:12]}.work"),
    "the runs are a link": lambda f, o: link_to(o, f / "runs"),
    "the locks are a link": lambda f, o: link_to(o, f / "locks"),
    "the session file is a link": lambda f, o: link_to(o, f / "session.json"),
    "set aside goes to a link": lambda f, o: ((step(f) / "step.json").write_text("x"), link_to(o, f / "set-aside")),
    "a link to itself": lambda f, o: (shutil.rmtree(f / "steps"), (f / "steps").symlink_to(f / "steps")),
    "a link to the root": lambda f, o: (step(f) / "root").symlink_to("/"),
    "a journal is a pipe": lambda f, o: pipe(journal(f)),
    "rows are a pipe": lambda f, o: pipe(step(f) / "data.arrow"),
    "the session file is a pipe": lambda f, o: pipe(f / "session.json"),
    "a journal is a folder": lambda f, o: a_folder(journal(f)),
    "rows are a folder": lambda f, o: a_folder(step(f) / "data.arrow"),
    "the session file is a folder": lambda f, o: a_folder(f / "session.json"),
    "a model lists files outside": lambda f, o: edit(model(f) / "training.json", files={"../../../outside/secret": {"bytes": 18, "xxh3_128": "0"}}),
    "a model lists an absolute path": lambda f, o: edit(model(f) / "training.json", files={str(o / "secret"): {"bytes": 18, "xxh3_128": "0"}}),
    "pickled weights": lambda f, o: (model(f) / "pytorch_model.bin").write_bytes(PICKLE),
    "a pickled manifest": lambda f, o: (step(f) / "step.json").write_bytes(PICKLE),
    "a pickled journal": lambda f, o: journal(f).write_bytes(FILE_MAGIC + framed(PICKLE)),
    "pickled rows": lambda f, o: replace_data(f, PICKLE),
    "a type to be unpickled": lambda f, o: replace_data(f, extension_type()),
    "rows that inflate to a terabyte": lambda f, o: replace_data(f, inflated()),
    "a frame of 2**63 bytes": lambda f, o: journal(f).write_bytes(header() + HEADER.pack(FRAME_MAGIC, 0, 1 << 63, 0) + b"x" * 64),
    "a frame of no bytes": lambda f, o: journal(f).write_bytes(header() + framed(b"") * 50),
    "a schema as a frame": lambda f, o: journal(f).write_bytes(header() + header()[len(FILE_MAGIC) :] * 3),
    "a manifest of a million brackets": lambda f, o: (step(f) / "step.json").write_text("[" * 1_000_000),
    "a manifest of one long number": lambda f, o: (step(f) / "step.json").write_text("1" * 100_000),
    "names that are no text": lambda f, o: (f / "steps" / os.fsdecode(b"\xff\n-" + step_key(1)[:12].encode())).mkdir(),
    "programs beside the data": lambda f, o: [(f / n).write_text("raise SystemExit('boom')") for n in ("conftest.py", "sitecustomize.py", "polars.py")],
}


def build(at: Path, hostile: Callable[[Path, Path], object]) -> Path:
    """A session as it should be, then what the stranger made of it."""
    folder, outside = at / "session", at / "outside"
    outside.mkdir(parents=True)
    (outside / "secret").write_text(SECRET)
    with opened(folder) as stores:
        give(stores.answers, range(10))
        store_step(stores, 1, table_of(6))
        commit_model(stores, 2)
        stores.log.write([{"event": "run"}])
    hostile(folder, outside)
    return folder


def listing(folder: Path) -> list[tuple[str, bytes]]:
    return sorted((str(p.relative_to(folder)), p.read_bytes() if p.is_file() else b"") for p in folder.rglob("*"))


def child(mode: str, folders: list[Path]) -> list[dict[str, list[str]]]:
    command = [sys.executable, "-m", "tests.faults.hostile", mode, *map(str, folders)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return [json.loads(line) for line in ended.stdout.splitlines()]


Seen = dict[str, tuple[dict[str, list[str]], bool]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Of each folder: what was forbidden and happened, and whether the outside stayed as it was. One program opens them all."""
    at = tmp_path_factory.mktemp("hostile")
    folders = {name: build(at / str(i), hostile) for i, (name, hostile) in enumerate(CASES.items())}
    before = {name: listing(folder.parent / "outside") for name, folder in folders.items()}
    found = child("guarded", list(folders.values()))
    return {name: (what, listing(folders[name].parent / "outside") == before[name]) for name, what in zip(folders, found, strict=True)}


@pytest.mark.parametrize("case", CASES)
def test_a_strangers_folder_can_do_nothing(seen: Seen, case: str) -> None:
    what, outside_is_as_it_was = seen[case]
    assert what["forbidden"] == []
    assert outside_is_as_it_was
    assert bool(what["said"]) == (case not in QUIET)
    assert not any(SECRET in text for text in what["said"])


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[dict[str, list[str]], bool, Path]]:
    """As `seen`, of folders that are merged, which stay as they were, too; and what they were merged into."""
    at = tmp_path_factory.mktemp("merged")
    folders = {name: build(at / str(i), hostile) for i, (name, hostile) in enumerate(CASES.items())}
    for folder in folders.values():
        folder.with_name("merged").mkdir()
    before = {name: (listing(folder.parent / "outside"), listing(folder)) for name, folder in folders.items()}
    found = child("merging", list(folders.values()))
    same = {name: (listing(folder.parent / "outside"), listing(folder)) == before[name] for name, folder in folders.items()}
    return {name: (what, same[name], folders[name].with_name("merged")) for name, what in zip(folders, found, strict=True)}


@pytest.mark.parametrize("case", CASES)
def test_a_strangers_folder_that_is_merged_can_do_nothing(taken: dict[str, tuple[dict[str, list[str]], bool, Path]], case: str) -> None:
    what, all_is_as_it_was, merged = taken[case]
    assert what["forbidden"] == []
    assert all_is_as_it_was
    assert not any(SECRET in text for text in what["said"])
    there = list(merged.rglob("*"))
    assert not any(path.is_symlink() or SECRET.encode() in (path.read_bytes() if path.is_file() else b"") for path in there)
    assert not any(path.suffix in (".bin", ".py", ".tmp") for path in there)
    with dr.Session(merged, progress=False) as session:
        assert session.verify() == []
    if case == "nothing hostile":
        assert (what["said"], len(session.steps()), len(session.models())) == ([], 1, 1)


def test_the_hook_sees_what_it_must(tmp_path: Path) -> None:
    (tmp_path / "canary").mkdir()
    (what,) = child("guarded", [tmp_path / "canary"])
    events = {text.split()[0] for text in what["forbidden"]}
    assert {"pickle.find_class", "exec", "subprocess.Popen", "open"} <= events


def test_without_the_guard_links_lead_outside(tmp_path: Path) -> None:
    cases = ["rows are a link", "the runs are a link", "the locks are a link"]
    found = child("unguarded", [build(tmp_path / str(i), CASES[case]) for i, case in enumerate(cases)])
    assert all(what["forbidden"] for what in found)
