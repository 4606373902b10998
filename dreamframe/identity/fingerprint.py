"""Identity: any value of a plan as canonical bytes, and their digest. The only place that says what is the same.

A value is a type tag, a count and length-prefixed parts, so that no two values share their bytes by accident. Records are their class and their
fields; functions their code and what it reads (functions.py); objects their class and state (classes.py); tables and files their content
(tables.py, files.py). A value of an unknown type raises FingerprintError, naming where it was found and the way out: never `id`, `repr` or
a serialised object.

Digests are xxh3_128: fast and stable, but not tamper-proof. Journal keys of answers use sha256 instead.
"""

from __future__ import annotations

from typing import Any

import xxhash

from dreamframe.errors import FingerprintError
from dreamframe.identity.files import FileMemo, file_digest
from dreamframe.identity.tables import answer_keys, frame_digest
from dreamframe.identity.tagged import tagged
from dreamframe.identity.values import record_fields
from dreamframe.identity.versioned import versioned
from dreamframe.identity.walk import WAY_OUT, Walk
from dreamframe.identity.whose_code import recorded

__all__ = ["FileMemo", "answer_keys", "canonical", "file_digest", "fingerprint", "frame_digest", "parts", "reads_files", "tagged", "versioned"]


def fingerprint(value: object, *, is_lasting: bool = False) -> str:
    """32 hex characters that are equal for equal values, in any process.

    `is_lasting` is for what is kept for ever, whatever is upgraded: libraries count by name alone.
    Raises FingerprintError for a value that another process could not find again (a lock, an open file, a generator…).

    >>> fingerprint({"a": (1, 2.5)}) == fingerprint({"a": (1, 2.5)}), fingerprint(1) == fingerprint(True)
    (True, False)
    """
    return str(xxhash.xxh3_128_hexdigest(canonical(value, is_lasting=is_lasting)))


def canonical(value: object, *, is_lasting: bool = False) -> bytes:
    """The bytes that a fingerprint hashes."""
    return _walked(value, Walk(is_lasting=is_lasting))


def reads_files(value: object) -> bool:
    """Whether functions among a value are seen to read files: what they give is then not told by the value alone. False for what has no identity."""
    walk = Walk()
    try:
        _walked(value, walk)
    except FingerprintError:
        return False
    return walk.seen.reads_files


def _walked(value: object, walk: Walk) -> bytes:
    try:
        return walk.bytes_of(value) + (b"" if walk.is_lasting else walk.seen.told())
    except RecursionError as exc:
        raise FingerprintError(f"a {type(value).__qualname__} is nested too deeply to be fingerprinted. {WAY_OUT}") from exc


def parts(record: Any) -> dict[str, str]:
    """Field → 12 hex characters: what went into a record's fingerprint, to see which part of two differs."""
    shown = {"class": (recorded(type(record)).__name__, getattr(record, "version", 1)), **record_fields(record)}
    return {name: fingerprint(value)[:12] for name, value in shown.items()}
