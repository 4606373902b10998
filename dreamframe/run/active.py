"""The active session: which one a plan runs in, found from every thread and task of the process."""

from __future__ import annotations

import contextvars
import sys
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from dreamframe.errors import SettingError
from dreamframe.plan.step import Step

T = TypeVar("T")


class HasRepr(Protocol):
    """A session, as far as this file needs to know it: two names of one object, and something to show."""

    def __repr__(self) -> str: ...


class _Entry:
    """One `with session:` that has not ended."""

    __slots__ = ("_find", "is_left", "outer")

    def __init__(self, find: Callable[[], Any], outer: tuple[_Entry, ...]) -> None:
        self._find, self.outer = find, outer
        self.is_left = False  # by another context than the one that entered it

    @property
    def session(self) -> Any:
        """The session; None for one that is gone."""
        return None if self.is_left else self._find()

    def weak(self) -> _Entry:
        """The same for those who must not keep the session alive."""
        return _Entry(weakref.ref(self.session), ()) if self.session is not None else self


_here: contextvars.ContextVar[tuple[_Entry, ...]] = contextvars.ContextVar("dreamframe_sessions", default=())
_lock = threading.Lock()
_entries: list[_Entry] = []  # of all threads, in the order in which they were entered
_told: set[tuple[str, int, str]] = set()  # file, line and what was said there
_ran_in: WeakKeyDictionary[Step, Any] = WeakKeyDictionary()


def enter(session: HasRepr) -> None:
    """Make a session the active one of this context, and of the threads and tasks that have entered none."""
    outer = _here.get()
    entry = _Entry(lambda: session, outer)
    _here.set((*outer, entry))
    with _lock:
        _entries.append(entry)


def leave(session: HasRepr) -> None:
    """End the last `with` of this session; in the context that entered it, or, where that is another one, from here."""
    here = _here.get()
    own = [entry for entry in here if entry.session is session]
    with _lock:
        entry = own[-1] if own else next(e for e in reversed(_entries) if e.session is session)
        _entries.remove(entry)
    if own:
        _here.set(tuple(e for e in here if e is not entry))
    else:
        entry.is_left = True


def active() -> Any | None:
    """The innermost session of this context; else the innermost of the process; None where no session is active.

    Raises SettingError where other threads have entered several that are not one inside the other: nobody can know which of them is meant.
    """
    for entry in reversed(_here.get()):
        if (found := entry.session) is not None:
            return found
    with _lock:
        entries = list(_entries)
    if not entries:
        return None
    innermost = entries[-1]
    around = {id(innermost.session), *(id(e.session) for e in innermost.outer)}
    if any(id(e.session) not in around for e in entries):
        shown = ", ".join(dict.fromkeys(repr(e.session) for e in entries))
        raise SettingError(
            f"several sessions are active in this process ({shown}), and this thread or task has entered none of them. Say which one it belongs to: "
            "`with session:` around what it does."
        )
    return innermost.session


def lent(work: Callable[[], T]) -> T:
    """Do something in a context of its own, which other threads and tasks may inherit and keep: it finds the sessions as long as others have them."""

    def weakly() -> T:
        _here.set(tuple(entry.weak() for entry in _here.get()))
        return work()

    return contextvars.copy_context().run(weakly)


def tell_once(what: str) -> None:
    """Warn at the line of the user's that led here; once for each line, however often it runs."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).partition(".")[0] == "dreamframe":
        frame, level = frame.f_back, level + 1
    place = (frame.f_code.co_filename, frame.f_lineno, what)
    with _lock:
        is_new = place not in _told
        _told.add(place)
    if is_new:
        warnings.warn(what, stacklevel=level)


def remember(step: Step, session: HasRepr) -> None:
    """What was paid for of a plan was paid for in this session: after the `with`, it is read from there."""
    with _lock:
        _ran_in.update({node: session for node in step.walk() if node.is_expensive})


def last_of(step: Step) -> Any | None:
    """The session in which a plan, or the nearest part of it that was paid for, ran last."""
    with _lock:
        return next((found for node in reversed(step.walk()) if (found := _ran_in.get(node)) is not None), None)
