"""`dr.versioned`: a function that is told apart by its name, a version and what it depends on, instead of by its code."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Generic, ParamSpec, TypeVar

from dreamframe.errors import FingerprintError

P = ParamSpec("P")
R = TypeVar("R")
STEERING = ("threading", "_thread", "asyncio", "multiprocessing")  # locks and events say when, never what


class Versioned(Generic[P, R]):
    """A function whose identity is its name, a version and what it depends on, instead of its code."""

    def __init__(self, function: Callable[P, R], version: int | str, depends: tuple[object, ...], name: str | None = None) -> None:
        functools.update_wrapper(self, function)
        self.function, self.version, self.depends = function, version, depends
        self.name = name or _name(function)
        self.is_named = bool(name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    @property
    def told(self) -> Mapping[str, object]:
        """What tells this function from others of its name: what it closes over, the arguments of a partial, the object of a method."""
        return {} if self.is_named else _told(self.function)


def versioned(function: Callable[P, R], *, version: int | str, depends: Iterable[object] | Path = (), name: str | None = None) -> Versioned[P, R]:
    """Say yourself when a function changed: its identity is its module and name, `version` and the content of `depends`, not its code.

    The way out for functions that hold what has no identity (a connection, a lock, a library's object), or that read files or the environment. A path
    in `depends`, also one in a list or dict, counts by the content of its file, a folder by its files, a module of yours by its source: when a file is
    edited, the function runs again. What its name does not tell (the arguments of a partial, the object of a method, what a function made by another
    one closes over) counts by its content. A lambda has no name, and a connection has no content: give `name=`, and no two functions the same one.

    Raises FingerprintError for a function without a name of its own, and, when the plan runs, for a path in `depends` that does not exist.

    >>> def next_of(row):
    ...     return {"b": row["a"] + 1}
    >>> f = dr.versioned(next_of, version=1)
    >>> f({"a": 3})
    {'b': 4}
    """
    if isinstance(depends, Mapping | Path):  # of a dict, the keys alone would count
        depends = [depends]
    return Versioned(function, version, tuple(depends), name)


def _name(function: Any) -> str:
    """Module and qualified name; those of the built-in functions alone."""
    if isinstance(function, Versioned):
        return function.name
    inner = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    named = inner if hasattr(inner, "__qualname__") else type(inner)
    name, module = str(named.__qualname__), str(getattr(named, "__module__", None) or "")
    if "<lambda>" in name:
        raise FingerprintError(
            "dr.versioned: a lambda has no name, and the name is what tells a versioned function from others. Write it as `def name(…)`, or give "
            "dr.versioned(…, name='what it does')."
        )
    return name if module == "builtins" else f"{_module(module)}.{name}"


def _module(name: str) -> str:
    """A script goes by its file, as it would if it were imported: two scripts of one session are not one module."""
    if name not in ("__main__", "__mp_main__"):
        return name
    script = sys.modules.get(name)
    if (spec := getattr(script, "__spec__", None)) is not None:  # python -m package.module
        return str(spec.name)
    file = getattr(script, "__file__", None)
    return Path(file).stem if file else "__main__"


def _told(function: Any) -> dict[str, object]:
    if isinstance(function, Versioned):
        return {"versioned": function}
    if isinstance(function, functools.partial):
        return {"arguments": (function.args, function.keywords), **{f"function's {k}": v for k, v in _told(function.func).items()}}
    if isinstance(function, types.MethodType):
        return {"object": function.__self__}
    if isinstance(function, types.BuiltinFunctionType | types.MethodWrapperType):
        owner = function.__self__
        return {} if isinstance(owner, types.ModuleType | None) else {"object": owner}
    if "<locals>" not in getattr(function, "__qualname__", "<locals>"):
        return {}
    if isinstance(function, functools._lru_cache_wrapper):
        return _told(function.__wrapped__)
    return _closed_over(function) if isinstance(function, types.FunctionType) else {"object": function}


def _closed_over(function: types.FunctionType) -> dict[str, object]:
    """What a function within another one was made with: the variables around it, and its defaults."""
    found: dict[str, object] = {"defaults": held} if (held := (function.__defaults__, function.__kwdefaults__)) != (None, None) else {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            value = cell.cell_contents
        except ValueError:  # not yet set
            continue
        if value is not function:
            found[name] = type(value).__qualname__ if _only_steers(value) else value
    return found


def _only_steers(value: object) -> bool:
    kind = type(value)
    return kind.__module__.partition(".")[0] in STEERING and kind.__name__ != "_local"
