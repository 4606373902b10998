"""What decides how classes and objects behave: a class's methods, attributes, fields and annotations; an object's class and state.

A library's classes count by name. Objects of the standard library, of numpy and of pandas tell themselves what they are made of (the protocol behind
`copy.copy`); other libraries' objects are refused.
"""

from __future__ import annotations

import abc
import copyreg
import dataclasses
import enum
import functools
import json
import logging
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any

import polars as pl

from dreamframe.identity.functions import DESCRIPTORS
from dreamframe.identity.tagged import tagged
from dreamframe.identity.walk import Walk, by_name
from dreamframe.identity.whose_code import is_library, is_library_module, is_users

# What Python and libraries write into every class; what matters of it is read in another way.
SKIPPED = {
    *("__module__", "__dict__", "__weakref__", "__doc__", "__qualname__", "__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
    *("__slots__", "__parameters__", "__classcell__", "__classdictcell__", "__static_attributes__", "__firstlineno__", "__signature__", "__slotnames__"),
    *("__match_args__", "__dataclass_fields__", "__dataclass_params__", "__abstractmethods__", "_abc_impl"),
    *("_member_map_", "_member_names_", "_value2member_map_", "_hashable_values_", "_unhashable_values_", "_unhashable_values_map_"),
    *("_sort_order_", "_inverted_"),
    *("model_config", "model_fields", "model_computed_fields", "__class_vars__", "__private_attributes__"),
}
PLAIN_BASES = {"builtins.object", "abc.ABC", "typing.Generic", "typing.Protocol"}
TELLING = {"numpy", "pandas", "pydantic"}  # libraries whose objects may be taken apart
UNDEFINED = ("PydanticUndefinedType", "_Nothing")  # how pydantic and attrs say that there is no default


# Classes


def of_class(cls: type, walk: Walk) -> bytes:
    """A class: a library's by name, the user's by bases, methods, fields and attributes."""
    if not is_library(cls):
        with walk.where(is_lenient=walk.is_lenient or _works_outside(cls)):
            return walk.once(cls, lambda: _class(cls, walk))
    name = f"{cls.__module__}.{cls.__qualname__}"
    if issubclass(cls, pl.DataType):  # a type of columns, which plans hold too
        return tagged("class", name.encode())
    walk.check_name(name)
    return by_name("class", name, str(cls.__module__), walk)


def _works_outside(cls: type) -> bool:
    """Whether a class is a model's or a trainer's: these find keys and devices in the environment, write files and start programs."""
    return hasattr(cls, "pool_key") or (hasattr(cls, "train") and hasattr(cls, "resolve"))


def _class(cls: type, walk: Walk) -> bytes:
    walk.seen.users.append(cls)
    with walk.within(cls.__qualname__):
        pieces = [cls.__qualname__.encode(), *(of_class(b, walk) for b in (*cls.__bases__, type(cls)))]
        pieces += [tagged("annotation", n.encode(), walk.inside(n, kind)) for n, kind in vars(cls).get("__annotations__", {}).items()]
        if issubclass(cls, enum.Enum):
            pieces += [tagged("member", m.name.encode(), walk.inside(m.name, m.value)) for m in cls]
        steering: set[str] = set()
        for said in (_dataclass(cls, walk, steering), _attrs(cls, walk), _pydantic(cls, walk)):
            pieces += said
        pieces += [] if walk.is_lasting else _hidden_in(cls, walk)
        for name, value in sorted(vars(cls).items()):
            if name not in steering and _counts(cls, name, value):
                pieces.append(tagged("attribute", name.encode(), walk.inside(name, value)))
        return tagged("class", *pieces)


def _hidden_in(cls: type, walk: Walk) -> Iterator[bytes]:
    """What nobody wrote as an attribute, and decides all the same: other names of an enum's members, what registered with it, what `case` takes apart."""
    if issubclass(cls, enum.Enum) and (aliases := {name: m.name for name, m in cls.__members__.items() if name != m.name}):
        yield walk.inside("aliases", aliases)
    if registered := _registered(cls):
        yield walk.inside("registered", registered)
    written = {"__dataclass_fields__", "__attrs_attrs__", "_fields"} & set(vars(cls))
    if "__match_args__" in vars(cls) and not written:
        yield walk.inside("__match_args__", vars(cls)["__match_args__"])


def _registered(cls: type) -> list[str]:
    """The classes that count as this abstract one's without being derived of it, by name."""
    if not isinstance(cls, abc.ABCMeta):
        return []
    registry: Any = abc._get_dump(cls)[0]  # type: ignore[attr-defined]
    return sorted(f"{held.__module__}.{held.__qualname__}" for reference in registry if (held := reference()) is not None)


def _counts(cls: type, name: str, value: object) -> bool:
    """Whether a class attribute is the user's: not what Python, dataclasses, attrs or pydantic write into the class."""
    plain = value.__func__ if isinstance(value, staticmethod | classmethod) else value
    if isinstance(plain, types.FunctionType):
        written_by_attrs = "__attrs_attrs__" in vars(cls) and (plain.__code__.co_filename.startswith("<attrs generated") or _is_of_library(plain))
        return not (written_by_attrs or plain.__code__.co_qualname.startswith("__create_fn__."))
    if name in SKIPPED or name.startswith(("__pydantic_", "__attrs_")) or isinstance(value, DESCRIPTORS) or type(value).__name__ == "_tuplegetter":
        return False
    return not (issubclass(cls, enum.Enum) and (isinstance(value, cls) or name in cls.__members__))


def _is_of_library(function: types.FunctionType) -> bool:
    return is_library_module(str(function.__globals__.get("__name__")))


def _dataclass(cls: type, walk: Walk, steering: set[str]) -> Iterator[bytes]:
    """Fields and options of a dataclass but for its runtime fields, whose names go into `steering`: their defaults do not count."""
    if "__dataclass_params__" not in vars(cls):
        return
    yield repr(vars(cls)["__dataclass_params__"]).encode()
    for f in dataclasses.fields(cls):
        if f.metadata.get("runtime"):
            steering.add(f.name)
            continue
        said = (f.name, f.type, *(None if v is dataclasses.MISSING else (v,) for v in (f.default, f.default_factory)))
        noted = [] if walk.is_lasting else [walk.inside(f"{f.name}'s metadata", v) for v in f.metadata.values() if is_users(v)]
        yield tagged("field", walk.inside(f.name, said), str((f.init, f.repr, f.hash, f.compare, f.kw_only)).encode(), *noted)


def _attrs(cls: type, walk: Walk) -> Iterator[bytes]:
    for a in vars(cls).get("__attrs_attrs__", ()):
        default = (a.default.factory, a.default.takes_self) if type(a.default).__name__ == "Factory" else _defined(a.default)
        said = (a.name, a.type, default, a.validator, a.converter, a.on_setattr)
        yield tagged("field", walk.inside(a.name, said), str((a.init, a.repr, a.hash, a.eq, a.order, a.kw_only, a.alias)).encode())


def _pydantic(cls: type, walk: Walk) -> Iterator[bytes]:
    """Schema, settings, fields, validators and serialisers of a pydantic model or dataclass."""
    if "__pydantic_decorators__" not in vars(cls):
        return
    if hasattr(cls, "model_json_schema"):
        yield _schema_text(cls)
    yield walk.inside("model_config", dict(getattr(cls, "model_config", None) or getattr(cls, "__pydantic_config__", None) or {}))
    for name, field in (getattr(cls, "__pydantic_fields__", None) or {}).items():
        said = {k: _defined(v) for k, v in field._attributes_set.items() if k != "annotation"}
        yield tagged("field", name.encode(), walk.inside(name, (field.annotation, list(field.metadata), said)))
    for name, private in (vars(cls).get("__private_attributes__") or {}).items():
        yield tagged("private", name.encode(), walk.inside(name, (_defined(private.default), private.default_factory)))
    decorators = vars(cls)["__pydantic_decorators__"]
    for kind in sorted(vars(type(decorators)).get("__dataclass_fields__", {})):
        held = getattr(decorators, kind)
        for name, d in held.items() if isinstance(held, dict) else ():
            yield tagged(kind, name.encode(), walk.inside(name, (d.func, _said_by(d.info))))


def _schema_text(cls: Any) -> bytes:
    import pydantic

    try:
        return json.dumps(cls.model_json_schema(), sort_keys=True, default=str).encode()
    except pydantic.errors.PydanticUserError:  # a type that JSON Schema cannot say; its fields are read one by one
        return b""


def _said_by(info: Any) -> dict[str, Any]:
    return {f.name: _defined(getattr(info, f.name)) for f in dataclasses.fields(info)}


def _defined(value: Any) -> Any:
    return None if type(value).__name__ in UNDEFINED or (isinstance(value, enum.Enum) and value.name == "NOTHING") else (value,)


# Types that are not classes: list[int], Literal["a"], int | None


def is_type_form(value: Any) -> bool:
    return typing.get_origin(value) is not None or isinstance(value, types.UnionType) or type(value).__module__ == "typing"


def of_type_form(value: Any, walk: Walk) -> bytes:
    """By what it is made of, so that the classes in it are followed."""
    held: tuple[Any, ...] = typing.get_args(value)
    if isinstance(value, typing.TypeVar):
        held = (value.__bound__, value.__constraints__)
    elif isinstance(value, typing.NewType):
        held = (value.__supertype__,)
    origin = typing.get_origin(value)
    name = f"{getattr(origin, '__module__', '')}.{getattr(origin, '__qualname__', origin)}" if origin is not None else str(value)
    own = walk.bytes_of(origin) if isinstance(origin, type) else b""
    return walk.nested(value, lambda: tagged("type", name.encode(), own, *(walk.inside(name, v) for v in held)))


# Objects


def of_object(value: Any, walk: Walk) -> bytes:
    """An object: its class and its state."""
    cls = type(value)
    if isinstance(value, logging.Logger):
        return tagged("logger", value.name.encode())
    if cls.__name__ == "cython_function_or_method" and is_library_module(value.__module__):
        return by_name("library", f"{value.__module__}.{value.__qualname__}", value.__module__, walk)
    if is_library(cls) or cls.__name__ == "cython_function_or_method":
        return _of_library(value, walk)
    state = dict(state_of(value))
    held = [p for k, v in sorted(state.items()) for p in (k.encode(), walk.inside(k, v))]
    if any(is_library(c) and f"{c.__module__}.{c.__qualname__}" not in PLAIN_BASES for c in cls.__mro__):
        held += _inherited(value, walk)
    return tagged("object", of_class(cls, walk), *held)


def state_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Attributes, in the object's dict and in slots. What a cached property computed follows from the rest."""
    cls = type(value)
    for name, held in getattr(value, "__dict__", {}).items():
        if not isinstance(getattr(cls, name, None), functools.cached_property):
            yield name, held
    for owner in cls.__mro__:
        for name, member in vars(owner).items():
            if isinstance(member, types.MemberDescriptorType) and name not in ("__dict__", "__weakref__"):
                try:
                    yield f"{owner.__qualname__}.{name}", member.__get__(value, cls)
                except AttributeError:  # a slot that was not filled
                    continue


def _inherited(value: Any, walk: Walk) -> list[bytes]:
    """The state that an object of a user's class has from a library's base class."""
    if all(c.__module__ == "pydantic.main" for c in type(value).__mro__ if is_library(c) and c is not object):
        return []  # its state is fields and slots
    maker, arguments, state, *items = _told(value, walk)
    held = (arguments, None if maker is copyreg.__newobj__ else state, *items)  # type: ignore[attr-defined]  # else the state was read already
    return [tagged("inherited", *(walk.inside("state of a base class", v) for v in held))]


def _told(value: Any, walk: Walk) -> tuple[Any, ...]:
    """(maker, arguments, state, items, pairs): what an object says it is made of."""
    try:
        told = value.__reduce_ex__(2)
    except Exception as exc:
        raise walk.refuse(value, str(exc)) from exc
    if isinstance(told, str):
        return told, (), None, [], []
    made = [*told, None, None, None][:5]
    arguments = tuple(a for a in made[1] if a is not type(value)) if made[0] is copyreg.__newobj__ else made[1]  # type: ignore[attr-defined]
    return made[0], arguments, made[2], list(made[3] or ()), list(made[4] or ())


def _of_library(value: Any, walk: Walk) -> bytes:
    """An object of a library's class."""
    cls = type(value)
    name = f"{cls.__module__}.{cls.__qualname__}"
    if cls.__module__.startswith("polars.") and callable(getattr(value, "function", None)):  # what polars puts around a user's function
        return tagged("polars function", *(p for k, v in sorted(vars(value).items()) for p in (k.encode(), walk.inside(k, v))))
    if cls.__name__ == "ValidateCallWrapper" and name.startswith("pydantic.") and not walk.is_lasting:
        return _validated_call(value, walk)
    if name == "os._Environ" and not walk.is_lenient:
        raise walk.refuse(value, "read the variable outside and pass its value")
    if (known_as := "os.environ" if name == "os._Environ" else _name_in_library(value)) is not None:
        walk.check_name(known_as)
        return by_name("library", known_as, known_as, walk)
    top = name.partition(".")[0]
    if (top not in sys.stdlib_module_names and top not in TELLING) or hasattr(cls, "__next__"):
        raise walk.refuse(value)
    return walk.nested(value, lambda: parts_of_library_object(value, walk))


def _validated_call(value: Any, walk: Walk) -> bytes:
    """What pydantic puts around a function whose arguments it checks: the function, and the types and settings that they are checked by."""
    function = value.function
    config = getattr(getattr(value, "config_wrapper", None), "config_dict", None)
    settings = (getattr(value, "validate_return", None), dict(config or {}), dict(getattr(function, "__annotations__", {})))
    return by_name("checked call", type(value).__qualname__, "pydantic", walk, walk.bytes_of(function), walk.inside("types of arguments", settings))


def parts_of_library_object(value: Any, walk: Walk) -> bytes:
    """An object by its class and what it says it is made of."""
    return tagged("made of", of_class(type(value), walk), *(walk.inside(type(value).__name__, v) for v in _told(value, walk)))


def _name_in_library(value: Any) -> str | None:
    """The name of an object that its library keeps as a constant of its module (`polars.col`): it counts by name."""
    module = type(value).__module__
    for where in (module, module.split(".")[0]):
        for name, held in list(vars(sys.modules[where]).items()) if where in sys.modules else ():
            if held is value and where != "builtins":
                return f"{where}.{name}"
    return None
