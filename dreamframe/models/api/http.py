"""What carries requests and replies: JSON bytes out and in, straight to the server or through a proxy, every mishap as a CallError."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from dreamframe.errors import BadReplyError, BadRequestError, ConnectionFailedError
from dreamframe.models.api.address import without_login
from dreamframe.models.api.certificates import untrusted
from dreamframe.models.api.connection import Got
from dreamframe.models.api.direct import Direct
from dreamframe.models.api.mishaps import NotAnAddressError, TooMuchError
from dreamframe.models.api.proxies import Proxy, proxy_of
from dreamframe.models.api.reply_headers import Headers
from dreamframe.models.api.through_proxy import ThroughProxy
from dreamframe.models.api.unfold import TooLongError, UnknownEncodingError, unfold
from dreamframe.redaction.redactor import Redactor

UNFOLDED_HERE = 1 << 20  # packed bytes above which a thread unfolds them


NONE = Redactor(())


class Reply(NamedTuple):
    """What a server sent back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def without(self, hides: Redactor) -> Reply:
        """The reply without the secrets that it repeats, before anybody reads, cuts or keeps it. Of an answer goes what nobody could mean as words."""
        if self.status == 200 and self.body.startswith((b"{", b"[")):
            return self if (body := hides.answer(self.body)) is self.body else Reply(200, self.headers, body)
        return Reply(self.status, self._headers_without(hides), hides.data(self.body))

    def _headers_without(self, hides: Redactor) -> Mapping[str, str]:
        changed = {name: clean for name, value in self.headers.items() if (clean := hides.text(value)) != value}
        return Headers.of({**self.headers, **changed}) if changed else self.headers


class Way(Protocol):
    """How requests reach a server."""

    unsafe: tuple[type[Exception], ...]  # what it raises where a connection cannot be made safe
    mishaps: tuple[type[Exception], ...]  # and for whatever else goes wrong on the way

    async def exchange(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None, most: int) -> Got:
        """Send one request and read the whole reply. Raises NotAnAddressError, and TooMuchError for more than `most` bytes."""
        ...

    async def close(self) -> None: ...


def way_to(base_url: str, headers: Mapping[str, str], *, concurrency: int, proxy: Proxy | None) -> Way:
    """Straight to the server, over connections of our own; through a proxy, over aiohttp's. Raises MissingExtraError where aiohttp is needed."""
    if proxy is None:
        return Direct(base_url, headers, concurrency=concurrency)
    return ThroughProxy(base_url, headers, concurrency=concurrency, proxy=proxy)


class Http:
    """The connections of one client, with the headers that every request carries. Made inside the event loop."""

    def __init__(self, base_url: str, headers: Mapping[str, str], *, concurrency: int, max_bytes: int, hides: Redactor = NONE) -> None:
        self._max_bytes, self._hides = max_bytes, hides
        self._place = urlsplit(base_url).netloc.rpartition("@")[2]
        self._proxy = proxy = proxy_of(base_url)
        sent = {"Content-Type": "application/json", "User-Agent": "dreamframe", "Accept-Encoding": "gzip, deflate", **headers}
        self._way = way_to(base_url, sent, concurrency=concurrency, proxy=proxy)

    def post(self, url: str, body: bytes) -> Coroutine[Any, Any, Reply]:
        """Send JSON and read the whole reply. Raises ConnectionFailedError or BadReplyError."""
        return self.send("POST", url, body)

    async def send(self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, most: int | None = None) -> Reply:
        """Send one request; the reply is whole (and has `most` bytes or fewer) or an error."""
        most, way = most or self._max_bytes, self._way
        try:
            status, found, whole, encoding = await way.exchange(method, url, body, headers, most)
            if encoding is not None:
                whole = await self._unfolded(whole, encoding, most, status)
            if status == 407:
                raise self._locked_out()
            return Reply(status, found, whole).without(self._hides)
        except NotAnAddressError as exc:
            raise BadRequestError(self._hides.text(f"{without_login(url)!r} is not an address")) from self._hides.cause(exc)
        except TooMuchError as exc:
            raise self._too_long(most, exc.status) from None
        except way.unsafe as exc:
            raise self._not_safe(exc) from self._hides.cause(exc)
        except way.mishaps as exc:
            if getattr(exc, "status", None) == 407:
                raise self._locked_out() from self._hides.cause(exc)
            raise ConnectionFailedError(self._hides.text(f"{self._place}: {said(exc)}{self._by}")) from self._hides.cause(exc)

    @property
    def _by(self) -> str:
        return f" (through the proxy {self._proxy!r})" if self._proxy is not None else ""

    def _locked_out(self) -> ConnectionFailedError:
        """The error of a proxy that wants to know who asks: true for every row."""
        whose = f"the proxy {self._proxy!r}" if self._proxy is not None else "a proxy on the way"
        error = ConnectionFailedError(f"{self._place}: {whose} wants another login (407). Write it into the variable: http://user:password@proxy:3128.")
        error.stops_run = True
        return error

    def _not_safe(self, exc: Exception) -> ConnectionFailedError:
        """The error of a connection that could not be made safe: where no other try can mend it, it stops the run."""
        inner: Any = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None) or exc
        is_certificate = isinstance(inner, ssl.CertificateError)
        is_plain = "WRONG_VERSION_NUMBER" in str(inner) or "HTTP_REQUEST" in str(inner)
        words = untrusted(inner) if is_certificate else f"{said(exc)}. The server speaks no TLS here: is its address http://?" if is_plain else said(exc)
        error = ConnectionFailedError(self._hides.text(f"{self._place}: {words}"))
        error.stops_run = is_certificate or is_plain
        return error

    async def _unfolded(self, packed: bytes, encoding: str, most: int, status: int) -> bytes:
        try:
            if len(packed) > UNFOLDED_HERE:
                return await asyncio.to_thread(unfold, packed, encoding, most=most)
            return unfold(packed, encoding, most=most)
        except TooLongError as exc:
            raise self._too_long(most, status) from exc
        except UnknownEncodingError as exc:
            raise BadReplyError(f"{self._place}: the reply is {exc}", status=status) from exc

    def _too_long(self, most: int, status: int) -> BadReplyError:
        return BadReplyError(f"{self._place}: the answer is longer than {most:,} bytes", status=status)

    async def close(self) -> None:
        await self._way.close()


def said(exc: BaseException) -> str:
    """An exception in words, also where it has none of its own."""
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__

