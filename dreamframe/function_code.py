"""What decides a function's results, as far as Python lets us see it: its code, constants, defaults, closure, and the globals it really reads.

Code of installed libraries counts by name; code of the user's own project is followed, through helpers, modules, classes and decorators.
Positions, comments, file names and unused globals do not count. What cannot be seen is refused.
"""

from __future__ import annotations

import builtins
import dis
import enum
import functools
import importlib
import importlib.util
import logging
import site
import sys
import sysconfig
import threading
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import FingerprintError

if TYPE_CHECKING:
    from dreamframe.fingerprint import Walk

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}".encode()  # bytecode is of a minor version
OWN = __name__.split(".", maxsplit=1)[0]
SKIPPED = frozenset({"_abc_impl", "_member_map_", "_member_names_", "_value2member_map_", "_hashable_values_", "_unhashable_values_", "_sort_order_"})
DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType)
MISSING = object()


def _tagged(tag: str, *pieces: bytes) -> bytes:
    from dreamframe.fingerprint import tagged  # the two files know each other: values hold functions, and functions hold values

    return tagged(tag, *pieces)


# Whose code it is


@functools.cache
def _library_folders() -> tuple[str, ...]:
    found = [sysconfig.get_path(n) for n in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    return tuple({str(Path(p).resolve()) for p in found if p})


@functools.cache
def is_library_module(name: str) -> bool:
    """Whether a module's code counts by name: the standard library, an installed package, or dreamframe itself."""
    top = name.split(".")[0]
    if top in sys.stdlib_module_names or top in sys.builtin_module_names or top == OWN:
        return top != "__main__"
    if top == "__main__":
        return False
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None) or _spec_file(top)
    if file is None:
        return False
    path = str(Path(file).resolve())
    return any(path.startswith(folder + "/") for folder in _library_folders())


def _spec_file(name: str) -> str | None:
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    return spec.origin if spec is not None else None


def is_library(cls: type) -> bool:
    return is_library_module(cls.__module__)


def is_function_like(value: object) -> bool:
    """Whether a value is something callable that Python itself makes."""
    kinds = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType, functools.partial, staticmethod, classmethod, property)
    return isinstance(value, (*kinds, *DESCRIPTORS, types.ClassMethodDescriptorType, types.MethodWrapperType)) or hasattr(value, "__wrapped__")


# Callables


def of_callable(value: Any, walk: Walk) -> bytes:
    """A function, a method, a partial, a wrapper, or a module that stands as a value."""
    if isinstance(value, types.FunctionType):
        return walk.once(value, lambda: _function(value, walk))
    if isinstance(value, types.MethodType):
        return _tagged("method", walk.inside("self", value.__self__), of_callable(value.__func__, walk))
    if isinstance(value, functools.partial):
        held = (value.func, value.args, value.keywords)
        return _tagged("partial", *(walk.inside("partial", v) for v in held))
    if isinstance(value, staticmethod | classmethod):
        return _tagged(type(value).__name__, walk.bytes_of(value.__func__))
    if isinstance(value, property):
        return _tagged("property", *(walk.bytes_of(f) for f in (value.fget, value.fset, value.fdel)))
    if isinstance(value, types.ModuleType):
        return _module(value, walk)
    if isinstance(value, types.BuiltinFunctionType) and not isinstance(value.__self__, types.ModuleType | type | None):
        return _tagged("bound", value.__name__.encode(), walk.inside(f"self of {value.__name__}", value.__self__))
    if (wrapped := getattr(value, "__wrapped__", None)) is not None and is_library(type(value)):
        return _tagged("wrapper", type(value).__qualname__.encode(), walk.bytes_of(wrapped))
    if wrapped is not None:
        return walk.once(value, lambda: of_object(value, walk))
    return _tagged("library", f"{getattr(value, '__module__', '')}.{value.__qualname__}".encode())


def _module(module: types.ModuleType, walk: Walk) -> bytes:
    if is_library_module(module.__name__):
        return _tagged("module", module.__name__.encode())
    raise walk.refuse(module, f"the module {module.__name__!r} is used as a value, so what is read of it cannot be seen")


def _function(function: types.FunctionType, walk: Walk) -> bytes:
    cells = _cells(function)
    where = str(function.__globals__.get("__name__", "__main__"))
    if is_library_module(where):  # by name; but what it closes over may be the user's
        held = [walk.inside(f"closure {n!r}", v) for n, v in cells.items()] if where.split(".")[0] != OWN else []
        return _tagged("library", f"{where}.{function.__code__.co_qualname}".encode(), *held)
    walk.path.append(function.__qualname__)
    try:
        defaults = [walk.inside("defaults", v) for v in (function.__defaults__, function.__kwdefaults__)]
        own = {k: v for k, v in vars(function).items() if k != "__wrapped__"}
        code = of_code(function.__code__, function.__globals__, cells, walk)
        return _tagged("function", PYTHON, code, *defaults, walk.inside("attributes", own))
    finally:
        walk.path.pop()


def _cells(function: types.FunctionType) -> dict[str, object]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not yet set
            found[name] = MISSING
    return found


# Code


def of_code(code: types.CodeType, scope: Mapping[str, object], cells: Mapping[str, object], walk: Walk) -> bytes:
    """A code object: its instructions and constants, and the values of the names that it takes from outside."""
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    inner = {n: v for n, v in cells.items() if n not in code.co_cellvars}
    constants = [
        of_code(c, scope, {n: inner[n] for n in c.co_freevars if n in inner}, walk) if isinstance(c, types.CodeType) else walk.bytes_of(c)
        for c in code.co_consts
    ]
    reads = [_tagged("read", ".".join(chain).encode(), _read(chain, scope, cells, walk)) for chain in sorted(set(_chains(code, scope)))]
    table = getattr(code, "co_exceptiontable", b"")
    return _tagged("code", walk.bytes_of(shape), walk.bytes_of(names), code.co_code, table, *constants, *reads)


def _chains(code: types.CodeType, scope: Mapping[str, object]) -> Iterator[tuple[str, ...]]:
    """The dotted names that a code object takes from outside: globals, closure cells, and modules that it imports itself.

    A chain of an imported module starts with "import" and the module's name.
    """
    imported: dict[str, tuple[str, ...]] = {}  # local variable → the chain that it stands for
    chain: list[str] = []
    module: tuple[str, ...] | None = None
    for i in dis.get_instructions(code):
        if chain and i.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            chain.append(str(i.argval))
            continue
        if chain:
            yield tuple(chain)
            chain = []
        if i.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF", "LOAD_FROM_DICT_OR_GLOBALS"):
            chain = [str(i.argval)]
        elif i.opname.startswith("LOAD_FAST") and i.argval in imported:
            chain = list(imported[i.argval])
        elif i.opname == "IMPORT_NAME":
            module = ("import", _absolute(str(i.argval), code, scope))
            yield module
        elif i.opname == "IMPORT_FROM" and module is not None:
            chain = [*module, str(i.argval)]
        elif i.opname.startswith("STORE_FAST") and module is not None and isinstance(i.argval, str):
            imported[i.argval] = module
            module = module if len(module) > 2 else None
        elif i.opname == "POP_TOP":
            module = None
    if chain:
        yield tuple(chain)


def _absolute(name: str, code: types.CodeType, scope: Mapping[str, object]) -> str:
    if name and importlib.util.find_spec(name.split(".")[0]) is not None:
        return name
    package = str(scope.get("__package__") or "")
    return f"{package}.{name}".strip(".") if package else name


def _read(chain: tuple[str, ...], scope: Mapping[str, object], cells: Mapping[str, object], walk: Walk) -> bytes:
    """The value of a dotted name. Attributes of project modules are followed; anything else counts whole."""
    if chain[0] == "import":
        return _imported(chain[1:], walk)
    name, *attributes = chain
    if name in cells:
        value = cells[name]
        if value is MISSING:
            return _tagged("unset")
    elif name in scope:
        value = scope[name]
    elif hasattr(builtins, name):
        return _tagged("builtin", name.encode())
    else:
        return _tagged("unknown", name.encode())  # a local of an outer function, or a name that will fail when it is used
    return _attribute(value, attributes, name, walk)


def _imported(chain: tuple[str, ...], walk: Walk) -> bytes:
    name, *attributes = chain
    if is_library_module(name):
        return _tagged("module", name.encode())
    try:
        module = importlib.import_module(name)
    except ImportError:
        return _tagged("unknown", name.encode())
    return _attribute(module, attributes, name, walk) if attributes else _tagged("module", name.encode())


def _attribute(value: Any, attributes: list[str], name: str, walk: Walk) -> bytes:
    for attribute in attributes:
        if not isinstance(value, types.ModuleType) or is_library_module(value.__name__):
            break
        inner = getattr(value, attribute, MISSING)
        if inner is MISSING:
            try:
                inner = importlib.import_module(f"{value.__name__}.{attribute}")
            except ImportError:
                return _tagged("unknown", attribute.encode())
        value, name = inner, f"{name}.{attribute}"
    return walk.inside(name, value)


# Classes and objects


def of_class(cls: type, walk: Walk) -> bytes:
    """A class: a library's by name, the user's by bases, methods and attributes."""
    if is_library(cls) or cls.__module__ == "builtins":
        return _tagged("class", f"{cls.__module__}.{cls.__qualname__}".encode())
    return walk.once(cls, lambda: _class(cls, walk))


def _class(cls: type, walk: Walk) -> bytes:
    walk.path.append(cls.__qualname__)
    try:
        pieces = [cls.__qualname__.encode(), *(of_class(b, walk) for b in cls.__bases__), *_annotations(cls)]
        if issubclass(cls, enum.Enum):
            pieces += [_tagged("member", m.name.encode(), walk.inside(m.name, m.value)) for m in cls]
        for name, value in sorted(vars(cls).items()):
            if _counts(cls, name, value):
                pieces.append(_tagged("attribute", name.encode(), walk.inside(name, value)))
        return _tagged("class", *pieces)
    finally:
        walk.path.pop()


def _annotations(cls: type) -> list[bytes]:
    if hasattr(cls, "model_json_schema"):  # pydantic
        import json

        return [json.dumps(cls.model_json_schema(), sort_keys=True).encode()]
    return [f"{name}: {kind if isinstance(kind, str) else typing._type_repr(kind)}".encode() for name, kind in vars(cls).get("__annotations__", {}).items()]  # type: ignore[attr-defined]


def _counts(cls: type, name: str, value: object) -> bool:
    """Whether a class attribute is the user's: not what Python, dataclasses or pydantic write into every class."""
    plain = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    if isinstance(plain, types.FunctionType):
        return not plain.__code__.co_filename.startswith("<") or plain.__code__.co_filename.startswith("<ipython") or plain.__module__ == "__main__"
    if name in SKIPPED or (name.startswith("__") and name.endswith("__")) or isinstance(value, DESCRIPTORS) or type(value).__name__ == "_tuplegetter":
        return False
    return not (isinstance(value, cls) and issubclass(cls, enum.Enum)) and not (hasattr(cls, "model_json_schema") and name.startswith("model_"))


def of_object(value: Any, walk: Walk) -> bytes:
    """An object of a user's class: its class and its state. A library's object has no state that we know to read."""
    cls = type(value)
    if isinstance(value, logging.Logger):
        return _tagged("logger", value.name.encode())
    if isinstance(value, functools.cached_property):
        return _tagged("cached_property", walk.bytes_of(value.func))
    if typing.get_origin(value) is not None or cls.__module__ == "typing" or isinstance(value, types.UnionType):
        return _tagged("type", str(value).encode())
    if is_library(cls):
        return _polars_udf(value, walk)
    state = dict(getattr(value, "__dict__", {}))
    for slots in (vars(c).get("__slots__", ()) for c in cls.__mro__):
        state |= {s: getattr(value, s) for s in ([slots] if isinstance(slots, str) else slots) if s not in ("__dict__", "__weakref__") and hasattr(value, s)}
    strangers = [c for c in cls.__mro__ if is_library(c) and c.__module__ not in ("builtins", "abc", "typing", "enum", "collections.abc")]
    if strangers and not state:
        raise walk.refuse(value, f"its state lies in {strangers[0].__qualname__}, which cannot be read")
    held = [p for k, v in sorted(state.items()) for p in (k.encode(), walk.inside(k, v))]
    return _tagged("object", of_class(cls, walk), *held)


# Polars expressions with Python functions

_swap = threading.Lock()
MARKS = (b"PLPYFN", b"\x80\x04\x95", b"\x80\x05\x95", b"\xcc\x80\x04\xcc\x95", b"\xcc\x80\x05\xcc\x95")  # how serialised Python functions begin


def serialised(expr: pl.Expr, walk: Walk) -> tuple[bytes, list[object]]:
    """A polars expression as bytes without its Python functions, and these functions.

    Polars hands each function to a serialiser whose bytes hold paths and line numbers; ours takes the function and gives back a mark.
    """
    try:
        plain = bytes(expr.meta.serialize())
    except pl.exceptions.PolarsError:
        plain = MARKS[0]
    if not any(mark in plain for mark in MARKS):
        return plain, []
    met: list[object] = []
    try:
        import cloudpickle as serialiser
    except ImportError as exc:
        raise FingerprintError(f"a Python function inside the polars expression {expr} cannot be seen. Use df.map(...), or pip install cloudpickle.") from exc
    caller, original = threading.get_ident(), serialiser.dumps

    def take(value: object, *args: Any, **kwargs: Any) -> bytes:
        if threading.get_ident() != caller:
            return bytes(original(value, *args, **kwargs))
        met.append(value)
        return b"function %d" % len(met)

    with _swap:
        serialiser.dumps = take
        try:
            plain = bytes(expr.meta.serialize())
        finally:
            serialiser.dumps = original
    left = plain.replace(MARKS[0], b"") if met else plain
    if any(mark in left for mark in MARKS):
        raise walk.refuse(expr, "it holds a Python function that cannot be seen; use df.map(...) or df.map_batches(...) instead")
    return plain, met


def _polars_udf(value: Any, walk: Walk) -> bytes:
    """The wrapper that polars puts around a user's function; any other library's object is refused."""
    if type(value).__module__.startswith("polars.") and callable(getattr(value, "function", None)):
        return _tagged("polars function", *(p for k, v in sorted(vars(value).items()) for p in (k.encode(), walk.inside(k, v))))
    raise walk.refuse(value)
