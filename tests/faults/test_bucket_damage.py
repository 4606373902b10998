"""Sessions in a bucket: a server that goes, keys, wrong addresses, and objects that a stranger wrote or that were damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import CorruptFileError, SettingError, StorageError
from dreamframe.store.layout import SessionWarning
from dreamframe.store.objects import Objects
from tests.faults.machines import ROWS, Machine, N, frames
from tests.loopback import bucket


def test_a_server_that_goes_in_the_middle_costs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dreamframe.store.objects.TRIES", 0)
    with bucket.serving() as address:
        bucket.make(address, "sessions")
        bucket.keys(monkeypatch, address, tmp_path)
        session = dr.Session("s3://sessions/run", progress=False)
        session.collect(frames()[0])
    with pytest.raises(StorageError, match=r"Session s3://sessions/run.*Nothing is lost: what has not gone up is in .*goes up when"):
        session.close()
    with pytest.raises(StorageError, match=r"Session s3://sessions/run.*the server did not answer"):
        dr.Session("s3://sessions/run", progress=False).collect(frames()[0])
    assert session.folder is not None
    with dr.Session(session.folder, progress=False, offline=True):
        assert frames()[0].collect().rows() == [row[:2] for row in ROWS]


def test_errors_name_the_session_and_what_to_do(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match=r"Session s3://typo/run: there is no such bucket\. Make it, or name another\."):
        dr.Session("s3://typo/run", progress=False).stores  # noqa: B018
    with pytest.raises(SettingError, match="there is no session in 's3://sessions/nothing'"):
        dr.Session.existing("s3://sessions/nothing").runs()


@pytest.mark.parametrize(
    "at", ["s3://AKID:sk-4f1c@bucket/run", "az://bucket/run?sig=sk-4f1c", "s3://bucket", "hf://datasets/me/run", "ftp://bucket/run", "s3://b/../x"]
)
def test_addresses_that_cannot_hold_a_session_are_refused_and_no_key_is_shown(at: str) -> None:
    with pytest.raises(SettingError) as refused:
        dr.Session(at)
    assert "sk-4f1c" not in str(refused.value)
    assert str(refused.value).startswith("Session: ")


def test_keys_are_in_nothing_that_is_written(machine: Machine, tmp_path: Path) -> None:
    with dr.Session(machine.at, progress=False) as session:
        frames()[2].collect()
        assert bucket.SECRET not in repr(session) + repr(session.stores.files.__dict__)
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()] + [machine.objects.get(name) for name in machine.objects.list()]
    assert len(written) > 10
    assert not any(secret in data for data in written for secret in (bucket.SECRET.encode(), b"AKIDLOOPBACK"))


# A stranger's bucket


@pytest.mark.parametrize("name", ["../../out.json", "steps/../../../x/step.json", "answers/evil.py", "models/SFT-0123456789ab/w.pt", ".git/hooks/evil"])
def test_names_that_no_session_writes_are_not_taken(machine: Machine, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with dr.Session(machine.at, progress=False):
        frames()[2].collect()
    listed = Objects.list

    def with_more(self: Objects) -> dict[str, Any]:
        found = listed(self)
        return {**found, name: found["session.json"]}

    monkeypatch.setattr(Objects, "list", with_more)
    monkeypatch.setattr(Objects, "get", lambda self, asked, get=Objects.get: b"evil" if asked == name else get(self, asked))
    machine.next()
    with dr.Session(machine.at, progress=False, offline=True):
        assert frames()[2].collect().rows() == ROWS
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"evil"]


@pytest.mark.parametrize("part", ["answers/", "steps/", "data/", "plans/", "runs/", "session.json"])
@pytest.mark.parametrize("how", ["cut", "flipped", "other"])
def test_damaged_objects_are_left_out_and_made_again(machine: Machine, part: str, how: str) -> None:
    with dr.Session(machine.at, progress=False):
        frames()[2].collect()
    for name in [name for name in machine.objects.list() if name.startswith(part)]:
        data = machine.objects.get(name)
        half = len(data) // 2
        machine.objects.put(name, {"cut": data[:half], "flipped": data[:half] + bytes([data[half] ^ 1]) + data[half + 1 :], "other": b"{}"}[how])
    machine.next()
    if part == "session.json":
        with pytest.raises(CorruptFileError, match=machine.at):
            dr.Session(machine.at, progress=False).stores  # noqa: B018
        return
    if part == "runs/":
        with dr.Session(machine.at, progress=False, offline=True):
            assert frames()[2].collect().rows() == ROWS
        return
    with pytest.warns(SessionWarning), dr.Session(machine.at, progress=False) as session:  # noqa: PT031  opening it, or running, warns
        assert frames()[2].collect().rows() == ROWS
        assert session.usage()["calls"] <= (3 * N if part == "answers/" else 0)
        assert [p for p in session.verify() if not (part == "data/" and p.path.startswith("sources/"))] == []  # rows that this plan did not read
        assert session.folder is not None
        assert not [*session.folder.glob("set-aside/*/data.arrow")]  # it was not even taken
