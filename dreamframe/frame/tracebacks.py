"""What the traceback of an error shows: the user's own lines and the message, and none of the lines in between. DREAMFRAME_TRACEBACK=full shows all."""

from __future__ import annotations

import functools
import inspect
import os
import types
from collections.abc import Callable, Generator, Iterator
from typing import Any, TypeVar

import polars as pl

from dreamframe.errors import DreamframeError
from dreamframe.frame.calls import refuse_misfit
from dreamframe.identity.whose_code import OWN, is_library_module

T = TypeVar("T")
SAID_IN_FULL = (DreamframeError, pl.exceptions.PolarsError, pl.exceptions.PanicException, KeyboardInterrupt)  # their message is all that helps
SWITCH = "DREAMFRAME_TRACEBACK"


def short(function: Callable[..., T]) -> Callable[..., T]:
    """The same function, for users to call: what it raises on purpose has left our lines behind. Faults of ours keep all of them.

    >>> short(lambda text: text.upper())("tea")
    'TEA'
    """
    if getattr(function, "is_short", False):
        return function
    # as variables of the function: its globals are those of the one it stands for
    raised, leave_behind, going_on, refuse = SAID_IN_FULL, _leave_behind, _going_on, refuse_misfit
    call: Any
    if inspect.iscoroutinefunction(function):

        async def call(*args: Any, **kwargs: Any) -> Any:
            try:
                try:
                    return await function(*args, **kwargs)
                except TypeError as exc:
                    refuse(exc, function, args, kwargs)
                    raise
            except raised as exc:
                leave_behind(exc)
                raise  # which adds no line of this function

    else:

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                try:
                    made = function(*args, **kwargs)
                except TypeError as exc:
                    refuse(exc, function, args, kwargs)
                    raise
            except raised as exc:
                leave_behind(exc)
                raise
            return going_on(made)

    like: Any = functools.update_wrapper(types.FunctionType(call.__code__, _globals_of(function), None, None, call.__closure__), function)
    like.is_short = True
    return like  # type: ignore[no-any-return]


def short_in(cls: type[T]) -> type[T]:
    """Put `short` around every public method and property that a class itself defines, and around its `with`."""
    for name, held in list(vars(cls).items()):
        if name.startswith("_") and name != "__enter__":
            continue
        if isinstance(held, types.FunctionType):
            setattr(cls, name, short(held))
        elif isinstance(held, classmethod):
            setattr(cls, name, classmethod(short(held.__func__)))
        elif isinstance(held, property) and held.fget is not None:
            setattr(cls, name, property(short(held.fget), held.fset, held.fdel, held.__doc__))
    return cls


def short_when_made(cls: Any) -> Any:
    """Put `short` around the making of a class' values: settings are checked there. Anything but a class is given back as it is."""
    made = getattr(cls, "__init__", None)
    if isinstance(cls, type) and isinstance(made, types.FunctionType):
        setattr(cls, "__init__", short(made))  # noqa: B010  mypy knows no class that may have another
    return cls


def _globals_of(function: Any) -> dict[str, Any]:
    """Those of the function: doctest looks there for the module that it belongs to."""
    found: dict[str, Any] = inspect.unwrap(function).__globals__
    return found


def _going_on(made: Any) -> Any:
    """What a function gave; a generator's later errors are shortened as well."""
    return _iterated(made) if isinstance(made, types.GeneratorType) else made


def _iterated(items: Generator[T, None, None]) -> Iterator[T]:
    try:
        yield from items
    except SAID_IN_FULL as exc:
        _leave_behind(exc)
        raise


def _leave_behind(exc: BaseException) -> None:
    """Cut the traceback of an error, and of those that led to it, to the lines that the user wrote and what they called."""
    if os.environ.get(SWITCH) == "full":
        return
    if exc.__traceback__ is not None:
        exc.__traceback__ = exc.__traceback__.tb_next  # the first line is that of `short` itself
    seen: set[int] = set()
    waiting: list[BaseException | None] = [exc]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = _of_the_user(one.__traceback__)
        if isinstance(one, KeyboardInterrupt) and isinstance(one.__context__, KeyboardInterrupt):
            one.__context__ = None  # the first of two Ctrl-C says nothing that the second does not
        waiting += [one.__cause__, one.__context__]


def _of_the_user(trace: types.TracebackType | None) -> types.TracebackType | None:
    """From the first line of the user's on, without ours."""
    links: list[types.TracebackType] = []
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__"))
        if name.partition(".")[0] != OWN and (links or not is_library_module(name)):
            links.append(trace)
        trace = trace.tb_next
    made = None
    for link in reversed(links):
        made = types.TracebackType(made, link.tb_frame, link.tb_lasti, link.tb_lineno)
    return made
