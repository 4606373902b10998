"""One walk over a value, to its canonical bytes: what it met, where it is, what it may refuse; `encode`, with which values.py registers each kind."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from dreamframe.errors import FingerprintError
from dreamframe.identity import hidden_code
from dreamframe.identity.code_notes import CodeNotes
from dreamframe.identity.library_version import library_version
from dreamframe.identity.tagged import tagged
from dreamframe.identity.whose_code import OWN

WAY_OUT = "Wrap the function: dr.versioned(function, version=1, depends=[...]), and raise the version when its meaning changes."


class Walk:
    """One walk over a value: remembers functions, classes and objects that were met, so that they are written once and cycles end."""

    def __init__(self, around: Walk | None = None, *, is_lasting: bool = False) -> None:
        self._met: dict[int, int] = dict(around._met) if around else {}
        self._open: list[int] = around._open if around else []  # what the walk is inside of
        self._kept: list[object] = []  # keeps what was met alive, so that its id is not given to another
        self.path: list[str] = around.path if around else []
        self.seen: CodeNotes = around.seen if around else CodeNotes()
        self.is_lasting: bool = around.is_lasting if around else is_lasting  # libraries count by name alone, and no more is refused than ever
        self.is_lenient: bool = around.is_lenient if around else is_lasting  # in a model's class: it may find its key in the environment
        self.reads_paths: bool = around.reads_paths if around else False  # in `depends`: paths count by what they lead to

    def bytes_of(self, value: object) -> bytes:
        return encode(value, self)

    def inside(self, name: str, value: object) -> bytes:
        """The bytes of a part; `name` says where it was found, for errors."""
        self.path.append(name)
        try:
            return encode(value, self)
        finally:
            self.path.pop()

    def once(self, value: object, make: Callable[[], bytes]) -> bytes:
        """Bytes of what may hold itself and be held many times: in full at first, by number when it is met again."""
        if id(value) in self._met:
            return tagged("met", str(self._met[id(value)]).encode())
        self._met[id(value)] = len(self._met)
        self._kept.append(value)
        return make()

    def nested(self, value: object, make: Callable[[], bytes]) -> bytes:
        """Bytes of a container: the same for equal ones, shared or not. One that holds itself is written as its depth."""
        if id(value) in self._open:
            return tagged("within", str(self._open.index(id(value))).encode())
        self._open.append(id(value))
        try:
            return make()
        finally:
            self._open.pop()

    @contextlib.contextmanager
    def where(self, **ways: bool) -> Iterator[None]:
        """Other ways of walking, for a part."""
        before = {name: getattr(self, name) for name in ways}
        vars(self).update(ways)
        try:
            yield
        finally:
            vars(self).update(before)

    @contextlib.contextmanager
    def within(self, name: str) -> Iterator[None]:
        """In a function or a class of the user's: `name` says where, for errors. Paths in code are not what somebody declared to depend on."""
        self.path.append(name)
        try:
            with self.where(reads_paths=False):
                yield
        finally:
            self.path.pop()

    def check_name(self, name: str) -> None:
        """Raise FingerprintError for a library's name behind which code or values hide; notice one that reads files."""
        if name in hidden_code.FILES:
            self.seen.reads_files = True
        if (why := hidden_code.why_refused(name, is_lasting=self.is_lenient)) is not None:
            self.hide(name.removeprefix("builtins."), why)

    def hide(self, name: str, why: str) -> NoReturn:
        where = f" (in {' → '.join(self.path)})" if self.path else ""
        raise FingerprintError(f"{name}{where} {why}. {WAY_OUT}")

    def refuse(self, value: object, why: str = "") -> FingerprintError:
        kind = type(value)
        where = f" (found at {' → '.join(self.path)})" if self.path else ""
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return FingerprintError(f"a {name}{where} has no identity that another run could find again{why and ': ' + why}. {WAY_OUT}")


@functools.singledispatch
def encode(value: Any, walk: Walk) -> bytes:
    """The bytes of a value, by its type: values.py registers how each is written."""
    raise walk.refuse(value)


def version_of(module: str, walk: Walk) -> list[bytes]:
    """Which version of a library a module is of: nothing for Python's own and for dreamframe, whose steps have versions of their own."""
    top = module.partition(".")[0]
    if walk.is_lasting or top == OWN or not (version := library_version(top)):
        return []
    return [version.encode()]


def by_name(tag: str, name: str, module: str, walk: Walk, *held: bytes) -> bytes:
    """What is a library's: its name, and which version of the library it is of."""
    return tagged(tag, name.encode(), *held, *version_of(module, walk))
