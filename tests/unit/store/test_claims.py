"""Claims: a row is asked by one session at a time, and by another when that one has ended."""

from __future__ import annotations

import errno
import fcntl
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dreamframe.store import claims as module
from dreamframe.store.answers import Answers
from dreamframe.store.claims import Claims
from dreamframe.store.files import Files, Handle, storage_error
from dreamframe.store.layout import SessionWarning
from tests.storing import give, key_of, open_answers, texts, warned

KEYS = [key_of(n) for n in range(5)]


def claims(folder: Path) -> Claims:
    return Claims(Files(folder), folder / "claims")


def test_a_row_is_claimed_by_one(tmp_path: Path) -> None:
    one, two = claims(tmp_path), claims(tmp_path)
    assert one.take(KEYS[:3]) == [True] * 3
    assert one.take(KEYS[:3]) == [True] * 3  # its own
    assert two.take(KEYS) == [False, False, False, True, True]
    one.release(KEYS[:2])
    assert two.take(KEYS) == [True, True, False, True, True]
    one.close()
    assert two.take(KEYS) == [True] * 5


def test_releasing_what_is_not_ours_changes_nothing(tmp_path: Path) -> None:
    one, two = claims(tmp_path), claims(tmp_path)
    one.take(KEYS)
    two.release(KEYS)
    assert two.take(KEYS) == [False] * 5


def test_a_claim_ends_when_the_answer_can_be_read_by_others(tmp_path: Path) -> None:
    one, two = open_answers(tmp_path), open_answers(tmp_path)
    assert one.claim(KEYS[:2]) == [True, True]
    assert two.claim(KEYS[:2]) == [False, False]
    give(one, [0])
    one.flush()
    assert two.claim(KEYS[:2]) == [True, False]
    two.refresh()
    assert texts(two, [0]) == ["answer 0"]
    one.release(KEYS[:2])
    assert two.claim(KEYS[:2]) == [True, True]
    one.close()
    two.close()


def test_a_claim_outlasts_a_release_until_its_answer_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = open_answers(tmp_path), open_answers(tmp_path)
    monkeypatch.setattr(one, "_drain", lambda: None)  # the disk takes its time
    one.claim(KEYS)
    give(one, [0])
    one.release(KEYS)
    assert two.claim(KEYS) == [False, True, True, True, True]
    monkeypatch.undo()
    one.close()
    assert two.claim(KEYS) == [True] * 5
    two.close()


@pytest.mark.parametrize("memory", [True, False], ids=["in memory", "no locks on this disk"])
def test_where_nobody_can_be_excluded_everything_is_ours(tmp_path: Path, memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", no_locks)
    answers = answers_in_memory(tmp_path) if memory else open_answers(tmp_path)
    assert answers.claim(KEYS) == [True] * 5
    answers.release(KEYS)
    answers.close()


def no_locks(*_: object) -> None:
    raise OSError(errno.ENOLCK, "no locks here")


def answers_in_memory(tmp_path: Path) -> Answers:
    return Answers(Files(tmp_path), None)


def test_the_claims_of_a_session_that_ended_count_no_more(tmp_path: Path) -> None:
    """Its file is there, and nobody holds its lock: as after a kill."""
    one, two = claims(tmp_path), claims(tmp_path)
    one.take(KEYS)
    left = tmp_path / "claims" / "1-00000000.claims"
    shutil.copy(next((tmp_path / "claims").glob("*.claims")), left)
    one.close()
    assert two.take(KEYS) == [True] * 5
    assert not left.exists()


def test_a_session_that_ends_is_noticed_by_one_that_saw_its_claims(tmp_path: Path) -> None:
    one, two = claims(tmp_path), claims(tmp_path)
    one.take(KEYS)
    assert two.take(KEYS) == [False] * 5
    path = next(p for p in (tmp_path / "claims").glob("*.claims") if p.stat().st_size > 17)
    kept = path.read_bytes()
    one.close()
    path.write_bytes(kept)  # a kill leaves it
    assert two.take(KEYS) == [True] * 5


def test_a_record_that_is_being_written_is_read_when_it_is_whole(tmp_path: Path) -> None:
    two = claims(tmp_path)
    (tmp_path / "claims").mkdir()
    path = tmp_path / "claims" / "1-00000000.claims"
    record = b"+" + KEYS[0]
    path.write_bytes(record[:9])
    lock = Files(tmp_path).lock(path)
    assert lock is not None
    assert two.take(KEYS[1:2]) == [True]
    with path.open("ab") as file:
        file.write(record[9:] + b"+" + KEYS[2])
    assert two.take(KEYS) == [False, True, False, True, True]
    lock.release()


def test_a_long_file_is_begun_anew_with_what_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 100)
    one, two = claims(tmp_path), claims(tmp_path)
    assert two.take(KEYS[:1]) == [True]
    for n in range(10, 30):
        one.take([key_of(n)])
        one.release([key_of(n)])
    one.take(KEYS[1:3])
    one.take(KEYS[3:4])
    assert two.take([*KEYS, key_of(10)]) == [True, False, False, False, True, True]
    assert all(p.stat().st_size < 200 for p in (tmp_path / "claims").glob("*.claims"))
    assert len(list((tmp_path / "claims").glob("*.claims"))) == 2
    one.close()
    two.close()
    assert [p.name for p in (tmp_path / "claims").iterdir()] == ["gate"]


def test_a_session_that_was_stopped_while_it_held_the_gate_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATE_S", 0.01)
    one = claims(tmp_path)
    (tmp_path / "claims").mkdir()
    gate = Files(tmp_path).lock(tmp_path / "claims" / "gate")
    assert gate is not None
    with pytest.warns(SessionWarning, match="may be paid twice"):
        assert one.take(KEYS) == [True] * 5
    gate.release()


def test_many_threads_never_claim_a_row_twice(tmp_path: Path) -> None:
    def work(n: int) -> list[bytes]:
        mine, got = claims(tmp_path), []
        for at in range(0, 200, 10):
            keys = [key_of(k) for k in range(at, at + 10)]
            got += [key for key, is_ours in zip(keys, mine.take(keys[::-1] if n % 2 else keys), strict=True) if is_ours]
        open_claims.append(mine)
        return got

    open_claims: list[Claims] = []
    with ThreadPoolExecutor(4) as pool:
        counts = [len(got) for got in pool.map(work, range(4))]
    assert sum(counts) == 200
    for mine in open_claims:
        mine.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_patience_counts_from_the_last_sign_of_life(tmp_path: Path) -> None:
    clock = Clock()
    busy, other = Claims(Files(tmp_path), tmp_path / "claims"), Claims(Files(tmp_path), tmp_path / "claims", clock=clock)
    busy.take(KEYS)
    assert other.take(KEYS[:1], patience_s=600) == [False]
    for n, sign in enumerate([lambda: busy.release(KEYS[1:2]), busy.show_life, lambda: busy.release(KEYS[2:3]), busy.show_life]):
        clock.now += 599
        sign()
        assert other.take(KEYS[:1], patience_s=600) == [False], f"it is at work: {n}"
    clock.now += 599
    assert other.take(KEYS[:1], patience_s=600) == [False]
    clock.now += 2
    assert other.take(KEYS[:1], patience_s=600) == [True], "it is there, and does nothing"


def test_a_sign_of_life_gives_up_no_claim(tmp_path: Path) -> None:
    busy, other = claims(tmp_path), claims(tmp_path)
    busy.take(KEYS)
    busy.show_life()
    assert other.take(KEYS) == [False] * 5
FULL = """
import resource, signal, sys, warnings
import dreamframe as dr
llm = dr.testing.Scripted(lambda prompt: "ok", latency_s=0.02, concurrency=16)
rows = dr.frame({"x": [f"row {i}" for i in range(1000)]})
with dr.Session(sys.argv[1]):
    rows.head(4).prompt(llm, "{x}", into="y").collect()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # room for the head of a file
warnings.simplefilter("ignore")
try:
    with dr.Session(sys.argv[1]):
        rows.prompt(llm, "{x}", into="y").collect()
except dr.errors.StorageError as exc:
    print(llm.calls, exc)
"""


def test_a_disk_that_is_full_is_noticed_before_anything_is_asked(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ended.stdout.startswith("4 Session folder: cannot write")


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO])
def test_where_only_claims_cannot_be_written_everything_is_ours(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> Handle:
        raise storage_error(path, "write", code)

    one = claims(tmp_path)
    monkeypatch.setattr(one._files, "append", refused)
    with warned() as said:
        assert one.take(KEYS) == [True] * 5
    assert len(said) == 1
