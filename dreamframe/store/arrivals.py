"""What a file of a bucket has to be before it is taken into a session folder: maybe a stranger wrote it, or it was damaged."""

from __future__ import annotations

import json
from typing import Any

import xxhash

from dreamframe.errors import CorruptFileError
from dreamframe.store.answer_files import file_bytes
from dreamframe.store.journal import scan
from dreamframe.store.layout import is_damaged
from dreamframe.store.plans import SCRIPT


def checked(name: str, data: bytes) -> tuple[bytes, str]:
    """The bytes to keep, and what was left out of them, in words. Raises CorruptFileError for what is to be left out as a whole."""
    if name.startswith("answers/"):
        found = scan(data)
        if not found.is_journal:
            raise CorruptFileError("is not a journal of answers")
        if not found.bad and not found.torn:
            return data, ""
        return file_bytes(found.batches), "is damaged; the answers in its damaged parts are asked for again when they are needed"
    if name.startswith("scripts/"):
        named = SCRIPT.fullmatch(name.rpartition("/")[2])
        if named is None or xxhash.xxh3_128_hexdigest(data)[:12] != named[1]:
            raise CorruptFileError("does not have the checksum that its name tells")
    elif name.endswith(".json"):
        record = _object(data)
        if is_damaged(record, must=name != "session.json") and not name.startswith("models/"):  # its files are checked one by one
            raise CorruptFileError("does not have its checksum")
    return data, ""


def _object(data: bytes) -> dict[str, Any]:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise CorruptFileError("is not readable JSON") from exc
    if not isinstance(record, dict):
        raise CorruptFileError("is not a JSON object")
    return record
