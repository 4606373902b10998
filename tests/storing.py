"""What tests of the store share: folders opened on a given disk, answers with keys that can be told apart, warnings counted."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.store.answers import Answers
from dreamframe.store.files import Files
from dreamframe.store.layout import SessionWarning, open_folder
from dreamframe.store.stores import Stores, stores_on


def key_of(n: int) -> bytes:
    """The 16-byte key of the n-th question."""
    return hashlib.sha256(n.to_bytes(8, "big")).digest()[:16]


def step_key(n: int) -> str:
    return key_of(n).hex()


def keys_of(numbers: Sequence[int | None]) -> list[bytes | None]:
    return [None if n is None else key_of(n) for n in numbers]


def give(answers: Answers, numbers: Sequence[int], *, said: str = "answer") -> None:
    """Append the answers to some questions."""
    for n in numbers:
        answers.append(key_of(n), f"{said} {n}", bytes([n % 256]) * 4, "stop", n, n + 1, 0, 0, "echo", None)


def texts(answers: Answers, numbers: Sequence[int | None]) -> list[str | None]:
    """What the journal says to some questions."""
    return answers.lookup(keys_of(numbers))["text"].to_list()


def open_answers(folder: Path | Files, **settings: Any) -> Answers:
    files = folder if isinstance(folder, Files) else Files(folder)
    return Answers(files, open_folder(files), **settings)


@contextmanager
def opened(files: Files | Path) -> Iterator[Stores]:
    """The stores of a folder, closed at the end."""
    stores = stores_on(files if isinstance(files, Files) else Files(files))
    try:
        yield stores
    finally:
        stores.answers.close()


@contextmanager
def warned() -> Iterator[list[str]]:
    """The session warnings of a block, as texts."""
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield said
    said += [str(w.message) for w in caught if issubclass(w.category, SessionWarning)]


def table_of(n: int, *, said: str = "row") -> pl.DataFrame:
    return pl.DataFrame({"n": range(n), "text": [f"{said} {i}" for i in range(n)]}, schema={"n": pl.Int64, "text": pl.String})


def store_step(stores: Stores, n: int, table: pl.DataFrame, *, label: str = "summary") -> pl.DataFrame:
    """Commit one output; the rows that the commit gives."""
    assert stores.steps is not None
    writer = stores.steps.writer(step_key(n), label, table.schema)
    writer.write(table)
    return writer.commit({"describe": label}).rows()


def journals(folder: Path) -> list[Path]:
    return sorted((folder / "answers").glob("*.answers"))
