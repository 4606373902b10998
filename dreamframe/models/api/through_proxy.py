"""Requests through a proxy (HTTP, HTTPS or SOCKS), by aiohttp, which speaks to all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dreamframe.models.api.certificates import named_context
from dreamframe.models.api.connection import Got
from dreamframe.models.api.mishaps import NotAnAddressError, TooMuchError
from dreamframe.models.api.pool import CONNECT_S, KEEP_ALIVE_S
from dreamframe.models.api.proxies import Proxy, lacks


class ThroughProxy:
    """A pool of aiohttp's connections; without a proxy they go straight. Made inside the event loop."""

    def __init__(self, base_url: str, headers: Mapping[str, str], *, concurrency: int, proxy: Proxy | None) -> None:
        try:
            import aiohttp
            import yarl
        except ImportError as exc:
            raise lacks(proxy, "aiohttp") from exc
        self._aiohttp, self._url = aiohttp, yarl.URL
        self._urls: dict[str, Any] = {}  # text → parsed
        self.unsafe: tuple[type[Exception], ...] = (aiohttp.ClientSSLError,)
        self.mishaps: tuple[type[Exception], ...] = (aiohttp.ClientError, OSError, ValueError)  # ValueError: what cannot be read as HTTP, or unpacked
        steers: dict[str, Any] = {"limit": concurrency, "keepalive_timeout": KEEP_ALIVE_S, "ssl": named_context(base_url, proxy and proxy.url) or True}
        is_socks = proxy is not None and proxy.is_socks
        self._session = aiohttp.ClientSession(
            connector=self._through(proxy, steers) if proxy is not None and is_socks else aiohttp.TCPConnector(**steers),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),  # the asker holds the deadline of the whole call
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=headers,
            auto_decompress=False,  # so that the limit holds for what comes out
            proxy=proxy.url if proxy is not None and not is_socks else None,  # looked up once: trust_env= looks it up for every request
        )

    async def exchange(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None, most: int) -> Got:
        """Send one request and read the whole reply."""
        target = self._urls.get(url)
        if target is None:
            target = self._urls[url] = self._url(url, encoded=True)
        try:
            reply = await self._session.request(method, target, data=body, headers=headers, allow_redirects=False)
        except self._aiohttp.InvalidURL as exc:
            raise NotAnAddressError(str(exc)) from exc
        try:
            length = reply.content_length
            whole = await reply.read() if length is not None and length <= most else await _read(reply, most)
        finally:
            reply.release()
        return Got(reply.status, reply.headers, whole, reply.headers.get("Content-Encoding"))

    def _through(self, proxy: Proxy, steers: dict[str, Any]) -> Any:
        """Connections through a SOCKS proxy. Raises MissingExtraError without the library that speaks it."""
        try:
            from aiohttp_socks import ProxyConnectionError, ProxyConnector, ProxyError, ProxyTimeoutError
        except ImportError as exc:
            raise lacks(proxy, "aiohttp_socks") from exc
        self.mishaps += (ProxyError, ProxyConnectionError, ProxyTimeoutError)
        kind, _, rest = proxy.url.partition("://")
        looks_up = kind in ("socks5h", "socks4a")  # the proxy, and not this machine
        return ProxyConnector.from_url(f"{kind.rstrip('ah')}://{rest}", rdns=looks_up, **steers)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()


async def _read(reply: Any, most: int) -> bytes:
    whole = bytearray()
    async for chunk in reply.content.iter_any():
        whole += chunk
        if len(whole) > most:
            reply.close()
            raise TooMuchError(reply.status)
    return bytes(whole)
