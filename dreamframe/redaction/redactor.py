"""Takes secrets out of texts, in whatever form they stand there: plain, escaped, encoded, cut off at either end."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from dreamframe.redaction.secret import MASK

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)
WINDOW = 8  # characters of a secret that are worth hiding
SHORTEST = 3  # a secret of fewer characters may stand anywhere, and is not a secret
ROUNDS = 3  # escapes inside escapes: JSON in JSON, a quoted address in a quoted address
LARGE = 1 << 20  # bytes; larger replies are searched for whole secrets alone
ESCAPE = re.compile(
    r"%[0-9a-f]{2}|\\u\{[0-9a-f]{1,6}\}|\\u[0-9a-f]{4}|\\U[0-9a-f]{8}|\\x[0-9a-f]{2}|\\[0-7]{3}|\\[\"'\\/bfnrt]"
    r"|&#\d{1,7};|&#x[0-9a-f]{1,6};|&(?:amp|lt|gt|quot|apos|nbsp|sol|plus|equals|num|lowbar|hyphen|colon|commat|excl|percnt|dollar|period|comma);",
    re.IGNORECASE,
)
BETWEEN = re.compile(r"[\0\s:]+|\xc2\xad|\xe2\x80[\x8b-\x8f]|\xef\xbb\xbf")  # what may stand between any two: UTF-16, wrapped lines, 5a:71, signs without width
NAMES = ("object", "errno", "reason", "filename", "filename2", "strerror", "text", "msg")  # where built-in errors keep what they are about
ASCII_ESCAPE = re.compile(r"\\u00[2-7][0-9a-fA-F]")
LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
Spans = Sequence[tuple[int, int]]  # of each character in the text that is redacted


class Redactor:
    """`secrets` are known to be secret: every piece of one goes, from 8 characters on. `guesses` may be (the environment calls them so): a piece of one
    that reads like words stays.

    >>> Redactor(["sk-abc123def456"]).text("refused: Bearer sk-abc123def456, or sk%2Dabc123def456, or sk-abc123…")
    'refused: Bearer ***, or ***, or ***…'
    """

    def __init__(self, secrets: Iterable[str], guesses: Iterable[str] = ()) -> None:
        known, maybe = (dict.fromkeys(form for s in held for form in (str(s), str(s).strip())) for held in (secrets, guesses))
        self._given = tuple(known), tuple(maybe)
        pieces = [s for s in known if len(s) >= WINDOW] + [s for s in maybe if is_random(s)]
        whole = [s for s in known if SHORTEST <= len(s) < WINDOW] + [s for s in maybe if len(s) >= WINDOW and not is_random(s)]
        self._windows = frozenset(w for s in pieces for form in forms_of(s) for w in _windows(form))
        self._grams = frozenset(w[i : i + 4] for w in self._windows for i in range(5))
        others = sorted({form for s in whole for form in _whole_forms(s)}, key=len, reverse=True)
        self._whole = re.compile(f"(?<![a-z0-9])(?:{'|'.join(map(re.escape, others))})(?![a-z0-9])") if others else None
        self._all_forms = tuple({form.lower() for s in (*pieces, *whole) if is_no_word(s) for form in forms_of(s)})
        self._certain = tuple({form for s in known if is_random(s) and len(s) >= 2 * WINDOW for form in forms_of(s)})

    @functools.cached_property
    def _escaped(self) -> tuple[re.Pattern[str], ...]:
        """The same forms, any of their characters written as JSON may: `\\u005a` or `Z`."""
        spelled = ("".join(f"(?:{re.escape(c)}|(?i:\\\\u00{ord(c):02x}))" for c in form) for form in self._certain)
        return tuple(map(re.compile, spelled))

    def over(self, other: Redactor) -> Redactor:
        """One that hides what either hides."""
        return redactor(*(tuple(dict.fromkeys((*mine, *theirs))) for mine, theirs in zip(self._given, other._given, strict=True)))

    def __bool__(self) -> bool:
        """Whether there is anything to hide."""
        return bool(self._windows or self._whole)

    def text(self, text: str) -> str:
        """The text with stars for the secrets in it."""
        if not (self._windows or self._whole):
            return text
        found = sorted(span for layer, spans in _layers(text) for span in self._hits(layer, spans))
        if not found:
            return text
        out, at = [], 0
        for start, end in _joined(found):
            out += [text[at:start], MASK]
            at = end
        return "".join([*out, text[at:]])

    def _hits(self, layer: str, spans: Spans | None) -> Iterator[tuple[int, int]]:
        """Where pieces of secrets stand."""
        n = len(layer)
        places: list[tuple[int, int]] = []
        if not self._grams.isdisjoint(layer[i : i + 4] for i in range(0, n - 3, 4)):  # a piece of 8 covers one of these whole
            places = [(i, i + WINDOW) for i in range(n - WINDOW + 1) if layer[i : i + WINDOW] in self._windows]
        if self._whole is not None:
            places += [m.span() for m in self._whole.finditer(layer)]
        return (p if spans is None else (spans[p[0]][0], spans[p[1] - 1][1]) for p in places)

    def holds(self, text: str) -> bool:
        """Whether a secret stands in it, whole, in any form. One that may be a word may stand anywhere."""
        layer = _bytes_of(text)
        for _ in range(ROUNDS):
            if any(form in layer for form in self._all_forms):
                return True
            before, layer = layer, ESCAPE.sub(lambda m: _meant(m[0]), layer).lower()
            if layer == before:
                return False
        return any(form in layer for form in self._all_forms)

    def data(self, body: bytes) -> bytes:
        """The bytes of a text with stars for the secrets in it."""
        if len(body) > LARGE:
            return self.answer(body)
        if not self:
            return body
        return self.text(body.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def answer(self, body: bytes) -> bytes:
        """The bytes of an answer without the whole of a secret that nobody could mean as words."""
        text = shown = body.decode("latin-1")  # a character a byte: texts are searched in half the time of bytes
        for form in self._certain:
            if form in text:
                text = text.replace(form, MASK)
        if "\\u00" in text and ASCII_ESCAPE.search(text):  # JSON needs it for no letter and no digit
            for escaped in self._escaped:
                text = escaped.sub(MASK, text)
        return body if text == shown else text.encode("latin-1")

    def value(self, value: T) -> T:
        """Lists, tuples and dicts with stars for the secrets in their texts."""
        return self._value(value) if self else value

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes):
            return self.data(value)
        if isinstance(value, Mapping) and type(value) is dict:
            return {self._value(k): self._value(v) for k, v in value.items()}
        if isinstance(value, tuple) and hasattr(value, "_make"):
            return type(value)._make(map(self._value, value))
        return type(value)(map(self._value, value)) if type(value) in (list, tuple, set, frozenset) else value

    def error(self, error: E) -> E:
        """The error, its notes and everything that led to it, without secrets; changed in place. What led to it and cannot be cleaned is named in words."""
        if not self:
            return error
        met: dict[int, BaseException] = {id(error): error}  # by the id of what stood there
        waiting: list[BaseException] = [error]
        kept: list[BaseException] = []  # alive, so that no id is given twice
        while waiting:
            exc = waiting.pop()
            self._clean(exc)
            for name in ("__cause__", "__context__"):
                if (below := getattr(exc, name)) is None:
                    continue
                if id(below) not in met:
                    kept.append(below)
                    met[id(below)] = made = self._instead(below)
                    waiting.append(made)
                hides_context = exc.__suppress_context__
                setattr(exc, name, met[id(below)])
                exc.__suppress_context__ = hides_context
            inner = [e for e in getattr(exc, "exceptions", ()) if id(e) not in met]
            met |= {id(e): e for e in inner}
            waiting += inner
        return error

    def cause(self, exc: BaseException) -> BaseException:
        """What led to an error of ours, to be named by it: without secrets, and without the places where the library that raised it held them."""
        return self.error(self._instead(exc)).with_traceback(None) if self else exc

    def _clean(self, exc: BaseException) -> None:
        if (args := self._value(exc.args)) != exc.args:
            exc.args = args
        for name in (*vars(exc), *NAMES):  # notes too
            held = getattr(exc, name, None)
            if (clean := self._value(held)) is not held and clean != held:
                setattr(exc, name, clean)

    def _instead(self, exc: BaseException) -> BaseException:
        """The error itself, or one that says the same, where something that cannot be changed would show a secret."""
        self._clean(exc)
        shown = f"{exc!r} {exc} {vars(exc)!r}"
        if self.text(shown) == shown:
            return exc
        made = RuntimeError(self.text(f"{type(exc).__name__}: {exc}"))
        made.__cause__, made.__context__ = exc.__cause__, exc.__context__
        return made


def _layers(text: str) -> Iterator[tuple[str, Spans | None]]:
    """The text's UTF-8 bytes as characters, in lower case; what its escapes mean, and theirs; at last without what stands between any two.

    With where each character came from."""
    spans: Spans | None = None
    layer = _bytes_of(text)
    if not text.isascii():
        lengths = (len(c.encode("utf-8", "surrogatepass")) for c in text)
        spans = [(i, i + 1) for i, n in enumerate(lengths) for _ in range(n)]
    yield layer, spans
    for _ in range(ROUNDS):
        if not ESCAPE.search(layer):
            break
        layer, spans = _unescaped(layer, spans or [(i, i + 1) for i in range(len(layer))])
        yield layer, spans
    if BETWEEN.search(layer):
        yield _squeezed(layer, spans or [(i, i + 1) for i in range(len(layer))])


def _bytes_of(text: str) -> str:
    return text.lower() if text.isascii() else text.encode("utf-8", "surrogatepass").decode("latin-1").lower()


def _unescaped(layer: str, spans: Spans) -> tuple[str, Spans]:
    out: list[str] = []
    where: list[tuple[int, int]] = []
    at = 0
    for m in ESCAPE.finditer(layer):
        meant = _meant(m[0])
        out += [layer[at : m.start()], meant]
        where += spans[at : m.start()]
        where += [(spans[m.start()][0], spans[m.end() - 1][1])] * len(meant)
        at = m.end()
    return ("".join([*out, layer[at:]])).lower(), [*where, *spans[at:]]


def _squeezed(layer: str, spans: Spans) -> tuple[str, Spans]:
    """The layer without what stands between its characters."""
    kept: list[tuple[int, int]] = []
    at = 0
    for m in BETWEEN.finditer(layer):
        kept += spans[at : m.start()]
        at = m.end()
    return BETWEEN.sub("", layer), [*kept, *spans[at:]]


def _meant(escape: str) -> str:
    """The bytes, as characters, that an escape stands for."""
    if escape[0] == "&":
        import html  # its table of names is long, and few texts need it

        return html.unescape(escape).encode("utf-8", "surrogatepass").decode("latin-1")
    if escape[0] == "%" or escape[1] in "xX":
        return chr(int(escape.lstrip("%\\xX"), 16))
    if escape[1] in "uU":
        code = int(escape[2:].strip("{}"), 16)
        return chr(min(code, 0x10FFFF)).encode("utf-8", "surrogatepass").decode("latin-1")
    return chr(int(escape[1:], 8) & 0xFF) if escape[1].isdigit() else LETTERS.get(escape[1], escape[1])


def _joined(found: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Sorted spans, those that touch as one."""
    start, end = found[0]
    for s, e in found[1:]:
        if s > end:
            yield start, end
            start, end = s, e
        end = max(end, e)
    yield start, end


def is_random(secret: str) -> bool:
    """Whether it looks drawn by a machine: no word, no sentence, no path."""
    return len(secret) >= 12 and bool(re.search(r"\d", secret)) and bool(re.search(r"[A-Za-z]", secret)) and not re.search(r"[\s{]|^/|^\w+://", secret)


def is_no_word(secret: str) -> bool:
    """Whether a text that holds it can only mean it."""
    return is_random(secret) or len(secret) >= 16


def forms_of(secret: str) -> set[str]:
    """The encodings of a secret that no escape undoes, as characters of one byte: base64 at any place inside a longer text, hexadecimal, wrong charsets."""
    raw = secret.encode("utf-8", "surrogatepass")
    plain = raw.decode("latin-1")
    forms = {plain, plain.replace(" ", "+"), raw.hex(), plain.encode("utf-8").decode("latin-1")}
    if not secret.isascii() and all(ord(c) < 256 for c in secret):
        forms.add(secret)
    for before in range(3):
        made = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        end = len(made) - (1 if (before + len(raw)) % 3 else 0)  # the last character also tells what comes after
        made = made[(0, 2, 3)[before] : end]
        forms |= {made, made.replace("+", "-").replace("/", "_")}
    return {form for form in forms if form}


def _whole_forms(secret: str) -> set[str]:
    """The same for a short one, as it stands alone."""
    raw = secret.encode("utf-8", "surrogatepass")
    alone = base64.b64encode(raw).decode().rstrip("=")
    return {f.lower() for f in (raw.decode("latin-1"), raw.hex(), alone, alone.replace("+", "-").replace("/", "_"))}


def _windows(form: str) -> Iterator[str]:
    low = form.lower()
    pieces = (low[i : i + WINDOW] for i in range(len(low) - WINDOW + 1))
    return (p for p in pieces if len(set(p)) > 1 or p[0].isalnum())  # a line of dashes is not a secret


@functools.lru_cache(maxsize=128)
def redactor(secrets: tuple[str, ...], guesses: tuple[str, ...] = ()) -> Redactor:
    """The redactor of these secrets: made once."""
    return Redactor(secrets, guesses)
