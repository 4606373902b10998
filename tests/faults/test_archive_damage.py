"""Damaged archives: each loads as it was exported, or is refused with one clear error, and no half of a folder is left."""

from __future__ import annotations

import gzip
import io
import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

import dreamframe as dr
from dreamframe.errors import CorruptFileError
from dreamframe.store import archive as archives
from dreamframe.store.files import Files
from tests.faults.hostile import commit_model
from tests.storing import give, opened, store_step, table_of, warned

KINDS = (".tar", ".tar.gz", ".tar.zst")
FLIPS = 250


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("session") / "a"
    with opened(folder) as stores:
        for start in range(0, 60, 20):
            give(stores.answers, range(start, start + 20))
            stores.answers.flush()
        for n in range(3):
            store_step(stores, n, table_of(40))
            stores.log.write([{"event": "run", "n": n}])
        commit_model(stores, 9)
    with dr.Session(folder):
        dr.frame({"t": ["tea", "jam"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
    return folder


@pytest.fixture(scope="module")
def exported(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    at = tmp_path_factory.mktemp("exported")
    made = {kind: archives.export(Files(session), at / f"run{kind}").read_bytes() for kind in KINDS}
    return made.__getitem__


@pytest.fixture
def load(tmp_path: Path, session: Path) -> Callable[[str, bytes], bool]:
    """Load these bytes as an archive: whether they were taken. Nothing but the whole folder, or none, is left."""
    whole = {name: data for name, data in contents(session).items() if not name.startswith("locks/")}

    def tried(kind: str, data: bytes) -> bool:
        archive, folder = tmp_path / f"damaged{kind}", tmp_path / "loaded"
        archive.write_bytes(data)
        try:
            loaded = dr.Session.load(archive, folder)
        except CorruptFileError:
            assert [p.name for p in tmp_path.iterdir()] == [archive.name]
            return False
        assert contents(folder) == whole
        assert loaded.verify() == []
        loaded.close()
        shutil.rmtree(folder)
        return True

    return tried


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_refused_or_changes_nothing(kind: str, exported: Callable[[str], bytes], load: Callable[[str, bytes], bool]) -> None:
    chance, whole = random.Random(kind), exported(kind)
    assert load(kind, whole)
    n_taken = 0
    for _ in range(FLIPS):
        data = bytearray(whole)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        n_taken += load(kind, bytes(data))
    assert n_taken < FLIPS / 2 if kind != ".tar" else n_taken < FLIPS  # a plain archive is half padding


@pytest.mark.parametrize("kind", KINDS)
def test_a_cut_archive_is_refused(kind: str, exported: Callable[[str], bytes], load: Callable[[str, bytes], bool]) -> None:
    whole = exported(kind)
    end = len(whole.rstrip(b"\0")) + 512 if kind == ".tar" else len(whole) - 9  # the last bytes are zeros, or the checksum of what was listed
    step = 512 if kind == ".tar" else max(1, len(whole) // 120)
    assert [size for size in range(0, end, step) if load(kind, whole[:size])] == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_behind_the_end_is_refused(kind: str, exported: Callable[[str], bytes], load: Callable[[str, bytes], bool]) -> None:
    whole = exported(kind)
    assert not load(kind, whole + b"and more")
    assert not load(kind, whole + whole)


@pytest.mark.parametrize("kind", [".tar.gz", ".tar.zst"])
def test_an_archive_packed_in_several_parts_is_whole(kind: str, exported: Callable[[str], bytes], load: Callable[[str, bytes], bool]) -> None:
    pack: Callable[[bytes], bytes] = {".tar.gz": gzip.compress, ".tar.zst": zstandard.compress}[kind]
    whole = exported(".tar")
    parts = [whole[i : i + 5000] for i in range(0, len(whole), 5000)]
    assert load(kind, b"".join(pack(p) for p in parts))
    assert not load(kind, b"".join(pack(p) for p in parts[:-3]))
    assert not load(kind, b"".join(pack(p) for p in (*parts[:2], *parts[3:])))


def edited(whole: bytes, change: Callable[[list[tuple[tarfile.TarInfo, bytes]]], list[tuple[tarfile.TarInfo, bytes]]]) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        members = [(m, tar.extractfile(m).read()) for m in tar]  # type: ignore[union-attr]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member, data in change(members):
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def swapped(members: list[tuple[tarfile.TarInfo, bytes]]) -> list[tuple[tarfile.TarInfo, bytes]]:
    steps = [i for i, (m, _) in enumerate(members) if m.name.endswith("data.arrow")]
    a, b = steps[0], next(i for i in range(len(members)) if members[i][0].name.endswith("step.json"))
    members[a], members[b] = (members[a][0], members[b][1]), (members[b][0], members[a][1])
    return members


CHANGES = {
    "two members have each other's bytes": swapped,
    "a member is missing": lambda members: members[1:],
    "a member is empty": lambda members: [(members[0][0], b""), *members[1:]],
    "a member stands there twice": lambda members: [members[0], *members],
    "the list is not last": lambda members: [members[-1], *members[:-1]],
    "the list stands there twice": lambda members: [*members, members[-1]],
    "the list is not JSON": lambda members: [*members[:-1], (members[-1][0], b"[" * 100_000)],
    "the list names more": lambda members: [*members[:-1], (members[-1][0], members[-1][1].replace(b"session.json", b"session.jsoM"))],
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_archive_that_is_not_what_its_list_says_is_refused(what: str, exported: Callable[[str], bytes], load: Callable[[str, bytes], bool]) -> None:
    whole = exported(".tar")
    assert load(".tar", edited(whole, lambda members: members))
    assert not load(".tar", edited(whole, CHANGES[what]))


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_of_a_former_version_loads_where_it_is_whole(kind: str, exported: Callable[[str], bytes], load: Callable[[str, bytes], bool]) -> None:
    former = edited(exported(".tar"), lambda members: members[:-1])
    packed = {".tar": former, ".tar.gz": gzip.compress(former), ".tar.zst": zstandard.compress(former)}[kind]
    with warned() as said:
        assert load(kind, packed)
    assert said == []
    assert not load(kind, packed[: len(packed) // 2])


def test_damage_in_an_archive_without_a_list_is_said(exported: Callable[[str], bytes], tmp_path: Path) -> None:
    former = edited(exported(".tar"), lambda members: swapped(members[:-1]))
    (tmp_path / "former.tar").write_bytes(former)
    with warned() as said:
        dr.Session.load(tmp_path / "former.tar", tmp_path / "b").close()
    assert any("former version" in text and "steps/" in text for text in said)
