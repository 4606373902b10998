"""Whose code it is: Python's own and libraries' count by name and version, the user's by what they do."""

from __future__ import annotations

import functools
import importlib.util
import site
import sys
import sysconfig
import types
from pathlib import Path

OWN = __name__.split(".", maxsplit=1)[0]


@functools.cache
def _library_folders() -> tuple[str, ...]:
    found = [sysconfig.get_path(n) for n in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({str(Path(p).resolve()) for p in found if p})


def is_own(value: object) -> bool:
    """Whether a function or class is dreamframe's own."""
    return (getattr(value, "__module__", None) or "").partition(".")[0] == OWN


def is_library_module(name: str) -> bool:
    """Whether a module's code counts by name: the standard library, an installed package, or dreamframe itself."""
    return _is_library(name, getattr(sys.modules.get(name), "__file__", None))


@functools.cache
def _is_library(name: str, file: str | None) -> bool:
    """By the file, since a project may have a module that is named like one of Python's own."""
    top = name.partition(".")[0]
    if top in ("__main__", "__mp_main__", OWN):
        return top == OWN
    file = file or _spec_file(top)
    if file in (None, "built-in", "frozen"):
        return top in sys.stdlib_module_names or top in sys.builtin_module_names
    return is_library_file(str(file))


def is_library_file(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    path = str(Path(file).resolve())
    return any(path.startswith(folder + "/") for folder in _library_folders())


def _spec_file(name: str) -> str | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec is not None else None


def is_library(cls: type) -> bool:
    module: object = cls.__module__  # a property of instances, where a library's C code made it so
    return not isinstance(module, str) or is_library_module(module)


def recorded(cls: type) -> type:
    """The class as which the values of a class stand in keys, records and plans: dreamframe's own may be special cases of another."""
    return getattr(cls, "recorded_as", cls) if is_library(cls) else cls


def is_users(value: object) -> bool:
    """Whether a value that a library holds is the user's own code: a function, a class, an object of one."""
    if value is None or isinstance(value, types.ModuleType):
        return False
    if isinstance(value, types.MethodType):
        return is_users(value.__func__) or is_users(value.__self__)
    if isinstance(value, types.FunctionType):
        return not is_library_module(str(value.__globals__.get("__name__"))) or is_users(getattr(value, "__wrapped__", None))
    if isinstance(value, functools.partial):
        return is_users(value.func)
    return not is_library(value if isinstance(value, type) else type(value))
