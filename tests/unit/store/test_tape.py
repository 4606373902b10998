"""The reader of tar archives: what export writes, and none of the ways in which a header may say something else than it seems to."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest

from dreamframe.errors import CorruptFileError
from dreamframe.store.tape import BLOCK, Tape

LOG = "runs/20260101T000000-1-ab.jsonl"


def block(name: str = LOG, size: int = 0, kind: bytes = tarfile.REGTYPE, **fields: object) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def pax(*records: bytes) -> bytes:
    data = b"".join(records)
    return block("pax", len(data), tarfile.XHDTYPE) + padded(data)


def record(key: str, value: str) -> bytes:
    n = len(f" {key}={value}\n".encode())
    while len(f"{n} {key}={value}\n".encode()) != n:
        n = len(f"{n} {key}={value}\n".encode())
    return f"{n} {key}={value}\n".encode()


END = bytes(2 * BLOCK)


def read(data: bytes) -> list[tuple[str, bytes]]:
    return [(m.name, b"".join(m.blocks)) for m in Tape(io.BytesIO(data).read, lambda n: None).members()]


def resealed(head: bytes) -> bytes:
    """With its checksum."""
    return head[:148] + f"{sum(head[:148]) + 8 * 32 + sum(head[156:]):06o}\0 ".encode() + head[156:]


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 3 << 20])
def test_a_member_is_read_as_it_was_written(size: int) -> None:
    out, data, name = io.BytesIO(), bytes(range(256)) * (size // 256 + 1), "models/SFT-0123456789ab/" + "long/" * 40 + "é.json"
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        for n in (LOG, name, LOG):
            info = tarfile.TarInfo(n)
            info.size = size
            tar.addfile(info, io.BytesIO(data))
    assert read(out.getvalue()) == [(n, data[:size]) for n in (LOG, name, LOG)]


def test_a_name_and_a_size_of_a_pax_header_go_over_those_of_the_header() -> None:
    assert read(pax(record("path", "plans/x"), record("size", "3")) + block(size=0) + padded(b"abc") + END) == [("plans/x", b"abc")]


WRONG: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "one block of zeros": lambda: bytes(BLOCK),
    "no end": lambda: block() + bytes(BLOCK),
    "half a header": lambda: block()[:300],
    "half a member": lambda: block(size=600) + bytes(BLOCK),
    "a member that is not padded": lambda: block(size=3) + b"abc",
    "more behind the end": lambda: block() + END + block(),
    "a negative size": lambda: resealed(block()[:124] + b"\xff" * 12 + block()[136:]) + END,
    "a size in words": lambda: resealed(block()[:124] + b"abcdefghijk\0" + block()[136:]) + END,
    "a wrong checksum": lambda: block()[:-1] + b"\x01" + END,
    "a name that is not UTF-8": lambda: resealed(b"\xff" + block()[1:]) + END,
    "a folder by its name": lambda: resealed(b"runs/\0".ljust(100, b"\0") + block(kind=tarfile.AREGTYPE)[100:]) + END,
    "a long name of GNU": lambda: block("././@LongLink", 10, tarfile.GNUTYPE_LONGNAME) + padded(b"plans/x\0\0\0") + block() + END,
    "a sparse file of GNU": lambda: block(kind=tarfile.GNUTYPE_SPARSE) + END,
    "a pax header for all members": lambda: block("pax", 9, tarfile.XGLTYPE) + padded(b"9 path=x\n") + block() + END,
    "two pax headers": lambda: pax(record("path", "a")) * 2 + block() + END,
    "a pax header of nothing": lambda: block("pax", 0, tarfile.XHDTYPE) + block() + END,
    "a pax header at the end": lambda: pax(record("path", "a")) + END,
    "a pax header of a gigabyte": lambda: block("pax", 1 << 30, tarfile.XHDTYPE) + END,
    "a negative size in pax": lambda: pax(record("size", "-512")) + block() + END,
    "a size in words in pax": lambda: pax(record("size", "many")) + block() + END,
    "a size in pax that is too long": lambda: pax(record("size", "9" * 5000)) + block() + END,
    "a sparse file in pax": lambda: pax(record("GNU.sparse.size", "1099511627776")) + block() + END,
    "another character set in pax": lambda: pax(record("hdrcharset", "BINARY")) + block() + END,
    "a link in pax": lambda: pax(record("linkpath", "/etc/passwd")) + block() + END,
    "a path twice in pax": lambda: pax(record("path", "a"), record("path", "../b")) + block() + END,
    "a record of pax without an end": lambda: pax(b"11 path=abcd") + block() + END,
    "a record of pax that is too long": lambda: pax(b"99 path=abc\n") + block() + END,
    "a record of pax of no length": lambda: pax(b"0 path=abc\n") + block() + END,
    "a record of pax of a negative length": lambda: pax(b"-5 path=abc\n") + block() + END,
    "a record of pax without a length": lambda: pax(b"path=abc\n") + block() + END,
    "a record of pax that is not UTF-8": lambda: pax(b"11 path=\xff\xfe\n") + block() + END,
}


@pytest.mark.parametrize("what", WRONG)
def test_what_export_does_not_write_is_refused(what: str) -> None:
    with pytest.raises(CorruptFileError):
        read(WRONG[what]())
