"""Servers of tools that speak the Model Context Protocol: a command that is started, or an address."""

from __future__ import annotations

import importlib.util
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from dreamframe.errors import DreamframeError, MissingExtraError, NotAllowedError, SettingError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.authority import shown
from dreamframe.models.base import Client, ModelSettings, secret, setting, steering
from dreamframe.models.tools.mcp_client import McpClient, digest_of

LIST = json.dumps({"list": "tools"})  # what is asked of a server before anything else


@dataclass(frozen=True)
class Mcp(ModelSettings):
    """The tools of an MCP server, for `df.converse(tools=[…])`: one that is started (`command`), or one at an address (`url`, streamable HTTP).

    `command` is a text or a list, such as "uvx weather-server"; it gets the few variables of the environment that MCP's own client hands on, and `env` (a
    dict). `headers` go with each request to `url`. Both are secrets: never hashed, printed or written. The command and the address are written:
    put no secret there. `only` names the tools that are offered, `pure` those whose equal calls are one call (True: all of them); see `dr.Tool`.
    A call that took longer than `timeout_s` seconds is a result that says so.

    What a server offers is asked once, and kept. A result is kept for the server's name, the tool's name and schema, and the arguments, so it is found
    again when the server moves. A server whose tools have changed is asked anew with another `revision`; calls of a tool that changed meanwhile fail.

    Needs `pip install 'dreamframe[mcp]'`. Raises SettingError for neither or both of `command` and `url`.

    >>> dr.Mcp(command="uvx weather-server", only=["forecast"]).label
    'uvx weather-server'
    """

    model: str = field(init=False, default="")
    command: Sequence[str] | str | None = setting()  # starts the server: a text or a list of words
    url: str | None = setting()  # of a server that runs, such as "http://localhost:8000/mcp"
    only: Sequence[str] | None = setting()  # names of the tools that are offered; None: all
    pure: Sequence[str] | bool = setting(False)  # names of tools whose equal calls are one call; True: all
    revision: int | str | None = setting()  # a number or text of your own: another one asks the server anew what it offers
    env: Any = secret()  # a dict of variables that the server is started with
    headers: Any = secret()  # a dict of headers of each request to `url`
    timeout_s: float = steering(60.0)  # seconds a call may take
    start_s: float = steering(30.0)  # seconds the server may take to start
    concurrency: int = steering(8)  # calls in flight at most

    provider: ClassVar[str] = "mcp"

    def __post_init__(self) -> None:
        if (self.command is None) == (self.url is None):
            raise SettingError("Mcp: give one of command= (a server that is started) and url= (one that runs), e.g. dr.Mcp(command='uvx weather-server').")
        if self.command is not None:
            words = shlex.split(self.command) if isinstance(self.command, str) else [str(w) for w in self.command]
            if not words:
                raise SettingError("Mcp: command= is empty; give what starts the server, e.g. 'uvx weather-server'.")
            object.__setattr__(self, "command", tuple(words))
        elif not str(self.url).startswith(("http://", "https://")):
            raise SettingError(f"Mcp: url={self.url!r} is not an address, such as 'http://localhost:8000/mcp'.")
        elif "@" in str(self.url) or "?" in str(self.url):
            raise SettingError("Mcp: url= holds credentials or a query, which would stand in plans and sessions. Give what is secret as headers={…}.")
        for name in ("only", "pure"):
            if isinstance(value := getattr(self, name), str):
                raise SettingError(f"Mcp: {name}={value!r} is a text; give a list of names: {name}=[{value!r}].")
            if value is not None and not isinstance(value, bool):
                object.__setattr__(self, name, tuple(value))
        object.__setattr__(self, "model", shlex.join(self.command) if self.command is not None else self.url)
        super().__post_init__()

    @property
    def label(self) -> str:
        return self.model

    def identity_fields(self) -> Mapping[str, object]:
        """Who is asked what it offers."""
        return {"provider": self.provider, "command": self.command, "url": self.url, "revision": self.revision}

    def key_fields(self) -> Mapping[str, object]:
        return {**self.identity_fields(), "only": self.only, "pure": self.pure}

    def places(self) -> tuple[str, ...]:
        return ()

    def check_reach(self) -> None:
        """A plan that was read starts no program and asks no server unless that was listed."""
        if self.authority is None:
            return
        if self.url is not None:
            self.authority.address(self.url, who=self.label, why="sends what its tools are called with to")
        elif self.model not in self.authority.listed:
            what = f"Mcp starts the program {shown(self.model)}, and the plan is not one that you wrote here"
            raise NotAllowedError(f"{what}. If it may, list the command where you read the plan: allow=[{shown(self.model)}].")

    def reaches(self) -> tuple[str, ...]:
        return (shown(self.model),)

    def missing(self) -> tuple[DreamframeError, ...]:
        return () if importlib.util.find_spec("mcp") else (MissingExtraError("mcp", extra="mcp", needed_for="dr.Mcp"),)

    def is_pure(self, tool: str) -> bool:
        """Whether equal calls of a tool are one call."""
        return self.pure if isinstance(self.pure, bool) else tool in self.pure

    def matching(self, asked: ModelSettings) -> ModelSettings | None:
        """Also for a tool of this server: its variables and headers are here."""
        if isinstance(asked, McpTool):
            return replace(asked, server=self) if dict(asked.server.identity_fields()) == dict(self.identity_fields()) else None
        return super().matching(asked)

    def offered(self, listing: str) -> list[McpTool]:
        """The tools that the server told of. Raises SettingError for names in `only` and `pure` that it does not have."""
        told = json.loads(listing)
        names = [tool["name"] for tool in told["tools"]]
        for argument in ("only", "pure"):
            value = getattr(self, argument)
            if isinstance(value, tuple) and (unknown := [n for n in value if n not in names]):
                raise SettingError(f"Mcp {self.label}: {argument}= names {unknown[0]!r}, and the server has {', '.join(names) or 'no tools'}.")
        wanted = [tool for tool in told["tools"] if self.only is None or tool["name"] in self.only]
        return [McpTool(tool["name"], server=self, server_name=told["server"], told=tool) for tool in wanted]

    def pool_key(self) -> str:
        steers = (self.timeout_s, self.start_s, self.concurrency, self.authority)
        return f"mcp {self.command} {self.url} {fingerprint([sorted(dict(self.env or {}).items()), sorted(dict(self.headers or {}).items())])} {steers}"

    def open(self) -> Client:
        return McpClient(self)


@dataclass(frozen=True)
class McpTool(ModelSettings):
    """One tool of a server, as it was when the server told of it."""

    model: str  # its name
    server: Mcp = field(kw_only=True, metadata={"runtime": True})
    server_name: str = setting("")
    told: Any = setting()  # name, description, parameters

    provider: ClassVar[str] = "mcp"

    @property
    def label(self) -> str:
        return self.model

    @property
    def pure(self) -> bool:
        return self.server.is_pure(self.model)

    @property
    def schema(self) -> dict[str, Any]:
        """What a model is told of it, as OpenAI's chat API takes it."""
        return {"type": "function", "function": dict(self.told)}

    @property
    def digest(self) -> str:
        """Of what the server told of it."""
        return digest_of(self.told)

    def identity_fields(self) -> Mapping[str, object]:
        return {"provider": self.provider, "server": self.server_name, "tool": self.model, "schema": self.digest}

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_validator"}

    @cached_property
    def _validator(self) -> Any:
        import jsonschema

        schema = self.told["parameters"]
        return jsonschema.validators.validator_for(schema)(schema)

    def checked(self, arguments: Mapping[str, Any]) -> None:
        """Raise ValueError, in words for a model, for arguments that do not fit."""
        wrong = [f"{'.'.join(map(str, e.path)) or 'the arguments'}: {e.message[:300]}" for e in self._validator.iter_errors(dict(arguments))]
        if wrong:
            raise ValueError("; ".join(wrong[:5]))

    def places(self) -> tuple[str, ...]:
        return ()

    def check_reach(self) -> None:
        self.server.check_reach()

    def pool_key(self) -> str:
        return self.server.pool_key()

    def open(self) -> Client:
        return self.server.open()
