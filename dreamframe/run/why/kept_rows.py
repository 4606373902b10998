"""The stored rows of a step, for one who looks at a few of them: of a long output only these are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import polars as pl

from dreamframe.errors import CorruptFileError


class Rows(Protocol):
    """Rows of which some can be taken."""

    @property
    def schema(self) -> pl.Schema: ...
    @property
    def height(self) -> int: ...
    def slice(self, offset: int, length: int, /) -> pl.DataFrame | None: ...


class KeptRows:
    """All rows of a step."""

    def __init__(self, rows: Rows, all_of: Callable[[], pl.DataFrame | None]) -> None:
        """`all_of` gives all, or None where they turn out to be damaged."""
        self._rows, self._all_of = rows, all_of

    def select(self, columns: Mapping[str, str], schema: pl.Schema) -> KeptRows:
        """The same rows with other columns: the name of each, and whose values it has."""
        named = [pl.col(c).alias(name) for name, c in columns.items()]
        return KeptRows(_Some(self, named, schema), lambda: self.whole.select(named))

    @property
    def schema(self) -> pl.Schema:
        """The columns."""
        return self._rows.schema

    @property
    def height(self) -> int:
        """How many there are."""
        return self._rows.height

    def slice(self, start: int, n: int) -> pl.DataFrame:
        """n rows from a position on."""
        found = self._rows.slice(start, n)
        return self.whole.slice(start, n) if found is None else found

    @cached_property
    def whole(self) -> pl.DataFrame:
        """All rows. Raises CorruptFileError where they are damaged; they are set aside then."""
        found = self._rows if isinstance(self._rows, pl.DataFrame) else self._all_of()
        if found is None:
            raise CorruptFileError("a stored output is damaged, and was set aside; ask once more, and its rows are made of the answers that are kept.")
        return found


@dataclass(frozen=True)
class _Some:
    """Some columns of rows."""

    rows: KeptRows
    named: Sequence[pl.Expr]
    schema: pl.Schema

    @property
    def height(self) -> int:
        return self.rows.height

    def slice(self, start: int, n: int, /) -> pl.DataFrame:
        return self.rows.slice(start, n).select(self.named)
