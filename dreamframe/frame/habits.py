"""What frames, groups, models and the module answer to a name or a notation of pandas, eager polars and other libraries."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl

from dreamframe.errors import did_you_mean, listed
from dreamframe.frame.column import Column, column_of
from dreamframe.frame.other_names import AGG, COUNT, FRAME, GROUPS, MODEL, MODULE
from dreamframe.models.habits import instead, written


def no_attribute(what: str, name: str, table: Mapping[str, str], have: list[str], elsewhere: str = "") -> AttributeError:
    """The error for a name that is not there: by the table, else with the near miss and with what has it. (With a `name` alone Python adds no near miss.)"""
    own = [n for n in have if not n.startswith("_") and n != "step"]
    said = instead(what, name, table) if name in table else f"{what} has no {name!r}.{did_you_mean(name, own)}{elsewhere}"
    return AttributeError(said, name=name)


def elsewhere(name: str) -> str:
    """Where a frame of another library has this name; nothing where none is known to have it."""
    if hasattr(pl.DataFrame, name):
        return f" A polars frame has: df.collect().{name}, once the plan has run."
    pandas = sys.modules.get("pandas")  # whoever thinks of it has it
    return f" A pandas frame has: df.to_pandas().{name}, once the plan has run." if pandas and hasattr(pandas.DataFrame, name) else ""


class Habits:
    """What a frame answers to habits of pandas and of eager polars."""

    __slots__ = ()
    if TYPE_CHECKING:
        step: Any

    def __contains__(self, column: object) -> bool:
        return column in self.step.schema

    def __bool__(self) -> NoReturn:
        raise TypeError("a frame is a plan, neither true nor false. Are there rows: not df.collect().is_empty(). Is there a frame: df is not None.")

    if not TYPE_CHECKING:  # type checkers say themselves that there is no such thing

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or hasattr(type(self), name):  # what other libraries look for; or a property of ours raised it
                return object.__getattribute__(self, name)
            if name in self.step.schema:
                other = f" Or, where no column is meant: {written(FRAME[name]).removeprefix('Write ')}" if name in FRAME else ""
                raise AttributeError(f"a frame is a plan, and has no values to give. {column_of(name)}{other}", name=name)
            raise no_attribute("a frame", name, FRAME, dir(self), elsewhere(name))

        def __getitem__(self, key: Any) -> Column:
            if isinstance(key, str) and key in self.step.schema:
                return Column(self.step, key)
            raise TypeError(f"a frame is a plan, and has no values to give. {self._taken(key)}")

        def _taken(self, key: Any) -> str:
            names = [key] if isinstance(key, str) else list(key) if isinstance(key, list | tuple) else []
            if names and all(isinstance(k, str) for k in names):
                if unknown := [k for k in names if k not in self.step.schema]:
                    have = self.step.schema.names()
                    return f"Nor has it a column {unknown[0]!r}: there are {listed(have)}.{did_you_mean(unknown[0], have)}"
                return column_of(key) if isinstance(key, str) else f"Write df.select({', '.join(map(repr, names))})."
            if isinstance(key, slice):
                return f"Write {sliced(key)}."
            if names and all(isinstance(k, int) and not isinstance(k, bool) for k in names) and isinstance(key, list):
                return f"Write df.gather({names})."
            if isinstance(key, int):
                return f"Row {key} is df.slice({key}, 1); its values, once the plan has run: df.slice({key}, 1).to_dicts()[0]."
            return "Rows are chosen by df.filter(pl.col('a') > 1), columns by df.select('a', 'b')."

        def __setitem__(self, key: Any, value: object) -> NoReturn:
            raise TypeError(f"a frame never changes: verbs give new frames. Write df = df.with_columns(pl.lit(0).alias({key!r})), or another expression.")

        def __delitem__(self, key: Any) -> NoReturn:
            raise TypeError(f"a frame never changes: verbs give new frames. Write df = df.drop({key!r}).")

        def __len__(self) -> NoReturn:
            raise TypeError(f"a frame is a plan, and does not know its rows before it is run. {written(COUNT)}")

        def __iter__(self) -> NoReturn:
            ways = "Write for row in df.to_dicts(), or for batch in df.collect_batches(). Its columns: df.columns."
            raise TypeError(f"a frame is a plan, and has no rows before it is run. {ways}")


def sliced(key: slice) -> str:
    """What is written for rows from one place to another."""
    start, stop, step = key.start or 0, key.stop, key.step
    if not all(isinstance(v, int | None) for v in (start, stop, step)):
        return "df.slice(offset, length)"
    if step not in (None, 1):
        return f"df.gather_every({step})" if step > 0 and not start and stop is None else "df.slice(offset, length).gather_every(2)"
    if start < 0 and stop is None:
        return f"df.tail({-start})"
    if start >= 0 and (stop is None or stop >= start):
        return f"df.slice({start}{'' if stop is None else f', {stop - start}'})"
    return "df.slice(offset, length)"


class GroupHabits:
    """What groups answer to habits."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or hasattr(type(self), name):
                return object.__getattribute__(self, name)
            if name not in GROUPS and hasattr(type(self._frame), name):
                raise AttributeError(f"a group_by has no {name!r}: say first what becomes of each group. Write {AGG}.{name}(...).", name=name)
            raise no_attribute("a group_by", name, GROUPS, dir(self))

        def __getitem__(self, key: Any) -> NoReturn:
            column = key if isinstance(key, str) else "a"
            raise TypeError(f"groups are a plan, and have no columns to give. Write df.group_by('key').agg(pl.col({column!r}).sum()).")

        def __iter__(self) -> NoReturn:
            raise TypeError(f"groups are a plan, and have no rows before it is run. Write {AGG}; one by one: df.collect().group_by('key').")

        def __len__(self) -> NoReturn:
            raise TypeError("groups are a plan, and are not counted before it is run. Write df.group_by('key').len().collect().height.")


class ModelHabits:
    """What a model that a plan trains answers to habits."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_") or hasattr(type(self), name):
                return object.__getattribute__(self, name)
            raise no_attribute("a model", name, MODEL, dir(self))


def no_name(name: str, public: list[str]) -> AttributeError:
    """The error for a name that the module does not have."""
    if name not in MODULE and not name.startswith("_") and not inspect.ismodule(getattr(pl, name, inspect)):  # `inspect` stands for nothing found
        return AttributeError(f"dreamframe has no {name!r}: expressions and types are polars' own. Write pl.{name}, after import polars as pl.", name=name)
    return no_attribute("dreamframe", name, MODULE, public)
