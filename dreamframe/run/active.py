"""The active session: which one a plan runs in, found from every thread and task of the process."""

from __future__ import annotations

import atexit
import contextvars
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

from dreamframe.errors import SettingError
from dreamframe.plan.optimizer.choice import Optimize
from dreamframe.plan.step import ModelStep, Step
from dreamframe.redaction.visible import in_line

if TYPE_CHECKING:
    import polars as pl

    from dreamframe.models.base import Artefact
    from dreamframe.plan.estimate import Looked
    from dreamframe.run.why.accounts import Told
    from dreamframe.run.why.story import RowStory
    from dreamframe.store.sources import SourceContext

T = TypeVar("T")
DEFAULT_FOLDER = ".dreamframe"


class Ledger(Protocol):
    """What verbs that compare and tune look up in a session, and put down there."""

    def asked(self, plan: Step) -> Told: ...

    def find(self, key: str, schema: Mapping[str, Any]) -> pl.DataFrame | None: ...

    def keep(self, key: str, label: str, describe: str, rows: pl.DataFrame, *, kind: str) -> None: ...


class ActiveSession(Protocol):
    """What frames, models and data sets need of the session that they run in; `session/` has the one there is."""

    @property
    def source_context(self) -> SourceContext:
        """Where the rows of sources that are far away are kept."""
        ...

    def collect(self, step: Step, **settings: Any) -> pl.DataFrame: ...

    def collect_all(self, steps: Sequence[Step], **settings: Any) -> list[pl.DataFrame]: ...

    async def collect_async(self, step: Step, **settings: Any) -> pl.DataFrame: ...

    def batches(self, step: Step, **settings: Any) -> Iterator[pl.DataFrame]: ...

    def fit(self, step: ModelStep, **settings: Any) -> Artefact: ...

    def looked(self, step: Step, *, optimize: Optimize = True) -> Looked: ...

    def estimate(self, *steps: Step, **settings: Any) -> Looked: ...

    def failures(self, step: Step) -> pl.DataFrame: ...

    def why(self, step: Step, row: int | pl.Expr, *, most: int) -> RowStory: ...

    @property
    def ledger(self) -> Ledger:
        """What plans asked, request by request, and results that verbs keep."""
        ...

    def training_record(self, step: ModelStep) -> dict[str, Any]: ...

    def usage(self, *, of: Step) -> dict[str, Any]: ...

    def card(self, step: Step, *, repo: str | None = None, n_rows: int | None = None) -> str: ...

    def published(self, step: Step) -> dict[str, bytes]: ...

    def close(self) -> None: ...


class _Entry:
    """One `with session:` that has not ended."""

    __slots__ = ("_find", "is_left", "outer")

    def __init__(self, find: Callable[[], Any], outer: tuple[_Entry, ...]) -> None:
        self._find, self.outer = find, outer
        self.is_left = False  # by another context than the one that entered it

    @property
    def session(self) -> ActiveSession | None:
        """The session; None for one that is gone."""
        return None if self.is_left else self._find()

    def weak(self) -> _Entry:
        """The same for those who must not keep the session alive."""
        return _Entry(weakref.ref(self.session), ()) if self.session is not None else self


_here: contextvars.ContextVar[tuple[_Entry, ...]] = contextvars.ContextVar("dreamframe_sessions", default=())
_lock = threading.Lock()
_entries: list[_Entry] = []  # of all threads, in the order in which they were entered
_told: set[tuple[str, int, str]] = set()  # file, line and what was said there
_ran_in: WeakKeyDictionary[Step, ActiveSession] = WeakKeyDictionary()
_open: list[Callable[[Path], ActiveSession]] = []  # one: what makes a session of a folder
_used: list[ActiveSession] = []  # at most one: the session of the whole process, outside every `with`
_defaults: dict[Path, ActiveSession] = {}  # sessions that nobody made: of the working directories so far


def open_with(make: Callable[[Path], ActiveSession]) -> None:
    """Say what makes a session of a folder, for plans that run where none is active: the package says it, when it is imported."""
    _open[:] = [make]


def enter(session: ActiveSession) -> None:
    """Make a session the active one of this context, and of the threads and tasks that have entered none."""
    outer = _here.get()
    entry = _Entry(lambda: session, outer)
    _here.set((*outer, entry))
    with _lock:
        _entries.append(entry)


def leave(session: ActiveSession) -> None:
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


def use(session: ActiveSession) -> ActiveSession | None:
    """Make a session the one of the whole process, outside every `with`. Gives the one that was it before."""
    with _lock:
        before = _used[0] if _used else None
        _used[:] = [session]
    return before


def no_longer_use(session: ActiveSession) -> bool:
    """End `use`. Whether it was this session that was used."""
    with _lock:
        was = any(session is one for one in _used)
        if was:
            _used.clear()
    return was


def active() -> ActiveSession | None:
    """The innermost session of this context; else the innermost of the process; else the one in use; None where no session is active.

    Raises SettingError where other threads have entered several that are not one inside the other: nobody can know which of them is meant.
    """
    for entry in reversed(_here.get()):
        if (found := entry.session) is not None:
            return found
    with _lock:
        entries, used = list(_entries), _used[0] if _used else None
    if not entries:
        return used
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


def remember(step: Step, session: ActiveSession) -> None:
    """What was paid for of a plan was paid for in this session: after the `with`, it is read from there."""
    with _lock:
        _ran_in.update({node: session for node in step.walk() if node.is_expensive})


def last_of(step: Step) -> ActiveSession | None:
    """The session in which a plan, or the nearest part of it that was paid for, ran last."""
    with _lock:
        return next((found for node in reversed(step.walk()) if (found := _session_of(node)) is not None), None)


def _session_of(node: Step) -> ActiveSession | None:
    """The session in which a step ran last; of one that is cited since, that of the step as it was."""
    found = _ran_in.get(node)
    while found is None and node.cited and node.made_from is not None:
        node = node.made_from
        found = _ran_in.get(node)
    return found


def current(*plans: Step) -> ActiveSession:
    """The active session; else the one in which these plans, or the nearest part of them, ran last; else the default one of the working directory."""
    innermost = active()
    if innermost is not None:
        return innermost
    for plan in plans:
        found = last_of(plan)
        if found is not None:
            if all(found is not s for s in _defaults.values()):
                tell_once(f"no session is active: {in_line(plan.label)} is read from {found!r}, where it ran last")
            return found
    folder = Path(DEFAULT_FOLDER).absolute()
    with _lock:
        if folder not in _defaults:
            _defaults[folder] = _open[0](folder)
        return _defaults[folder]


@atexit.register
def _close_all() -> None:
    for session in (*_used, *_defaults.values()):
        session.close()
