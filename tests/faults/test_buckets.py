"""Sessions in a bucket: a crash at any operation of the store, two writers, another machine, a server that goes, a stranger's objects."""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.models.base import steering
from dreamframe.models.request import Completion, Request
from dreamframe.store.objects import Objects
from dreamframe.testing import Echo, Fake
from dreamframe.view.server import Server
from tests.faults.machines import ROWS, Machine, N, frames
from tests.unit.view.running import dreamframe


class Crash(BaseException):
    """The machine is gone."""


class Crashing(Objects):
    """A machine that is gone at the n-th operation on the bucket, before it (even n // 1) or after it had its effect, and at all later ones."""

    n, is_after = 0, False
    count = 0

    def _doing(self, what: str, name: str | None = None) -> Any:
        type(self).count += 1
        if type(self).count > self.n or (type(self).count == self.n and not self.is_after):
            raise Crash
        return super()._doing(what, name)

    def put(self, name: str, data: bytes | Path) -> str:
        tag = super().put(name, data)
        self._gone()
        return tag

    def put_new(self, name: str, data: bytes) -> str | None:
        tag = super().put_new(name, data)
        self._gone()
        return tag

    def _gone(self) -> None:
        if type(self).count >= self.n:
            raise Crash


def run_until(n: int, at: str, patch: pytest.MonkeyPatch, *, is_after: bool) -> tuple[bool, int]:
    """Run three steps, each of them sent, until the machine is gone: whether it was, and how many requests were asked and sent for sure."""
    Crashing.n, Crashing.count, Crashing.is_after = n, 0, is_after
    n_sent = 0
    with patch.context() as now:
        now.setattr("dreamframe.store.mirror.Objects", Crashing)
        now.setattr("dreamframe.store.mirror.EVERY_S", 1e9)
        now.setattr("dreamframe.store.mirror.Mirror._work", lambda self: None)
        session = dr.Session(at, progress=False)
        try:
            for frame in frames():
                session.collect(frame)
                assert session.stores.mirror is not None
                session.stores.mirror.push()
                n_sent += N
            session.close()
        except Crash:
            return True, n_sent
        finally:
            end(session)
    return False, n_sent


def end(session: dr.Session) -> None:
    """Let go of what the process of a machine that is gone would have held."""
    stores = session._opening._stores
    if stores is not None and stores.mirror is not None:
        stores.mirror._thread, stores.mirror._objects = None, None  # type: ignore[assignment]
        session._opening.close()


@pytest.mark.parametrize("is_after", [False, True], ids=["before", "after"])
def test_a_machine_that_is_gone_at_any_operation_loses_nothing_that_went_up(machine: Machine, monkeypatch: pytest.MonkeyPatch, is_after: bool) -> None:
    for n in itertools.count(1):
        machine.at = f"s3://sessions/crash-{is_after}-{n}"
        machine.next()
        is_gone, n_sent = run_until(n, machine.at, monkeypatch, is_after=is_after)
        if not is_gone:
            break
        machine.next()  # another one, with nothing of it
        with dr.Session(machine.at, progress=False) as session:
            assert frames()[2].collect().rows() == ROWS
            assert session.usage()["calls"] <= 3 * N - n_sent
            assert session.verify() == []
        machine.next()
        with dr.Session(machine.at, progress=False, offline=True) as session:
            assert frames()[2].collect().rows() == ROWS
            assert session.verify() == []
    assert n > 10


def test_a_machine_that_comes_back_sends_what_it_had(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    run_until(3, machine.at, monkeypatch, is_after=False)
    assert not any(name.startswith("answers/") for name in machine.objects.list())
    with dr.Session(machine.at, progress=False) as session:
        assert frames()[0].collect().rows() == [row[:2] for row in ROWS]
        assert session.usage()["calls"] == 0
    machine.next()
    with dr.Session(machine.at, progress=False, offline=True):
        assert frames()[0].collect().rows() == [row[:2] for row in ROWS]


def test_another_machine_replays_offline_with_no_call_and_fetches_rows_when_they_are_read(machine: Machine) -> None:
    with dr.Session(machine.at, progress=False) as session:
        frames()[2].collect()
    machine.next()
    with dr.Session(machine.at, progress=False, offline=True) as session:
        assert session.folder is not None
        data = [*session.folder.glob("steps/*/data.arrow")]
        assert len(session.steps()) == 1
        assert data == [*session.folder.glob("steps/*/data.arrow")] == []
        assert frames()[2].collect().rows() == ROWS
        assert session.usage()["calls"] == 0
        assert len([*session.folder.glob("steps/*/data.arrow")]) == 1
    looked = dr.Session.existing(machine.at)
    assert looked.verify() == []
    assert looked.runs()[0].calls == 3 * N
    assert repr(looked) == f"Session('{machine.at}')"


@dataclass(frozen=True)
class Told(Fake):
    """Answers differently to each of two machines that ask the same."""

    provider: ClassVar[str] = "told"
    who: str = steering("")

    def reply(self, request: Request) -> Completion:
        return Completion(f"{self.who}: {request.prompt}", n_in=1, n_out=1, model=self.model)


def test_of_two_writers_of_a_step_one_wins_whole(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two machines ask the same at once and are answered differently."""
    monkeypatch.setattr("dreamframe.store.mirror.EVERY_S", 1e9)

    def of(who: str) -> dr.Frame:
        return dr.frame({"t": ["tea", "jam"]}).prompt(Told(who=who), "{t}", into="a")

    sessions = []
    for who in ("one", "two"):
        machine.next()
        sessions.append(session := dr.Session(machine.at, progress=False))
        assert session.collect(of(who))["a"].to_list() == [f"{who}: tea", f"{who}: jam"]
    sessions[0].close()
    before = {name: found.made_at for name, found in machine.objects.list().items() if name.endswith("/step.json")}
    sessions[1].close()
    assert {name: found.made_at for name, found in machine.objects.list().items() if name.endswith("/step.json")} == before
    after = []
    for n in (0, 1, 2, 3):
        machine.use(n)
        with dr.Session(machine.at, progress=False, offline=True) as session:
            after.append(session.collect(of("nobody"))["a"].to_list())
            assert session.verify() == []
    assert after == [["one: tea", "one: jam"]] * 4


def test_what_was_asked_anew_is_asked_anew_for_all(machine: Machine) -> None:
    """Also for a machine whose working copy has the rows of before."""

    def of(who: str) -> dr.Frame:
        return dr.frame({"t": ["tea", "jam"]}).prompt(Told(who=who), "{t}", into="a")

    with dr.Session(machine.at, progress=False):
        assert of("one").collect()["a"].to_list() == ["one: tea", "one: jam"]
    machine.next()
    with dr.Session(machine.at, progress=False) as session:
        assert session.collect(of("two"), refresh=["a"])["a"].to_list() == ["two: tea", "two: jam"]
    for n in (0, 2):
        machine.use(n)
        with dr.Session(machine.at, progress=False, offline=True):
            assert of("nobody").collect()["a"].to_list() == ["two: tea", "two: jam"]


def test_the_command_line_takes_addresses(machine: Machine, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(dr.frame({"t": ["tea"]}).with_columns(said=pl.col("t")).to_json())
    with dr.Session(machine.at, progress=False):
        frames()[2].collect()
    machine.next()
    assert dreamframe("run", plan, "--session", machine.at, "--yes", "-o", tmp_path / "rows.json").code == 0
    shown = dreamframe("show", "--session", machine.at, "c", "--json")
    assert (shown.code, "Third Second First tea 0" in shown.out) == (0, True)
    assert "Third Second First tea 0" in dreamframe("why", "0", "c", "--session", machine.at).out
    assert [plan["label"] for plan in dreamframe("ls", machine.at, "--json").json["plans"]] == ["c"]
    assert dreamframe("verify", machine.at).code == 0
    assert dreamframe("merge", tmp_path / "all", machine.at, "--json").json["answers"] == 3 * N
    with Server(machine.at) as page:
        assert page.held.check() is None


def test_a_tidied_session_is_tidied_in_the_bucket(machine: Machine) -> None:
    first, *_, last = frames()
    with dr.Session(machine.at, progress=False) as session:
        dr.collect_all([first, last])
        session.gc(keep=[first])
    names = machine.objects.list()
    assert len([name for name in names if name.startswith("steps/")]) == 1
    assert len([name for name in names if name.startswith("data/")]) == 1 + len([name for name in names if name.startswith("sources/")])
    machine.next()
    with dr.Session(machine.at, progress=False, offline=True):
        assert last.collect().rows() == ROWS


def test_merging_a_session_of_a_bucket(machine: Machine, tmp_path: Path) -> None:
    with dr.Session(machine.at, progress=False):
        frames()[2].collect()
    machine.next()
    with dr.Session(tmp_path / "local", progress=False, offline=True) as session:
        made = session.merge(machine.at)
        assert (made.answers, made.steps, made.problems) == (3 * N, 1, [])
        assert frames()[2].collect().rows() == ROWS
        with pytest.raises(SettingError, match="there is no session in s3://sessions/empty"):
            session.merge("s3://sessions/empty")


def test_a_folder_that_was_copied_into_a_bucket_opens(machine: Machine, tmp_path: Path) -> None:
    with dr.Session(tmp_path / "local", progress=False):
        frames()[2].collect()
    for path in (tmp_path / "local").rglob("*"):
        if path.is_file():
            machine.objects.put(path.relative_to(tmp_path / "local").as_posix(), path.read_bytes())
    with dr.Session(machine.at, progress=False, offline=True) as session:
        assert frames()[2].collect().rows() == ROWS
        assert session.verify() == []


def test_journals_go_up_while_a_run_goes_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamframe.store.mirror.EVERY_S", 0.02)
    seen = threading.Event()

    class Waiting(Objects):
        def put(self, name: str, data: bytes | Path) -> str:
            tag = super().put(name, data)
            if name.startswith("answers/"):
                seen.set()
            return tag

    monkeypatch.setattr("dreamframe.store.mirror.Objects", Waiting)
    with dr.Session(machine.at, progress=False) as session:
        session.collect(frames()[0])
        assert seen.wait(30)
        at = machine.objects.list()
        assert any(name.startswith("answers/") for name in at)


def test_many_small_journals_are_one_when_the_session_is_closed(machine: Machine) -> None:
    with dr.Session(machine.at, progress=False) as session:
        for i in range(18):
            session.collect(dr.frame({"t": [str(i)]}).prompt(Echo(), "{t}", into="a"))
            assert session.stores.mirror is not None
            session.stores.mirror.push()
        assert len([name for name in machine.objects.list() if name.startswith("answers/")]) >= 17
    assert len([name for name in machine.objects.list() if name.startswith("answers/")]) == 1
    machine.next()
    with dr.Session(machine.at, progress=False, offline=True) as session:
        assert session.answers().height == 18
        assert pl.DataFrame(session.collect(dr.frame({"t": ["3"]}).prompt(Echo(), "{t}", into="a")))["a"].to_list() == ["3"]
