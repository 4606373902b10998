"""What the header of a GGUF file says: architecture, context length, chat template. Reads no weights and needs no library."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from dreamframe.errors import SettingError

# GGUF value types → struct codes; 8 is a string, 9 an array (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9


def gguf_header(path: Path) -> Mapping[str, object]:
    """The metadata of a GGUF file: scalars and strings by key; arrays are skipped. Raises SettingError for another kind of file."""
    s = path.stat()
    return _read(str(path), (s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns))


@lru_cache(maxsize=32)
def _read(path: str, stat: tuple[int, ...]) -> Mapping[str, object]:  # noqa: ARG001  it only keys the memo; a time of writing can be set back
    with Path(path).open("rb") as file:
        if file.read(4) != b"GGUF":
            raise SettingError(f"{path} is not a GGUF file.")
        try:
            _version, _tensors, count = _unpack(file, "IQQ")
            found: dict[str, object] = {}
            for _ in range(count):
                key = _string(file)
                (kind,) = _unpack(file, "I")
                value = _value(file, kind)
                if kind != ARRAY:
                    found[key] = value
        except (struct.error, UnicodeDecodeError, KeyError, OverflowError, MemoryError) as exc:
            raise SettingError(f"{path}: its GGUF header cannot be read; the file is damaged or of a newer format.") from exc
    return found


def _value(file: BinaryIO, kind: int) -> object:
    if kind == STRING:
        return _string(file)
    if kind != ARRAY:
        return _unpack(file, SCALARS[kind])[0]
    of, count = _unpack(file, "IQ")
    if of == STRING:
        for _ in range(count):
            file.seek(_unpack(file, "Q")[0], 1)
    elif of == ARRAY:
        for _ in range(count):
            _value(file, ARRAY)
    else:
        file.seek(count * struct.calcsize("<" + SCALARS[of]), 1)
    return None


def _string(file: BinaryIO) -> str:
    (length,) = _unpack(file, "Q")
    return file.read(length).decode()


def _unpack(file: BinaryIO, codes: str) -> tuple[int, ...]:
    size = struct.calcsize("<" + codes)
    return struct.unpack("<" + codes, file.read(size))
