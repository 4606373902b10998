"""What decides a function's results, as far as Python lets us see it: its code, constants, defaults, closure, and the names it really reads.

Code of installed libraries counts by name; code of the user's own project is followed, through helpers, modules, classes and decorators
(classes and objects: classes.py). Positions, comments, file names and unused globals do not count. What cannot be seen is refused.
"""

from __future__ import annotations

import builtins
import dis
import functools
import importlib
import importlib.util
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dreamframe.errors import FingerprintError
from dreamframe.identity import extensions, hidden_code
from dreamframe.identity.files import content_of
from dreamframe.identity.tagged import tagged
from dreamframe.identity.text_reads import named_in_texts
from dreamframe.identity.walk import Walk, by_name, version_of
from dreamframe.identity.whose_code import is_library_module, is_users

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}".encode()  # bytecode is of a minor version
DESCRIPTORS = (types.MemberDescriptorType, types.GetSetDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType)
MISSING = object()
LOADS_OUTER = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
PLAIN = {type(None), bool, int, float, complex, str, bytes, type(Ellipsis)}
LOADS_CELL = ("LOAD_DEREF", "LOAD_CLASSDEREF", "LOAD_FROM_DICT_OR_DEREF")


# Callables


def is_function_like(value: object) -> bool:
    """Whether a value is something callable that Python itself makes."""
    kinds = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType, functools.partial, staticmethod, classmethod, property)
    more = (types.ClassMethodDescriptorType, types.MethodWrapperType, types.DynamicClassAttribute, functools.cached_property, functools._lru_cache_wrapper)
    return isinstance(value, (*kinds, *more, *DESCRIPTORS))


def of_callable(value: Any, walk: Walk) -> bytes:
    """A function, a method, a partial, a descriptor, or a module that stands as a value."""
    if isinstance(value, types.FunctionType):
        return walk.once(value, lambda: _function(value, walk))
    if isinstance(value, types.MethodType):
        return tagged("method", walk.inside("self", value.__self__), walk.bytes_of(value.__func__))
    if isinstance(value, types.ModuleType):
        return _module(value, walk)
    if isinstance(value, functools._lru_cache_wrapper):
        return tagged("cache", str(value.cache_parameters()).encode(), walk.bytes_of(value.__wrapped__))
    if (held := _held(value)) is not None:
        return walk.nested(value, lambda: tagged("holder", walk.bytes_of(type(value)), *(walk.inside(type(value).__name__, v) for v in held)))
    owner = getattr(value, "__self__", None)
    if isinstance(value, types.BuiltinFunctionType | types.MethodWrapperType) and not isinstance(owner, types.ModuleType | None):
        return tagged("bound", value.__name__.encode(), walk.inside(f"self of {value.__name__}", owner))
    name = f"{getattr(value, '__module__', None) or getattr(value, '__objclass__', type(value)).__module__}.{value.__qualname__}"
    walk.check_name(name)
    return by_name("library", name, name, walk)


def _held(value: Any) -> tuple[Any, ...] | None:
    """What a partial or a descriptor is made of."""
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    if isinstance(value, staticmethod | classmethod):
        return (value.__func__,)
    if isinstance(value, property | types.DynamicClassAttribute):
        return value.fget, value.fset, value.fdel
    return (value.func,) if isinstance(value, functools.cached_property) else None


def _module(module: types.ModuleType, walk: Walk) -> bytes:
    if not is_library_module(module.__name__):
        if walk.reads_paths and (file := getattr(module, "__file__", None)):  # in `depends`: all that is written there
            path = Path(file)
            return tagged("module's files", content_of(path.parent if path.name == "__init__.py" else path).encode())
        raise walk.refuse(module, f"the module {module.__name__!r} is used as a value, so what is read of it cannot be seen")
    return _whole_module(module.__name__, walk)


def _whole_module(name: str, walk: Walk) -> bytes:
    """A library's module that stands by itself, with no name that is read of it."""
    if name in hidden_code.MODULES and not walk.is_lenient:
        walk.hide(f"the module {name!r} as a value", hidden_code.CODE)
    return by_name("module", name, name, walk)


def _function(function: types.FunctionType, walk: Walk) -> bytes:
    cells = _cells(function)
    where = str(function.__globals__.get("__name__", "__main__"))
    name = f"{where}.{function.__code__.co_qualname}"
    if is_library_module(where):  # by name; but what it closes over may be the user's
        walk.check_name(name)
        if where == "functools" and hasattr(function, "registry"):  # single dispatch keeps its functions there
            cells = {"registry": dict(function.registry)}
        return by_name("library", name, where, walk, *(walk.inside(f"closure {n!r}", v) for n, v in cells.items() if v is not MISSING))
    walk.seen.users.append(function)
    with walk.within(function.__qualname__):
        defaults = [walk.inside("defaults", v) for v in (function.__defaults__, function.__kwdefaults__)]
        own = {k: v for k, v in vars(function).items() if k != "__wrapped__"}
        code = of_code(function.__code__, Names(function.__globals__, cells), walk)
        return tagged("function", PYTHON, code, *defaults, walk.inside("attributes", own))


def _cells(function: types.FunctionType) -> dict[str, object]:
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not yet set
            found[name] = MISSING
    return found


# Code

Chain = tuple[str, ...]  # a dotted name


class Names(NamedTuple):
    """What the names of a code object stand for."""

    scope: Mapping[str, object]  # globals
    cells: Mapping[str, object]  # closure
    imported: Mapping[str, frozenset[Chain]] = types.MappingProxyType({})  # imports in the bodies of the function and of those around it

    def within(self, code: types.CodeType, imported: Mapping[str, frozenset[Chain]]) -> Names:
        """The names as a code object inside sees them."""
        free = {n: self.cells[n] for n in code.co_freevars if n in self.cells}
        return Names(self.scope, free, {n: imported[n] for n in code.co_names + code.co_freevars if n in imported})


class Read(NamedTuple):
    """A dotted name that a code object takes from outside."""

    kind: str  # "global", "cell", "local" (a module imported in the body), "import" or "from"
    chain: Chain


class Written(NamedTuple):
    """What a code object is by itself, whatever its names stand for."""

    pieces: tuple[bytes, ...]  # its shape, the names in it, its instructions, its table of exceptions
    constants: tuple[bytes | None, ...]  # None: one that may hold more than itself
    steps: tuple[tuple[str, Any], ...]
    reads: tuple[Read, ...] | None  # None where it imports: what it reads depends on where it stands
    asks_names: bool


def of_code(code: types.CodeType, names: Names, walk: Walk) -> bytes:
    """A code object: its instructions and constants, and the values of the names that it takes from outside."""
    written = _written(code)
    imports, bound = _imports(written.steps, names.scope) if written.reads is None else ([], {})
    imported = {**names.imported, **bound}
    constants = [
        made if made is not None else of_code(c, names.within(c, imported), walk) if isinstance(c, types.CodeType) else walk.bytes_of(c)
        for c, made in zip(code.co_consts, written.constants, strict=True)
    ]
    if not (walk.is_lasting or code.co_qualname.startswith("__create_fn__.")):  # what dataclasses wrote
        _notice(code, written, walk)
    found = sorted({*imports, *_reads(written.steps, imported)}) if imported or written.reads is None else written.reads
    reads = [tagged("read", f"{r.kind} {'.'.join(r.chain)}".encode(), _value(r, names._replace(imported=imported), walk)) for r in found]
    added = [] if walk.is_lasting else [walk.inside(name, v) for name, v in _unseen(code, names)]
    return tagged("code", *written.pieces, *constants, *reads, *added)


def _written(code: types.CodeType) -> Written:
    """Taken apart once: a code object never changes, and equal ones say the same."""
    try:
        return _taken_apart(code)
    except TypeError:  # somebody put a constant into it that has no hash
        return _taken_apart.__wrapped__(code)


@functools.lru_cache(maxsize=4096)
def _taken_apart(code: types.CodeType) -> Written:
    shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    spelled = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    walk, steps = Walk(), tuple(_steps(code))
    return Written(
        pieces=(walk.bytes_of(shape), walk.bytes_of(spelled), code.co_code, getattr(code, "co_exceptiontable", b"")),
        constants=tuple(walk.bytes_of(c) if _is_plain(c) else None for c in code.co_consts),
        steps=steps,
        reads=None if any(op == "IMPORT_NAME" for op, _ in steps) else tuple(sorted({*_reads(steps, {})})),
        asks_names=any(op in ("LOAD_ATTR", "LOAD_METHOD") and arg in hidden_code.TELLING_NAMES for op, arg in steps),
    )


def _is_plain(constant: object) -> bool:
    """Whether a constant is nothing but its value."""
    kind = type(constant)
    return kind in PLAIN or (kind in (tuple, frozenset) and all(map(_is_plain, constant)))  # type: ignore[call-overload]


def _unseen(code: types.CodeType, names: Names) -> Iterator[tuple[str, object]]:
    """Further values that a code object reads: through names on tables, and through names in texts."""
    yield from extensions.read_by(code.co_names, names.scope)
    yield from ((name, names.scope[name]) for name in named_in_texts(code, names.scope))


def _notice(code: types.CodeType, written: Written, walk: Walk) -> None:
    """What names alone tell, whatever they are read of."""
    names = set(code.co_names)
    if (hidden := sorted(names & hidden_code.ATTRIBUTES)) and not walk.is_lenient:
        walk.hide(hidden[0], hidden_code.CODE)
    walk.seen.asks_names |= written.asks_names or not names.isdisjoint(hidden_code.TELLING_FUNCTIONS)
    walk.seen.reads_files |= not names.isdisjoint(hidden_code.FILE_ATTRIBUTES) and not walk.is_lenient


def _steps(code: types.CodeType) -> Iterator[tuple[str, Any]]:
    """Instructions as (name, argument); those that Python melted together (from 3.13 on) taken apart, and cells for a function within called what they were."""
    cells = {*code.co_cellvars, *code.co_freevars}
    for i in dis.get_instructions(code):
        if isinstance(i.argval, tuple) and "_FAST" in i.opname and len(kinds := re.findall("LOAD|STORE", i.opname)) == len(i.argval):
            for kind, name in zip(kinds, i.argval, strict=True):
                yield "LOAD_CLOSURE" if kind == "LOAD" and name in cells else f"{kind}_FAST", name
        elif i.opname == "LOAD_FAST" and i.argval in cells:
            yield "LOAD_CLOSURE", i.argval
        elif i.opname != "EXTENDED_ARG":
            yield i.opname, i.argval


def _imports(steps: Sequence[tuple[str, Any]], scope: Mapping[str, object]) -> tuple[list[Read], dict[str, frozenset[Chain]]]:
    """What a code object imports, and the variables that stand for it: the module, or the module and a name in it."""
    reads: list[Read] = []
    bound: dict[str, frozenset[Chain]] = {}
    module, names = "", None
    waiting: Chain | None = None
    for i, (op, arg) in enumerate(steps):
        if op == "IMPORT_NAME":
            module, names = _absolute(str(arg), steps[i - 2][1], scope), steps[i - 1][1]
            waiting = None if names else (module.split(".")[0],)
            reads.append(Read("import", (module,)))
        elif op == "IMPORT_FROM" and names:
            waiting = (module, str(arg))
            reads.append(Read("from", waiting))
        elif op == "IMPORT_FROM":  # import a.b as c: the whole of it is bound
            waiting = (module,)
        elif op.startswith("STORE_") and waiting is not None:
            bound[str(arg)] = bound.get(str(arg), frozenset()) | {waiting}
            waiting = None
    return reads, bound


def _absolute(name: str, level: Any, scope: Mapping[str, object]) -> str:
    if not level:
        return name
    package = scope.get("__package__") or str(scope.get("__name__", "")).rpartition(".")[0]
    return importlib.util.resolve_name("." * level + name, str(package))


def _reads(steps: Sequence[tuple[str, Any]], imported: Mapping[str, object]) -> Iterator[Read]:
    kind = ""
    chain: list[str] = []
    for op, arg in steps:
        if chain and op in ("LOAD_ATTR", "LOAD_METHOD"):
            chain.append(str(arg))
            continue
        if chain:
            yield Read(kind, tuple(chain))
        chain = [str(arg)]
        if op in LOADS_OUTER:
            kind = "global"
        elif op in LOADS_CELL:
            kind = "cell"
        elif op.startswith("LOAD_FAST") and arg in imported:
            kind = "local"
        else:
            chain = []
    if chain:
        yield Read(kind, tuple(chain))


def _value(read: Read, names: Names, walk: Walk) -> bytes:
    """The value of a dotted name. Attributes of project modules are followed; anything else counts whole."""
    name, *attributes = read.chain
    if read.kind == "import":
        return by_name("module", name, name, walk) if is_library_module(name) else tagged("module", name.encode())
    if read.kind == "from":
        return _of_module(name, attributes, walk, is_bound=True)
    if name == "__builtins__" and read.kind == "global" and not walk.is_lenient:
        walk.hide(name, hidden_code.CODE)
    if name in names.imported:
        held = [_of_module(c[0], [*c[1:], *attributes], walk) for c in sorted(names.imported[name])]
        return tagged("imported", *held)
    value = names.cells.get(name, MISSING) if read.kind == "cell" else names.scope.get(name, MISSING)
    if value is not MISSING:
        return _attribute(value, attributes, name, walk)
    if read.kind == "global" and hasattr(builtins, name):
        return walk.inside(name, getattr(builtins, name))
    return tagged("unknown", name.encode())  # a variable of a function around it, or a name that will fail when it is used


def _of_module(name: str, attributes: list[str], walk: Walk, *, is_bound: bool = False) -> bytes:
    """What an import gives. A project's module that is bound to a variable counts by what is then read of it."""
    if is_library_module(name):  # not imported here: it may be large
        return _of_library(name, attributes, walk)
    try:
        module = importlib.import_module(name)
    except ImportError:
        return tagged("unknown", name.encode())
    except Exception as exc:
        raise FingerprintError(f"{' → '.join(walk.path)}: importing {name} failed: {type(exc).__name__}: {exc}") from exc
    return _attribute(module, attributes, name, walk, is_bound=is_bound)


def _attribute(value: Any, attributes: list[str], name: str, walk: Walk, *, is_bound: bool = False) -> bytes:
    for attribute in attributes:
        if not isinstance(value, types.ModuleType):
            break
        inner = getattr(value, attribute, MISSING)
        if is_library_module(value.__name__):
            walk.check_name(f"{value.__name__}.{attribute}")
            if not isinstance(inner, types.ModuleType):
                return _read_of_library(value.__name__, attribute, inner, walk)
        if inner is MISSING:
            try:
                inner = importlib.import_module(f"{value.__name__}.{attribute}")
            except ImportError:
                return tagged("unknown", attribute.encode())
        value, name = inner, f"{name}.{attribute}"
    if is_bound and isinstance(value, types.ModuleType):
        where = value.__name__
        return by_name("module", where, where, walk) if is_library_module(where) else tagged("module", where.encode())
    return walk.inside(name, value)


def _of_library(name: str, attributes: list[str], walk: Walk) -> bytes:
    """What is read of a library's module that is imported in the body: by the module's name, loaded or not, and what the user put into it."""
    for n in range(len(attributes) + 1):
        walk.check_name(".".join([name, *attributes[:n]]))
    if not attributes:
        return _whole_module(name, walk)
    value: Any = sys.modules.get(name)
    for attribute in attributes:
        if isinstance(value, types.ModuleType):
            value = vars(value).get(attribute)
    walk.seen.reads_files |= not walk.is_lenient and hidden_code.is_reader(attributes[-1]) and bool(version_of(name, walk))
    held = [walk.inside(name, value)] if not walk.is_lasting and is_users(value) else []
    return by_name("module", name, name, walk, *held)


def _read_of_library(module: str, name: str, value: Any, walk: Walk) -> bytes:
    """What is read of a library's module: by the module's name; and what a program may have put into it, its own code or a setting."""
    if walk.is_lasting:
        return tagged("module", module.encode())
    version = version_of(module, walk)
    walk.seen.reads_files |= bool(version) and not walk.is_lenient and hidden_code.is_reader(name)
    counts = is_users(value) or (version and isinstance(value, str | int | float | None))
    if callable(value) and isinstance(own := getattr(value, "__qualname__", None), str):
        walk.check_name(f"{getattr(value, '__module__', '')}.{own}")
    return tagged("module", module.encode(), *([walk.inside(name, value)] if counts else []), *version)
