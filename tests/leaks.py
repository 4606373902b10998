"""Looking for a key in all that a session shows and writes. What is looked for is decoded here by other means than the package's."""

from __future__ import annotations

import base64
import contextlib
import functools
import html
import io
import json
import re
import tarfile
import traceback
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

import dreamframe as dr
from dreamframe.run.bars_page import page
from dreamframe.run.board import Board
from dreamframe.run.drawing import drawn
from dreamframe.run.drawing import told as told_of

WINDOW = 8
ODD = 'cn"\\/+ =<&>%\'{9f8e7d6c5b4a'  # what JSON, addresses, pages and shells escape
ENCODED: dict[str, Callable[[str], str]] = {
    "plain": str,
    "json": lambda k: json.dumps({"key": k}),
    "json in json": lambda k: json.dumps(json.dumps({"key": k})),
    "unicode escapes": lambda k: "".join(f"\\u{ord(c):04x}" for c in k),
    "quoted": lambda k: urllib.parse.quote(k, safe=""),
    "quoted, lower hex": lambda k: "".join(f"%{ord(c):02x}" for c in k),
    "quoted twice": lambda k: urllib.parse.quote(urllib.parse.quote(k, safe="")),
    "quote_plus": urllib.parse.quote_plus,
    "base64": lambda k: base64.b64encode(k.encode()).decode(),
    "base64 of user and key": lambda k: base64.b64encode(f"me:{k}".encode()).decode(),
    "base64 of a header": lambda k: base64.b64encode(f"Bearer {k}".encode()).decode(),
    "base64url": lambda k: base64.urlsafe_b64encode(f"{k}?".encode()).decode().rstrip("="),
    "html": html.escape,
    "html numbers": lambda k: "".join(f"&#{ord(c)};" for c in k),
    "hex": lambda k: k.encode().hex(),
    "HEX": lambda k: k.encode().hex().upper(),
    "repr": lambda k: repr({"key": k}),
    "repr of bytes": lambda k: repr(k.encode()),
    "upper case": str.upper,
    "first half": lambda k: k[: len(k) // 2],
    "last half": lambda k: f"…{k[len(k) // 2 :]}",
    "two lines": lambda k: f"{k[:12]}\n{k[12:]}",
}


def leaks(key: str, text: str) -> list[str]:
    """The pieces of a key, of 8 characters or whole where it is shorter, that stand in a text in any encoding."""
    pieces = {key[i : i + WINDOW] for i in range(len(key) - WINDOW + 1)} or {key}
    return sorted({p for read in readings(text) for p in pieces if p in read})


def readings(text: str) -> Iterator[str]:
    """The text, and what its escapes and its long words mean."""
    seen = [text]
    for _ in range(3):
        last = seen[-1]
        seen.append(html.unescape(urllib.parse.unquote(_unescaped(last))))
        if seen[-1] == last:
            break
    yield from seen
    yield from (t.replace("+", " ") for t in seen)
    yield "\0".join(_decoded(word) for word in {w for t in seen for w in re.findall(r"[A-Za-z0-9+/_-]{10,}", t)})


@functools.lru_cache(1 << 14)  # most words of a report and of a folder stand in those of every test
def _decoded(word: str) -> str:
    """What a word means that may be base64 or hex."""
    found: list[str] = []
    for skipped in range(4):
        piece = word[skipped:].replace("-", "+").replace("_", "/")
        with contextlib.suppress(ValueError):
            found.append(base64.b64decode(piece[: len(piece) // 4 * 4]).decode("utf-8", "ignore"))
    with contextlib.suppress(ValueError):
        found.append(bytes.fromhex(word).decode("utf-8", "ignore"))
    return "\0".join(found)


def _unescaped(text: str) -> str:
    text = re.sub(r"\\x([0-9a-fA-F]{2})", lambda m: f"%{m[1]}", text)
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    return re.sub(r"\\([\"'\\/])", r"\1", text)


def told(error: BaseException, *, frames: bool = True) -> Iterator[str]:
    """Everything that an error says: itself, what led to it, their notes, arguments and attributes, and the frames of libraries as debuggers show them."""
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        exc = waiting.pop()
        if exc is None or any(exc is s for s in seen):
            continue
        seen.append(exc)
        waiting += [exc.__cause__, exc.__context__, *getattr(exc, "exceptions", ())]
        yield from (str(exc), repr(exc), repr(exc.args), repr(vars(exc)))
        yield from getattr(exc, "__notes__", ())
        for frame in traceback.TracebackException.from_exception(exc, capture_locals=True).stack:
            if frames and "/tests/" not in frame.filename:
                yield repr(frame.locals)
    yield "".join(traceback.format_exception(error))


def everything(folder: Path, frame: Callable[[], dr.Frame], *, logs: Callable[[], str] = lambda: "", **settings: Any) -> list[tuple[str, str]]:
    """Run a plan in a session, look at it in every way, and give all that was shown or written, each with its name."""
    shown: list[tuple[str, str]] = []
    out = io.StringIO()

    def show(name: str, look: Callable[[], object]) -> None:
        try:
            shown.append((name, str(look())))
        except Exception as exc:  # noqa: BLE001  whatever it says is what is looked at
            shown.extend((f"{name}: error", t) for t in told(exc))

    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with dr.Session(folder, progress=True, **settings) as session:
            try:
                df = frame()
            except Exception as exc:  # noqa: BLE001  as above
                return [("building", t) for t in told(exc)]
            show("collect", df.collect)
            shown.append(("progress", _rendered(session)))
            for name in ("explain", "show_graph", "_repr_html_", "card", "to_json", "show", "__repr__"):
                show(name, getattr(df, name))
            show("failures", lambda: df.failures().to_dicts())
            show("why", lambda: (str(df.why(0)), df.why(0)._repr_html_(), df.why(0).as_dict()))
            show("frames", lambda: (session.usage(by="step").rows(), session.answers().rows(), repr(session.steps()), session.runs().to_frame().rows()))
            show("answers", lambda: df.collect().to_dicts())
            show("step", lambda: repr(df.step))
            show("why_miss", lambda: session.why_miss(df.filter(pl.col("i") > 0)))
            show("summary", lambda: (session.summary(), session.usage(), session.as_dict(), repr(session)))
            show("events", lambda: [run.events() for run in session._running.stats])
            show("export", lambda: session.export(folder.parent / "run.tar"))
        with dr.Session(folder.parent / "other") as other, dr.Session(folder) as session:
            show("diff", lambda: repr(session.diff(other)))
    shown += [("terminal", out.getvalue()), ("log", logs()), ("warnings", "\n".join(str(w.message) for w in warned))]
    return shown + list(written(folder)) + list(written(folder.parent / "run.tar"))


def _rendered(session: dr.Session) -> str:
    from rich.console import Console

    console = Console(file=io.StringIO(), width=400)
    moments = [Board(run).look(0.0) for run in session._running.stats]
    for moment in moments:
        console.print(drawn(moment, 400, None))
    pages = [said for moment in moments for said in (page(moment), told_of(moment))]
    return "\n".join([console.file.getvalue(), *pages, session._repr_html_()])  # type: ignore[attr-defined]


def written(place: Path) -> Iterator[tuple[str, str]]:
    """The names and texts of all files of a folder or an archive."""
    if place.is_file():
        with tarfile.open(place) as tar:
            for member in tar:
                held = tar.extractfile(member)
                yield f"archive {member.name}", _text(held.read() if held else b"")
        return
    for path in place.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(place)), path.name + _text(path.read_bytes())


def _text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def check(key: str, shown: list[tuple[str, str]]) -> None:
    """No piece of the key stands anywhere."""
    found = [(name, pieces[:2], text[:3000]) for name, text in shown if (pieces := leaks(key, text))]
    assert found == [], json.dumps(found, indent=1)[:6000]
