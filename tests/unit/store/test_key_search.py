"""A few answers are found without reading the others, and are the same as those that a lookup gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamframe.store.answer_files import JournalFolder
from dreamframe.store.answers import Answers
from dreamframe.store.files import Files
from dreamframe.store.journal import framed
from tests.storing import give, journals, keys_of, open_answers, warned


def closed(folder: Path, numbers: range, *, said: str = "answer") -> None:
    answers = open_answers(folder)
    for start in range(numbers.start, numbers.stop, 40):
        give(answers, range(start, min(start + 40, numbers.stop)), said=said)
        answers.flush()  # a frame each
    answers.close()


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def news(_: JournalFolder) -> None:
        raise AssertionError("all answers were read")

    monkeypatch.setattr(JournalFolder, "news", news)


def glanced(folder: Path, numbers: list[int | None]) -> list[str | None]:
    return open_answers(folder).glance(keys_of(numbers))["text"].to_list()


def test_a_few_answers_are_found_without_reading_all(tmp_path: Path, unread: None) -> None:
    closed(tmp_path, range(200))
    closed(tmp_path, range(150, 300), said="later")
    wanted = [7, None, 199, 299, 1234, 7, 0]
    assert glanced(tmp_path, wanted) == ["answer 7", None, "answer 199", "later 299", None, "answer 7", "answer 0"], "the first answer of a key stays"
    assert glanced(tmp_path, []) == []


def test_it_gives_what_a_lookup_gives(tmp_path: Path) -> None:
    closed(tmp_path, range(100))
    keys = keys_of([5, None, 999, 99])
    found = open_answers(tmp_path).glance(keys)
    assert found.equals(open_answers(tmp_path).lookup(keys))
    assert found.height == 4


def test_what_others_add_meanwhile_is_seen(tmp_path: Path, unread: None) -> None:
    closed(tmp_path, range(50))
    looking = open_answers(tmp_path)
    assert looking.glance(keys_of([3, 70]))["text"].to_list() == ["answer 3", None]
    writing = open_answers(tmp_path)
    give(writing, range(50, 80))
    writing.flush()
    assert looking.glance(keys_of([3, 70]))["text"].to_list() == ["answer 3", "answer 70"]
    give(writing, range(80, 90))
    writing.flush()
    assert looking.glance(keys_of([85]))["text"].to_list() == ["answer 85"], "also in a file that was read before"
    writing.close()


def test_answers_of_this_process_count_at_once(tmp_path: Path) -> None:
    closed(tmp_path, range(50))
    answers = open_answers(tmp_path)
    give(answers, [60])
    assert answers.glance(keys_of([3, 60]))["text"].to_list() == ["answer 3", "answer 60"]
    answers.close()


@pytest.mark.parametrize("harm", ["byte of an answer", "header", "key length", "not a journal"])
def test_a_damaged_journal_is_left_to_one_who_reads_all_of_it(harm: str, tmp_path: Path) -> None:
    closed(tmp_path, range(200))
    (path,) = journals(tmp_path)
    data = bytearray(path.read_bytes())
    second = data.index(b"FRAM", data.index(b"FRAM", data.index(b"FRAM") + 4) + 4)
    if harm == "byte of an answer":
        data[data.index(b"answer 3")] ^= 1
    elif harm == "header":
        data[second] ^= 1
    elif harm == "key length":
        data[second:] = framed(b"\xff\xff\xff\xff\x10\0\0\0" + b"\x08" + bytes(400)) + data[second:]
    else:
        data[:8] = b"SOMETHNG"
    path.write_bytes(bytes(data))
    with warned() as told:
        found = open_answers(tmp_path).glance(keys_of([3, 150]))["text"].to_list()
    assert told, "it is warned of"
    assert found[1] == (None if harm == "not a journal" else "answer 150")
    assert found[0] == ("answer 3" if harm in ("header", "key length") else None)


def test_a_half_written_frame_is_not_cut_off_by_one_who_looks(tmp_path: Path, unread: None) -> None:
    closed(tmp_path, range(100))
    (path,) = journals(tmp_path)
    data = path.read_bytes()
    path.write_bytes(data[:-40])
    assert glanced(tmp_path, [0, 99]) == ["answer 0", None]
    assert len(path.read_bytes()) == len(data) - 40


def test_an_answer_that_is_none_any_more_is_not_found(tmp_path: Path) -> None:
    answers = open_answers(tmp_path)
    answers.append(keys_of([1])[0], "broken off", None, "something nobody knows", 1, 1, 0, 0, "m", None)
    give(answers, [2])
    answers.close()
    assert glanced(tmp_path, [1, 2]) == [None, "answer 2"]
    assert glanced(tmp_path, [1, 2]) == open_answers(tmp_path).lookup(keys_of([1, 2]))["text"].to_list()


def test_in_memory_there_is_nothing_to_search(tmp_path: Path) -> None:
    answers = Answers(Files(tmp_path), None)
    give(answers, [1])
    assert answers.glance(keys_of([1, 2]))["text"].to_list() == ["answer 1", None]
