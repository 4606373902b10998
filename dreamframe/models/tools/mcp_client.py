"""The live connection to an MCP server, by the protocol's own client library."""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from typing import IO, Any, Protocol

from dreamframe.errors import CallError, MissingExtraError, PermanentCallError
from dreamframe.models.base import Limits
from dreamframe.models.request import Completion, Request
from dreamframe.models.secrets import redactor_of
from dreamframe.models.tools.tool import error, result

MOST_PAGES = 100  # of a listing
LAST_SAID = 600  # characters of what a server wrote before it went


class Server(Protocol):
    """The settings of a server, as far as a connection needs them."""

    @property
    def label(self) -> str: ...
    @property
    def command(self) -> Sequence[str] | str | None: ...
    @property
    def url(self) -> str | None: ...
    @property
    def env(self) -> Any: ...
    @property
    def headers(self) -> Any: ...
    @property
    def timeout_s(self) -> float: ...
    @property
    def start_s(self) -> float: ...
    @property
    def concurrency(self) -> int: ...


def digest_of(told: Mapping[str, Any]) -> str:
    """Of what a server tells of a tool: its name, description and parameters."""
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]


class McpClient:
    """Starts a server, or connects to it, at the first request, and again after it went. What the library opens, one task holds: it must close it, too."""

    def __init__(self, server: Server) -> None:
        self._server, self._hides = server, redactor_of([server])
        self.concurrency = server.concurrency
        self.limits = Limits(attempts=1)  # a call whose connection was lost may have been made: only the user knows whether to make it again
        self._opening: asyncio.Task[Session] | None = None

    async def complete(self, request: Request) -> Completion:
        session = await self._session()
        asked: Any = request.question.llm
        if not hasattr(asked, "digest"):
            return Completion(json.dumps(session.listing, ensure_ascii=False, sort_keys=True))
        if (now := session.digests.get(asked.label)) != asked.digest:
            what = "is not among its tools any more" if now is None else "has changed since it was first asked what it offers"
            raise PermanentCallError(f"{self._server.label}: {asked.label!r} {what}. Give dr.Mcp(…, revision=…) another one to ask the server anew.")
        return await self._called(session, asked.label, json.loads(request.prompt)["arguments"])

    async def _called(self, session: Session, name: str, arguments: dict[str, Any]) -> Completion:
        try:
            made = await asyncio.wait_for(session.client.call_tool(name, arguments), self._server.timeout_s)
        except TimeoutError:
            return error(f"TimeoutError: no result within {self._server.timeout_s:g} s")
        except Exception as exc:
            if session.is_over or getattr(exc, "code", None) is None or "onnection closed" in str(exc):
                session.end()
                self._opening = None
                raise PermanentCallError(self._said(f"{self._server.label}: the server went while {name!r} was called", exc, session)) from exc
            return error(self._hides.text(str(exc)))  # of the protocol: the server refuses the call
        text = "\n".join(_text(block) for block in made.content)
        if not text and (given := getattr(made, "structured_content", None)) is not None:
            text = json.dumps(given, ensure_ascii=False)
        return error(text) if made.is_error else result(text)

    async def _session(self) -> Session:
        """The connection: one for all who wait for it."""
        if self._opening is not None and self._opening.done() and (self._opening.cancelled() or self._opening.exception() or self._opening.result().is_over):
            self._opening = None
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._opened())
        return await asyncio.shield(self._opening)

    async def _opened(self) -> Session:
        session = Session(self._server)
        try:
            await asyncio.wait_for(session.open(), self._server.start_s)
        except TimeoutError as exc:
            session.end()
            raise PermanentCallError(self._said(f"{self._server.label}: the server did not answer within {self._server.start_s:g} s", exc, session)) from exc
        except CallError:
            raise
        except MissingExtraError:
            raise
        except Exception as exc:
            session.end()
            raise PermanentCallError(self._said(f"{self._server.label}: the server cannot be reached", exc, session)) from exc
        return session

    def _said(self, what: str, exc: BaseException, session: Session) -> str:
        while isinstance(exc, BaseExceptionGroup):
            exc = exc.exceptions[0]
        why = f": {type(exc).__name__}: {exc}" if str(exc) else ""
        last = session.last_said()
        return self._hides.text(f"{what}{why}{f'. It wrote: {last}' if last else ''}")

    async def close(self) -> None:
        if self._opening is not None and self._opening.done() and not self._opening.cancelled() and self._opening.exception() is None:
            await self._opening.result().close()


class Session:
    """One connection, held by a task of its own."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.client: Any = None
        self.listing: dict[str, Any] = {}
        self.digests: dict[str, str] = {}  # of each tool as the server tells of it now
        self._over = asyncio.Event()
        self._holder: asyncio.Task[None] | None = None
        self._wrote: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  what the server writes beside the protocol

    @property
    def is_over(self) -> bool:
        """Whether nothing can be asked of it any more."""
        return self._over.is_set() or (self._holder is not None and self._holder.done())

    async def open(self) -> None:
        """Connect, and ask what the server offers."""
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._holder = asyncio.create_task(self._hold(ready))
        await ready

    async def _hold(self, ready: asyncio.Future[None]) -> None:
        try:
            async with AsyncExitStack() as stack:
                self.client = await stack.enter_async_context(await self._client(stack))
                await self._list()
                if not ready.done():
                    ready.set_result(None)
                await self._over.wait()
        except BaseException as exc:
            if not ready.done():
                ready.set_exception(exc if isinstance(exc, Exception) else PermanentCallError(f"{self._server.label}: {type(exc).__name__}"))
            if not isinstance(exc, Exception):
                raise
        finally:
            self._over.set()

    async def _client(self, stack: AsyncExitStack) -> Any:
        try:
            from mcp import Client, StdioServerParameters, stdio_client
            from mcp.client.streamable_http import streamable_http_client
            from mcp.shared._httpx_utils import create_mcp_http_client
        except ImportError as exc:
            raise MissingExtraError("mcp", extra="mcp", needed_for="dr.Mcp") from exc
        if self._server.url is not None:
            http = await stack.enter_async_context(create_mcp_http_client(headers=dict(self._server.headers or {})))
            return Client(streamable_http_client(str(self._server.url), http_client=http))
        assert self._server.command is not None
        program, *words = self._server.command
        env = {str(k): str(v) for k, v in dict(self._server.env or {}).items()}
        return Client(stdio_client(StdioServerParameters(command=program, args=words, env=env), errlog=self._wrote))  # type: ignore[arg-type]

    async def _list(self) -> None:
        tools: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(MOST_PAGES):
            page = await self.client.list_tools(cursor=cursor)
            tools += [{"name": t.name, **({"description": t.description} if t.description else {}), "parameters": t.input_schema} for t in page.tools]
            cursor = page.next_cursor
            if not cursor:
                break
        told = getattr(self.client, "server_info", None)
        self.listing = {"server": str(getattr(told, "name", "") or ""), "tools": tools}
        self.digests = {tool["name"]: digest_of(json.loads(json.dumps(tool))) for tool in tools}

    def end(self) -> None:
        """Nothing more is asked of it."""
        self._over.set()

    def last_said(self) -> str:
        """The end of what the server wrote beside the protocol."""
        with suppress(OSError, ValueError):
            self._wrote.seek(0)
            return " ".join(self._wrote.read()[-LAST_SAID:].split())
        return ""

    async def close(self) -> None:
        """Let the server go, and wait until it went."""
        self.end()
        if self._holder is not None:
            with suppress(Exception):
                await self._holder
        self._wrote.close()


def _text(block: Any) -> str:
    """A part of a result, as a model reads it; what is not text is named."""
    if getattr(block, "text", None) is not None:
        return str(block.text)
    if (text := getattr(getattr(block, "resource", None), "text", None)) is not None:
        return str(text)
    return f"[{block.type} {getattr(block, 'mime_type', None) or ''}]".replace(" ]", "]")
