"""The journal's file format: frames are read whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import xxhash

from dreamframe.store.answer_files import file_bytes
from dreamframe.store.compaction import compact
from dreamframe.store.files import Files
from dreamframe.store.ipc import MESSAGE_ROWS
from dreamframe.store.journal import FILE_MAGIC, FRAME_MAGIC, HEADER, batch_of, decode, framed, frames, header, in_frames, n_small, scan
from dreamframe.store.layout import FORMAT, open_folder, sealed
from tests.storing import give, journals, key_of, open_answers, texts, warned


def batch(*numbers: int) -> pa.RecordBatch:
    rows = batch_of([(key_of(n), f"answer {n}", None, "stop", 1, 1, 0, 0, "m", None, 0) for n in numbers])
    return rows.to_arrow().to_batches()[0]


def former(rows: pa.RecordBatch) -> pa.RecordBatch:
    """As sessions of format 1 had them."""
    kinds = {"key": pa.binary(16), "finish": pa.string(), "model": pa.string()}
    return rows.cast(pa.schema([pa.field(f.name, kinds.get(f.name, f.type), f.name != "key") for f in rows.schema]))


def rows_of(data: bytes) -> list[str]:
    return [text for b in scan(data).batches for text in b.column("text").to_pylist()]


THREE = [batch(1, 2), batch(3), batch(4, 5, 6)]


def test_what_is_written_is_read() -> None:
    found = scan(file_bytes(THREE))
    assert [b.to_pylist() for b in found.batches] == [b.to_pylist() for b in THREE]
    assert (found.torn, found.bad, found.end) == (0, [], len(file_bytes(THREE)))


def test_reading_can_go_on_where_it_ended() -> None:
    whole = file_bytes(THREE)
    first = scan(file_bytes(THREE[:1]))
    rest = scan(whole[first.end :], whole=False)
    assert [b.to_pylist() for b in rest.batches] == [b.to_pylist() for b in THREE[1:]]
    assert first.end + rest.end == len(whole)


@pytest.mark.parametrize("cut", range(1, 200, 7))
def test_a_torn_end_is_told_from_what_is_whole(cut: int) -> None:
    found = scan(file_bytes(THREE)[:-cut])
    assert [b.num_rows for b in found.batches] == [2, 1]
    assert found.torn == len(file_bytes(THREE)) - cut - len(file_bytes(THREE[:2]))
    assert not found.bad


def test_a_damaged_frame_costs_only_its_own_rows() -> None:
    data = bytearray(file_bytes(THREE))
    data[len(file_bytes(THREE[:1])) + HEADER.size + 40] ^= 1
    assert rows_of(bytes(data)) == ["answer 1", "answer 2", "answer 4", "answer 5", "answer 6"]
    found = scan(bytes(data))
    assert len(found.bad) == 1
    assert "checksum" in found.bad[0]
    assert found.end == len(data)


def test_bytes_between_frames_are_stepped_over() -> None:
    parts = [header(), framed(THREE[0].serialize()), b"FRAM" + b"x" * 1000, framed(THREE[1].serialize())]
    found = scan(b"".join(parts))
    assert [b.num_rows for b in found.batches] == [2, 1]
    assert len(found.bad) == 1


def test_a_frame_after_more_than_a_megabyte_of_rubbish_is_found() -> None:
    rubbish = b"\0" * ((1 << 20) - 2) + b"x"  # the next magic lies across the border of two blocks
    data = header() + rubbish + framed(THREE[0].serialize())
    assert rows_of(data) == ["answer 1", "answer 2"]


@pytest.mark.parametrize(
    "data",
    [b"PARQUET!" + b"x" * 100, b"\0" * 100, b"x"],
    ids=["another format", "zeros", "one byte"],
)
def test_a_file_that_is_no_journal_is_not_read(data: bytes) -> None:
    found = scan(data)
    assert not found.is_journal
    assert found.batches == []


@pytest.mark.parametrize("data", [b"", FILE_MAGIC[:5], FILE_MAGIC], ids=["empty", "half a magic", "magic"])
def test_a_file_that_was_just_begun_holds_nothing(data: bytes) -> None:
    found = scan(data)
    assert found.is_journal
    assert not found.batches
    assert not found.bad


def test_a_file_of_other_columns_is_not_read_at_all() -> None:
    """Else the columns of an exchanged schema would be taken for each other."""
    right = THREE[0].schema
    other = pa.schema([f for f in right if f.name not in ("n_in", "n_out")] + [right.field("n_out"), right.field("n_in")])
    found = scan(FILE_MAGIC + framed(other.serialize()) + framed(THREE[0].serialize()))
    assert not found.is_journal
    assert found.batches == []
    assert "columns" in found.bad[0]


KEYS: dict[str, list[bytes | None]] = {"null key": [None] * 3, "short key": [b"x" * 16, b"x" * 15, b"x" * 16], "long key": [b"x" * 16, b"x" * 17, b"x" * 15]}


def crafted(change: str) -> pa.Buffer:
    """A record batch message with a right checksum and a wrong inside."""
    plain = batch(1, 2, 3)
    if change == "not a batch":
        buffer: pa.Buffer = plain.schema.serialize()
        return buffer
    if change in KEYS:
        return pa.RecordBatch.from_arrays([pa.array(KEYS[change], pa.large_binary()), *plain.columns[1:]], schema=plain.schema).serialize()
    data = bytearray(plain.serialize())
    if change == "offsets":
        at = data.index(len(b"answer 1").to_bytes(8, "little") + (16).to_bytes(8, "little"))
        data[at : at + 8] = (1 << 40).to_bytes(8, "little")
    if change == "utf8":
        data[data.index(b"answer 1")] = 0xFF
    return pa.py_buffer(bytes(data))


@pytest.mark.parametrize("change", ["offsets", "utf8", "not a batch", *KEYS])
def test_a_right_checksum_does_not_make_a_crafted_frame_good(change: str) -> None:
    with pytest.raises(pa.ArrowException):
        decode(crafted(change))
    found = scan(header() + framed(crafted(change)) + framed(THREE[1].serialize()))
    assert [b.num_rows for b in found.batches] == [1]


def test_many_rows_are_several_frames() -> None:
    rows: list[Any] = [(key_of(n), f"answer {n}", None, "stop", 1, 1, 0, 0, "m", None, 0) for n in range(MESSAGE_ROWS + 2)]
    found = scan(header() + b"".join(frames(rows)))
    assert [b.num_rows for b in found.batches] == [MESSAGE_ROWS, 2]
    assert [text for b in found.batches for text in b.column("text").to_pylist()] == [row[1] for row in rows]


def test_a_journal_of_format_1_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "out")
    rows = former(batch(1, 2))
    path.write_bytes(FILE_MAGIC + framed(rows.schema.serialize()) + framed(rows.serialize()))
    manifest = tmp_path / "out" / "session.json"
    manifest.write_bytes(sealed({**{k: v for k, v in json.loads(manifest.read_text()).items() if k != "checksum"}, "format": 1}))
    with warned() as said:
        answers = open_answers(tmp_path / "out")
        assert texts(answers, [1, 2, 3]) == ["answer 1", "answer 2", None]
        give(answers, [3])
        answers.close()
        files = Files(tmp_path / "out")
        assert compact(files, open_folder(files), force=True) == 2
        again = open_answers(tmp_path / "out")
        assert texts(again, [1, 2, 3]) == ["answer 1", "answer 2", "answer 3"]
        again.close()
    assert said == []
    assert json.loads(manifest.read_text())["format"] == FORMAT  # an older dreamframe would misread what was added


def test_the_checksum_is_that_of_the_payload() -> None:
    frame = framed(THREE[0].serialize())
    magic, zero, length, checksum = HEADER.unpack_from(frame)
    assert (magic, zero, length) == (FRAME_MAGIC, 0, len(frame) - HEADER.size)
    assert checksum == xxhash.xxh3_64_intdigest(frame[HEADER.size :])
    assert len(frame) % 8 == 0


def written(folder: Path) -> Path:
    answers = open_answers(folder)
    for start in (0, 10, 20):
        give(answers, range(start, start + 10))
        answers.flush()
    answers.close()
    (path,) = journals(folder)
    return path


def test_a_torn_tail_is_cut_and_reported_once(tmp_path: Path) -> None:
    path = written(tmp_path / "out")
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    with warned() as said:
        answers = open_answers(tmp_path / "out")
        assert texts(answers, [0, 19, 20]) == ["answer 0", "answer 19", None]
        answers.close()
        open_answers(tmp_path / "out").close()
    assert len(said) == 1
    assert "interrupted" in said[0]
    assert len(path.read_bytes()) < len(whole) - 5


def test_a_damaged_file_is_set_aside_and_reported_once(tmp_path: Path) -> None:
    path = written(tmp_path / "out")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with warned() as said:
        answers = open_answers(tmp_path / "out")
        found = texts(answers, range(30))
        answers.close()
        again = open_answers(tmp_path / "out")
        assert texts(again, range(30)) == found
        again.close()
    assert found == [f"answer {n}" if not 10 <= n < 20 else None for n in range(30)]
    assert len(said) == 1
    (aside,) = (tmp_path / "out" / "set-aside").iterdir()
    assert aside.read_bytes() == bytes(data)
    assert str(aside) in said[0]


def test_a_living_writers_half_frame_is_left_alone(tmp_path: Path) -> None:
    writer = open_answers(tmp_path / "out")
    give(writer, range(5))
    writer.flush()
    (path,) = journals(tmp_path / "out")
    with path.open("ab") as file:
        file.write(framed(THREE[0].serialize())[:60])
    with warned() as said:
        reader = open_answers(tmp_path / "out")
        assert texts(reader, range(5)) == [f"answer {n}" for n in range(5)]
        size = path.stat().st_size
        reader.close()
    assert said == []
    assert path.stat().st_size == size
    writer.close()


@pytest.mark.parametrize("name", ["notes.txt", ".x.answers.1-2.tmp", "../x.answers", "20260101T000000000000-1-zzzzzzzz.answers"])
def test_other_files_in_the_folder_are_not_read(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "out")
    path.rename(path.parent / name)
    with warned() as said:
        answers = open_answers(tmp_path / "out")
        assert len(answers) == 0
        answers.close()
    assert said == []


def many(n: int) -> list[pa.Buffer]:
    return [batch(k).serialize() for k in range(n)]


def test_many_small_frames_are_read_together() -> None:
    found = scan(header() + b"".join(map(framed, many(200))))
    assert len(found.batches) == 1
    assert rows_of(header() + b"".join(map(framed, many(200)))) == [f"answer {n}" for n in range(200)]
    assert (found.n_small, found.bad, found.torn) == (200, [], 0)


@pytest.mark.parametrize("change", ["checksum", "offsets", "utf8", "not a batch", *KEYS])
def test_one_damaged_frame_among_many_costs_its_own_rows(change: str) -> None:
    made = [framed(message) for message in many(200)]
    at = sum(map(len, [header(), *made[:150]]))
    made[150] = made[150][:-5] + b"?" + made[150][-4:] if change == "checksum" else framed(crafted(change))
    data = header() + b"".join(made)
    assert rows_of(data) == [f"answer {n}" for n in range(200) if n != 150]
    assert [problem.split(": ")[0] for problem in scan(data).bad] == [f"bytes {at} to {at + len(made[150])}"]


def test_many_small_frames_of_format_1_are_read_together() -> None:
    told = framed(former(batch(1)).schema.serialize())
    data = FILE_MAGIC + told + b"".join(framed(former(batch(n)).serialize()) for n in range(100))
    assert rows_of(data) == [f"answer {n}" for n in range(100)]
    assert len(scan(data).batches) == 1


def test_rows_are_cut_into_frames_by_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamframe.store.journal.FRAME_BYTES", 5_000)
    rows: list[Any] = [(key_of(n), "x" * 1_000, None, "stop", 1, 1, 0, 0, "m", None, 0) for n in range(12)]
    made = list(in_frames(rows))
    assert [len(part) for part, _ in made] == [5, 5, 2]
    assert [row for part, _ in made for row in part] == rows
    assert [b.num_rows for b in scan(header() + b"".join(frame for _, frame in made)).batches] == [5, 5, 2]


def test_small_frames_are_counted_by_what_headers_say() -> None:
    long = batch_of([(key_of(1), "x" * 100_000, None, "stop", 1, 1, 0, 0, "m", None, 0)]).to_arrow().to_batches()[0]
    data = file_bytes([*THREE, long])
    assert n_small(lambda at, n: data[at : at + n]) == 1 + 3  # the first tells the columns
    assert scan(data).n_small == 3
