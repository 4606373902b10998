"""The answers journal: what is appended is found, by this process and the next, once and in order."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from dreamframe.store import answers as module
from dreamframe.store.answer_index import COLUMNS
from dreamframe.store.answers import ANSWER_SCHEMA, Answers
from dreamframe.store.files import Files
from tests.storing import give, journals, key_of, keys_of, open_answers, texts


@pytest.fixture(params=["folder", "memory"])
def answers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Answers]:
    made = open_answers(tmp_path / "out") if request.param == "folder" else Answers(Files(tmp_path), None)
    yield made
    made.close()


def test_answers_come_in_the_order_of_the_keys_with_nulls_where_there_is_none(answers: Answers) -> None:
    give(answers, range(10))
    found = answers.lookup(keys_of([7, None, 99, 3, 7]))
    assert found.schema == COLUMNS
    assert found["text"].to_list() == ["answer 7", None, None, "answer 3", "answer 7"]
    assert found["found"].to_list() == [True, False, False, True, True]
    assert found["n_in"].to_list() == [7, None, None, 3, 7]
    assert found["data"].to_list() == [b"\7\7\7\7", None, None, b"\3\3\3\3", b"\7\7\7\7"]


def test_an_answer_without_text_is_found(answers: Answers) -> None:
    answers.append(key_of(1), None, b"", "refusal", 0, 0, 0, 0, "", '{"why": 1}')
    row = answers.lookup(keys_of([1])).row(0, named=True)
    assert (row["found"], row["text"], row["data"], row["finish"], row["extra"]) == (True, None, b"", "refusal", '{"why": 1}')
    assert abs(row["at_ms"] - time.time() * 1000) < 60_000


@pytest.mark.parametrize("keys", [[], [None] * 3, keys_of([2, 3, None])], ids=["none", "all null", "some"])
def test_any_keys_can_be_looked_up(answers: Answers, keys: list[bytes | None]) -> None:
    give(answers, [3])
    found = answers.lookup(keys)
    assert found.height == len(keys)
    assert found["found"].to_list() == [k == key_of(3) for k in keys]


def test_the_first_answer_of_a_key_stays(answers: Answers) -> None:
    give(answers, [1], said="first")
    give(answers, [1], said="second")
    answers.flush()
    assert texts(answers, [1]) == ["first 1"]


def test_unflushed_answers_are_seen(answers: Answers) -> None:
    give(answers, range(200))
    assert texts(answers, [0, 199]) == ["answer 0", "answer 199"]


def test_answers_are_found_wherever_they_lie(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain rows, rows written and indexed, several generations, all in one lookup."""
    monkeypatch.setattr(module, "RECENT_ROWS", 40)
    for start in range(0, 700, 25):
        give(answers, range(start, start + 25))
        answers.flush()
    give(answers, range(700, 710))
    wanted = [709, 0, 1234, 350, 695, None, *range(710)]
    assert texts(answers, wanted) == [f"answer {n}" if n is not None and n < 710 else None for n in wanted]


def test_the_index_keeps_few_plain_rows(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT_ROWS", 64)
    for start in range(0, 1000, 10):
        give(answers, range(start, start + 10))
        answers.flush()
    assert len(answers._recent) < 2 * 64
    assert len(answers._generations) <= 6
    assert len(answers) == 1000


def test_few_bytes_stay_in_memory_where_answers_are_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT_BYTES", 64_000)
    answers = open_answers(tmp_path / "out")
    for start in range(0, 300, 4):
        give(answers, range(start, start + 4), said="x" * 1_000)
        answers.flush()
        assert sum(len(row[1] or "") for row in answers._recent.values()) < 64_000 + 4_000
    assert texts(answers, [0, 150, 299]) == [f"{'x' * 1_000} {n}" for n in (0, 150, 299)]
    answers.close()


def test_a_run_holds_one_descriptor_of_its_journal_however_long_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT_ROWS", 16)
    answers = open_answers(tmp_path / "out")
    held = []
    for start in range(0, 600, 5):
        give(answers, range(start, start + 5))
        answers.flush()
        held.append(len(os.listdir("/proc/self/fd")))
    assert held[-1] == held[20]
    (path,) = journals(tmp_path / "out")
    path.unlink()  # by one who merges it
    wanted = [500, 3, None, 4, 9_999, 501, 3]
    assert texts(answers, wanted) == [f"answer {n}" if n is not None and n < 600 else None for n in wanted]
    before = len(os.listdir("/proc/self/fd"))
    answers.close()
    del answers
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before - 2


def test_freed_memory_goes_back_to_the_system_as_answers_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[bool] = []
    monkeypatch.setattr(module, "GIVE_BACK_BYTES", 20_000)
    monkeypatch.setattr(module, "give_back", lambda: given.append(True))
    answers = open_answers(tmp_path / "out")
    for start in range(0, 100, 10):
        give(answers, range(start, start + 10), said="x" * 1_000)
        answers.flush()
    answers.close()
    assert 3 <= len(given) <= 6


def test_answers_that_wait_for_the_disk_hold_up_who_asks_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEHIND_BYTES", 100_000)
    answers = open_answers(tmp_path / "out")
    with answers._drain_lock:  # the disk is slow
        give(answers, range(90), said="x" * 1_000)
        assert not answers.is_behind
        give(answers, range(90, 110), said="x" * 1_000)
        assert answers.is_behind
    answers.flush()
    assert not answers.is_behind
    answers.close()


def test_long_answers_of_others_stay_on_disk(tmp_path: Path) -> None:
    for start in (0, 100):
        first = open_answers(tmp_path / "out")
        give(first, range(start, start + 100), said="x" * 2_000)
        first.close()
    answers = open_answers(tmp_path / "out")
    before = pa.total_allocated_bytes()
    assert texts(answers, [150, 3]) == [f"{'x' * 2_000} {n}" for n in (150, 3)]
    assert pa.total_allocated_bytes() - before < 50_000
    answers.close()


def test_of_two_answers_to_one_request_the_first_wins_in_however_many_parts_they_lie(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT_ROWS", 16)
    monkeypatch.setattr("dreamframe.store.answer_index.ALWAYS_MERGED", 64)
    for said in ("first", "second", "third"):
        for start in range(0, 200, 8):
            give(answers, range(start, start + 8), said=said)
            answers.flush()
    assert texts(answers, range(180)) == [f"first {n}" for n in range(180)]
    assert 2 <= len(answers._generations) <= 12


def test_keys_that_share_their_first_half_are_told_apart(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a digest in common can be crafted; a whole one cannot."""
    monkeypatch.setattr(module, "RECENT_ROWS", 1)
    keys = [b"halfhalf" + bytes([i]) * 8 for i in range(1, 9)] + [b"\xff" * 16, b"\0" * 16]
    for i, key in enumerate(keys):
        answers.append(key, str(i), None, "stop", 0, 0, 0, 0, "", None)
    answers.flush()
    assert len(answers._recent) == 0
    asked = [*keys, b"halfhalf" + b"x" * 8, b"\xff" * 15 + b"\0"]
    assert answers.lookup(asked)["text"].to_list() == [*map(str, range(10)), None, None]


def test_another_session_finds_every_answer(tmp_path: Path) -> None:
    first = open_answers(tmp_path / "out")
    give(first, range(300))
    first.close()
    second = open_answers(tmp_path / "out")
    assert texts(second, range(301)) == [*(f"answer {n}" for n in range(300)), None]
    second.close()


def test_a_session_that_adds_nothing_writes_nothing(tmp_path: Path) -> None:
    for _ in range(3):
        answers = open_answers(tmp_path / "out")
        answers.flush()
        answers.close()
    assert journals(tmp_path / "out") == []


def test_flush_means_written(tmp_path: Path) -> None:
    answers, reader = open_answers(tmp_path / "out"), open_answers(tmp_path / "out")
    give(answers, range(50))
    answers.flush()
    assert reader.refresh()
    assert texts(reader, range(50)) == [f"answer {n}" for n in range(50)]
    answers.close()
    reader.close()


def test_a_miss_looks_for_the_answers_of_other_processes_once_a_second(tmp_path: Path) -> None:
    now = [100.0]
    writer, reader = open_answers(tmp_path / "out"), open_answers(tmp_path / "out", clock=lambda: now[0])
    assert texts(reader, [3]) == [None]  # which reads the folder
    give(writer, range(5))
    writer.flush()
    assert texts(reader, [3]) == [None]
    now[0] += 1.5
    assert texts(reader, [3]) == ["answer 3"]
    give(writer, range(5, 10))
    writer.flush()
    assert texts(reader, [8]) == [None]
    now[0] += 1.5
    assert texts(reader, [8, 3]) == ["answer 8", "answer 3"]
    writer.close()
    reader.close()


class Waits(threading.Event):
    """Notes how long the writing thread would wait; it waits until it is woken, so that no clock decides."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return super().wait(60)


def test_few_answers_are_written_two_milliseconds_after_they_came_and_many_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a crash costs where a run has few calls in flight: the answers of the last 2 ms."""
    answers = open_answers(tmp_path / "few")
    waits = answers._urgent = Waits()
    for n in range(5):
        give(answers, [n])
        answers.flush()
    answers.close()
    assert len(waits.seconds) >= 5
    assert max(seconds or 60 for seconds in waits.seconds) <= 0.002
    many = open_answers(tmp_path / "many")
    monkeypatch.setattr(many, "_wake_up", lambda: None)  # no thread: each drain is a group
    waited = []
    for group in (range(64), range(64, 65), range(65, 96), range(96, 128)):
        give(many, group)
        many._drain()
        waited.append(many._patience_s)
    many.close()
    assert waited == [0.02, 0.002, 0.002, 0.02]


def test_everything_is_written_at_close(tmp_path: Path) -> None:
    answers = open_answers(tmp_path / "out")
    give(answers, range(1000))
    answers.close()
    answers.close()
    again = open_answers(tmp_path / "out")
    assert len(again) == 1000
    again.close()


def test_many_threads_may_append_and_look_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECENT_ROWS", 100)
    answers = open_answers(tmp_path / "out")
    lost: list[int] = []

    def work(start: int) -> None:
        for n in range(start, start + 500):
            give(answers, [n])
            if n % 7 == 0:
                lost.extend(m for m, text in zip(range(start, n + 1), texts(answers, range(start, n + 1)), strict=True) if text != f"answer {m}")

    threads = [threading.Thread(target=work, args=(1000 * i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    answers.close()
    assert not lost
    again = open_answers(tmp_path / "out")
    assert texts(again, [1000 * i + j for i in range(4) for j in range(500)]) == [f"answer {1000 * i + j}" for i in range(4) for j in range(500)]
    again.close()


def test_an_append_costs_microseconds_and_a_lookup_of_a_batch_a_fraction_of_a_millisecond(tmp_path: Path) -> None:
    """Best of several, in time of this thread; the limits are five times what a quiet machine needs."""
    answers = open_answers(tmp_path / "out", clock=lambda: 0.0)
    keys = [key_of(n) for n in range(10_000)]
    began = time.thread_time()
    for key in keys:
        answers.append(key, "x" * 300, None, "stop", 1, 1, 0, 0, "m", None)
    per_append = (time.thread_time() - began) / len(keys)
    answers.close()
    answers = open_answers(tmp_path / "out", clock=lambda: 0.0)
    give(answers, range(20_000, 20_064))
    batch = keys_of([*range(0, 6400, 100), *range(20_000, 20_064)])
    took = []
    for _ in range(30):
        began = time.thread_time()
        answers.lookup(batch)
        took.append(time.thread_time() - began)
    answers.close()
    assert per_append < 15e-6
    assert min(took) < 1e-3


def test_the_columns_of_a_journal_are_fixed() -> None:
    """Changing them makes older folders unreadable: raise the format number in layout.py with them."""
    assert [f"{name}: {dtype}" for name, dtype in ANSWER_SCHEMA.items()] == [
        "key: Binary",
        "text: String",
        "data: Binary",
        "finish: String",
        "n_in: Int64",
        "n_out: Int64",
        "n_cached: Int64",
        "n_reasoning: Int64",
        "model: String",
        "extra: String",
        "at_ms: Int64",
    ]


def test_where_no_thread_begins_any_more_what_came_is_written_when_it_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As while the interpreter ends, from Python 3.12 on."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    answers = open_answers(tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        give(answers, [1, 2])
        answers.close()
    again = open_answers(tmp_path / "out")
    assert texts(again, [1, 2]) == ["answer 1", "answer 2"]
    again.close()
