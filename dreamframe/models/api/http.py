"""The connections of one client: aiohttp, one pool, JSON bytes out and in, every mishap as a CallError."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Coroutine, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import urlsplit

from dreamframe.errors import BadReplyError, BadRequestError, ConnectionFailedError, MissingExtraError
from dreamframe.models.api.certificates import named_context, untrusted
from dreamframe.models.api.proxies import Proxy, proxy_of
from dreamframe.models.api.unfold import TooLongError, UnknownEncodingError, unfold
from dreamframe.redaction.redactor import Redactor

KEEP_ALIVE_S = 4.0  # below the 5 s after which common servers close an idle connection, so that none is used as it closes
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
        """Headers of the same kind: their names have no case."""
        changed = {name: clean for name, value in self.headers.items() if (clean := hides.text(value)) != value}
        if not changed:
            return self.headers
        made: Any = self.headers.copy()  # type: ignore[attr-defined]  # every mapping that a connection gives has it
        made.update(changed)
        return cast("Mapping[str, str]", made)


class Http:
    """A pool of connections with the headers that every request carries. Made inside the event loop."""

    def __init__(
        self,
        base_url: str,
        headers: Mapping[str, str],
        *,
        concurrency: int,
        needed_for: str,
        max_bytes: int,
        extra: str = "openai",
        hides: Redactor = NONE,
    ) -> None:
        try:
            import aiohttp
            import yarl
        except ImportError as exc:
            raise MissingExtraError("aiohttp", extra=extra, needed_for=needed_for) from exc
        self._aiohttp, self._url = aiohttp, yarl.URL
        self._max_bytes, self._hides = max_bytes, hides
        self._place = urlsplit(base_url).netloc.rpartition("@")[2]
        self._urls: dict[str, Any] = {}  # text → parsed
        self._proxy = proxy = proxy_of(base_url)
        steers: dict[str, Any] = {"limit": concurrency, "keepalive_timeout": KEEP_ALIVE_S, "ssl": named_context(base_url, proxy and proxy.url) or True}
        self._mishaps: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, ValueError)  # ValueError: what cannot be read as HTTP, or unpacked
        is_socks = proxy is not None and proxy.is_socks
        self._session = aiohttp.ClientSession(
            connector=self._through(proxy, steers) if proxy is not None and is_socks else aiohttp.TCPConnector(**steers),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=20),  # the asker holds the deadline of the whole call
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/json", "User-Agent": "dreamframe", "Accept-Encoding": "gzip, deflate", **headers},
            auto_decompress=False,  # so that the limit holds for what comes out
            proxy=proxy.url if proxy is not None and not is_socks else None,  # looked up once: trust_env= looks it up for every request
        )

    def post(self, url: str, body: bytes) -> Coroutine[Any, Any, Reply]:
        """Send JSON and read the whole reply. Raises ConnectionFailedError or BadReplyError."""
        return self.send("POST", url, body)

    async def send(self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, most: int | None = None) -> Reply:
        """Send one request; the reply is whole (and has `most` bytes or fewer) or an error."""
        target = self._urls.get(url)
        if target is None:
            target = self._urls[url] = self._url(url, encoded=True)
        try:
            reply = await self._session.request(method, target, data=body, headers=headers, allow_redirects=False)
            try:
                length, most = reply.content_length, most or self._max_bytes
                whole = await reply.read() if length is not None and length <= most else await self._read(reply, most)
            finally:
                reply.release()  # as `async with` does, for a microsecond less
            if (encoding := reply.headers.get("Content-Encoding")) is not None:
                whole = await self._unfolded(whole, encoding, most, reply.status)
            if reply.status == 407:
                raise self._locked_out()
            return Reply(reply.status, reply.headers, whole).without(self._hides)
        except self._aiohttp.InvalidURL as exc:
            raise BadRequestError(self._hides.text(f"{url!r} is not an address")) from self._hides.cause(exc)
        except (self._aiohttp.ClientSSLError, ssl.SSLError) as exc:
            raise self._not_safe(exc) from self._hides.cause(exc)
        except self._mishaps as exc:
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

    async def _read(self, reply: Any, most: int) -> bytes:
        whole = bytearray()
        async for chunk in reply.content.iter_any():
            whole += chunk
            if len(whole) > most:
                reply.close()
                raise self._too_long(most, reply.status)
        return bytes(whole)

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

    def _through(self, proxy: Proxy, steers: dict[str, Any]) -> Any:
        """Connections through a SOCKS proxy. Raises MissingExtraError without the library that speaks it."""
        try:
            from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
        except ImportError as exc:
            raise MissingExtraError("aiohttp-socks", extra="socks", needed_for=f"the SOCKS proxy {proxy!r}") from exc
        self._mishaps += (ProxyError, ProxyConnectionError, ProxyTimeoutError)
        kind, _, rest = proxy.url.partition("://")
        looks_up = kind in ("socks5h", "socks4a")  # the proxy, and not this machine
        return ProxyConnector.from_url(f"{kind.rstrip('ah')}://{rest}", rdns=looks_up, **steers)

    async def close(self) -> None:
        await self._session.close()


def said(exc: BaseException) -> str:
    """An exception in words, also where it has none of its own."""
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__

