"""Verbs that choose rows by position with a seed, and users' own functions."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, SupportsIndex, TypeVar, overload

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.base import Verbs, whole
from dreamframe.frame.mapped import AWAITED, need_function, need_steering, new_columns, typed_columns
from dreamframe.plan.step import OnError
from dreamframe.plan.steps.apply import MapBatches, MapRows, is_async
from dreamframe.plan.steps.relational import RepeatTo, Sample, Shard, SplitPart

F = TypeVar("F")


V = TypeVar("V", bound="RowVerbs")  # Self, as jedi understands it too


class RowVerbs(Verbs):
    """sample, shuffle, split, shard, repeat_to, map, map_batches."""

    __slots__ = ()

    def sample(self: V, n: int | None = None, *, fraction: float | None = None, with_replacement: bool = False, shuffle: bool = False, seed: int = 0) -> V:
        """Draw n rows, or a fraction of them, with a seed; in input order unless shuffle=True.

        >>> dr.frame({"a": range(100)}).sample(3, seed=1).to_dicts()
        [{'a': 17}, {'a': 72}, {'a': 97}]
        """
        if (n is None) == (fraction is None):
            n, fraction = (1, None) if n is None else (n, fraction)
            if fraction is not None:
                raise SettingError("sample: give n= or fraction=, not both.")
        n = None if n is None else whole(n, "n", verb="sample")
        if fraction is not None and not 0 <= fraction <= (sys.float_info.max if with_replacement else 1):
            raise SettingError(f"sample: fraction={fraction} is not between 0 and 1. Rows are drawn more than once with with_replacement=True.")
        seed = whole(seed, "seed", verb="sample", least=None)
        draw = Sample(inputs=(self.step,), n=n, fraction=fraction, with_replacement=with_replacement, in_order=not shuffle, seed=seed)
        return self._over(draw)

    def shuffle(self: V, seed: int = 0) -> V:
        """Put the rows in a random order that the seed decides.

        >>> dr.frame({"a": [1, 2, 3]}).shuffle(seed=1).to_dicts()
        [{'a': 1}, {'a': 3}, {'a': 2}]
        """
        return self._over(Sample(inputs=(self.step,), fraction=1.0, in_order=False, seed=whole(seed, "seed", verb="shuffle", least=None), name="shuffle"))

    def shard(self: V, n: int, i: int, *, contiguous: bool = False) -> V:
        """Take every n-th row from the i-th on: the n shards hold every row once. With `contiguous`, the i-th of n parts that follow one another.

        >>> dr.frame({"a": [1, 2, 3]}).shard(2, 0).to_dicts()
        [{'a': 1}, {'a': 3}]
        """
        n, i = whole(n, "n", verb="shard", least=1), whole(i, "i", verb="shard")
        if not 0 <= i < n:
            raise SettingError(f"shard: there are shards 0 to {n - 1} of {n}, not {i}.")
        if contiguous:
            return self._over(Shard(inputs=(self.step,), n=n, i=i))
        return self._relational("gather_every", n, i, named="shard")

    def repeat_to(self: V, n: int) -> V:
        """Repeat the rows from the first on until there are n; fewer than there are cuts them.

        >>> dr.frame({"a": [1, 2]}).repeat_to(3).to_dicts()
        [{'a': 1}, {'a': 2}, {'a': 1}]
        """
        return self._over(RepeatTo(inputs=(self.step,), n=whole(n, "n", verb="repeat_to")))

    def split(self: V, *, stratify: str | Sequence[str] | None = None, seed: int = 0, shuffle: bool = True, **fractions: float) -> Split[V]:
        """Cut the frame into named parts by fractions, or by numbers of rows; every row falls into one at most, and parts keep the input order.

        Fractions add up to 1 at most; whole numbers, of which one is above 1, count rows (train=900, test=100).

        With `stratify`, a column or several, each of their values is split by the same fractions: as near to them as the sizes of the parts allow, which
        are those without it, and with rows of each value in every part where that can be. Unpack the parts, or take one by name.

        >>> train, test = dr.frame({"a": range(4)}).split(train=0.5, test=0.5, seed=1)
        >>> train.to_dicts(), test.to_dicts()
        ([{'a': 1}, {'a': 3}], [{'a': 0}, {'a': 2}])
        """
        given = {name: f for name, f in fractions.items() if f is not None}
        sizes: list[Any] = list(given.values())
        are_numbers = all(isinstance(f, numbers.Real) and not isinstance(f, bool) for f in sizes)
        are_counts = are_numbers and any(f > 1 for f in sizes) and all(isinstance(f, numbers.Integral) and int(f) > 0 for f in sizes)
        are_fractions = are_numbers and all(0 < f <= 1 for f in sizes) and sum(sizes) <= 1 + 1e-9
        if not given or not (are_counts or are_fractions):
            raise SettingError(
                f"split: fractions between 0 and 1 that add up to 1 at most are needed, e.g. train=0.9, validation=0.1, or numbers of rows for all parts, "
                f"e.g. train=900, test=100; got {given}."
            )
        if are_counts:
            given = {name: int(f) for name, f in given.items()}
        by = tuple(stratify) if isinstance(stratify, (list, tuple)) else stratify
        if by is not None and not (isinstance(by, (str, tuple)) and by and all(isinstance(column, str) for column in by)):
            raise SettingError(f"split: stratify= is the name of a column, or several names, not {stratify!r}.")
        parts, seed = tuple(given.items()), whole(seed, "seed", verb="split", least=None)
        common: dict[str, Any] = {"inputs": (self.step,), "fractions": parts, "stratify": by, "seed": seed, "shuffle": shuffle}
        return Split.of({name: self._over(SplitPart(part=name, **common)) for name in given})

    def map(
        self: V,
        function: Callable[[dict[str, Any]], Any],
        schema: Mapping[str, Any] | Any = None,
        *,
        into: str | None = None,
        on_error: OnError = "raise",
        timeout: float | None = None,
        workers: int | None = None,
        name: str | None = None,
    ) -> V:
        """Add columns that a function makes of each row (a dict). `schema` names the new columns and their types, and the function gives a dict of them.

        With `into`, the function gives the value of that one column; its type is `schema`, or what the function says with `-> int`. An async function is
        awaited, for 64 rows at a time; `workers` is another number, and for other functions the threads that call it (one, if not given).

        The function's code, and what it reads, is part of the plan's identity: its helpers, the values that it closes over, globals, and the version
        of each library that it uses. Change one of them and the step runs again. A row on which it raises is a failed row, like a model's; `timeout`
        is in seconds a row.

        What cannot be seen so is refused when the plan runs (FingerprintError): the environment (`os.environ`, `sys.argv`), other programs, code that is
        found by a text (`eval`, `importlib`, `pickle.loads`), locks and connections. Pass the value on instead, or say yourself when it changes, with
        `dr.versioned`. A function that is seen to read files (`open`, `Path.read_text`, `pl.read_csv`, …) runs again each time, since its rows follow
        from what the files hold: `dr.versioned(function, version=1, depends=[path])` keeps them until a file changes. Not seen are the clock, chance
        without a seed, the network, what a library was set to, and whether two values are one object: rows that depend on them are kept as they were
        at the first run.

        >>> dr.frame({"a": [1, 2]}).map(lambda row: {"b": row["a"] + 1}, schema={"b": pl.Int64}).to_dicts()
        [{'a': 1, 'b': 2}, {'a': 2, 'b': 3}]
        >>> dr.frame({"a": [1, 2]}).map(lambda row: row["a"] + 1, into="b", schema=int).to_dicts()
        [{'a': 1, 'b': 2}, {'a': 2, 'b': 3}]
        """
        need_function(function, name or "map")
        columns = new_columns(function, schema, into, name or "map")
        need_steering(timeout, workers, name or "map")
        at_once = workers if workers is not None else AWAITED if is_async(function) else 1
        return self._over(
            MapRows(
                inputs=(self.step,), function=function, columns=columns, of_value=into is not None,
                on_error=on_error, timeout_s=timeout, workers=at_once, name=name,
            )
        )  # fmt: skip

    def map_batches(
        self: V,
        function: Callable[[pl.DataFrame], pl.DataFrame],
        *,
        schema: Mapping[str, Any] | None = None,
        batch_size: int | None = None,
        name: str | None = None,
    ) -> V:
        """Replace the rows by what a function makes of the whole table, a polars frame. `schema` is the result's, if it differs.

        With `batch_size` the function is called for so many rows at a time, and what it makes is put together in order.

        When it runs again, and what is refused, is as for `map`.

        >>> dr.frame({"a": [1, 2]}).map_batches(lambda df: df.reverse()).to_dicts()
        [{'a': 2}, {'a': 1}]
        """
        need_function(function, name or "map_batches")
        columns = typed_columns(schema, name or "map_batches") if schema is not None else None
        if batch_size is not None:
            whole(batch_size, "batch_size", verb="map_batches", least=1)
        return self._over(MapBatches(inputs=(self.step,), function=function, columns=columns, batch_size=batch_size, name=name))


class Split(tuple[F, ...], Generic[F]):
    """The parts of a split: unpack them in the order of the fractions, or take one by name."""

    names: tuple[str, ...]

    @classmethod
    def of(cls, parts: Mapping[str, F]) -> Split[F]:
        split = cls(parts.values())
        split.names = tuple(parts)
        return split

    @overload
    def __getitem__(self, key: str | SupportsIndex, /) -> F: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[F, ...]: ...
    def __getitem__(self, key: Any, /) -> Any:
        if isinstance(key, str):
            if key not in self.names:
                raise KeyError(f"split: no part {key!r}; there are {', '.join(self.names)}")
            return super().__getitem__(self.names.index(key))
        return super().__getitem__(key)
