"""What models behind an HTTP API share: their address and key, and the client that asks, adapts and reads."""

from __future__ import annotations

import base64
import contextlib
import numbers
import os
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol, Self
from urllib.parse import unquote_to_bytes, urlsplit

from dreamframe.errors import (
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    DreamframeError,
    NotAllowedError,
    PermanentCallError,
    ServerError,
    SettingError,
)
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.answer import clean
from dreamframe.models.api.adaptation import Adapted
from dreamframe.models.api.address import Address, Untold, address_of, identity_of
from dreamframe.models.api.batch_api import BatchApi
from dreamframe.models.api.environment import address_variable, named_address
from dreamframe.models.api.error_replies import ErrorReply
from dreamframe.models.api.event_stream import BLANK, is_stream, whole
from dreamframe.models.api.first_token import refused as no_logprobs
from dreamframe.models.api.headers import check_key, header_fields, plain_key
from dreamframe.models.api.http import Http, Reply
from dreamframe.models.api.limits import account_of, limits_of
from dreamframe.models.api.lost import LOST, asked_at, hint, is_lost
from dreamframe.models.api.openai_format import refuse_several
from dreamframe.models.api.proxies import unmet
from dreamframe.models.api.rate_headers import room_of
from dreamframe.models.api.variant import variant_of
from dreamframe.models.api.wire import Api, Dialect, Wire
from dreamframe.models.authority import Authority, is_below, shown
from dreamframe.models.base import LLM, Client, ModelSettings, secret, setting, steering
from dreamframe.models.prices import FREE, Price, listed
from dreamframe.models.request import Completion, Question, Request
from dreamframe.models.secrets import redactor_of, secrets_in
from dreamframe.redaction.redactor import is_no_word, redactor
from dreamframe.redaction.secret import Secret, SecretPart, hide_fields


class Connection(Protocol):
    """Carries requests to a server and back."""

    async def post(self, url: str, body: bytes) -> Reply:
        """Send JSON and read the whole reply. Raises ConnectionFailedError or BadReplyError."""
        ...

    async def close(self) -> None: ...


class AdaptedError(Exception):
    """A request was refused, and the reply says how it would be taken: sent again, it goes out in another dialect."""


LOOK_EVERY = 16  # replies of a server that has not announced its limits so far
MOST_DIALECTS = 8  # times that one request may be worded anew


@dataclass(frozen=True)
class ApiSettings(ModelSettings):
    """Settings of any model behind an HTTP API. A subclass names its address and its key's variable, and says how a question travels."""

    model: str  # its name at the provider

    base_url: str | None = setting()  # address of the server; None: the provider's own, or what its variable says
    identity: str | None = steering(written_as="identity_")  # an address that stands for this one: answers are kept when a server moves
    variant: str | None = field(init=False, default=None, metadata={"is_written": True})  # digest of the query and the headers that choose the answer
    api_key: str | None = secret()  # the key; None: that of the provider's variable, when the first call is made
    headers: Any = secret()  # dict of further headers
    concurrency: int = steering(256)  # calls in flight at most
    timeout_s: float = steering(300.0)  # seconds a call may take, from sending to the last byte
    attempts: int = steering(8)  # tries of a call that may yet succeed
    backoff_s: float = steering(0.5)  # seconds before the second try; doubled before each further one
    rpm: float | None = steering()  # calls a minute of all processes on a session folder, if known: otherwise found out from refusals
    tpm: float | None = steering()  # tokens a minute of all of them, if known
    max_reply_bytes: int = steering(32 << 20)  # a longer answer fails: one that never ends
    batch_poll_s: float = steering(30.0)  # seconds between looks at a submitted batch

    address: ClassVar[str]
    address_variable: ClassVar[str] = ""  # read where no base_url is given, as the provider's own client does; counts for the class that has the address
    adds_path: ClassVar[bool] = False  # the path may be left out of it
    is_named_by_host: ClassVar[bool] = False  # scheme and port too
    key_variable: ClassVar[str]
    needs_key: ClassVar[bool] = True  # at its own address
    has_batches: ClassVar[bool] = False  # whether `batches` gives an API
    dialect: ClassVar[Dialect] = Dialect()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base_url is None and (named := named_address(type(self))) is not None:
            object.__setattr__(self, "base_url", named)  # as if it were given
            if self.authority is not None and self.identity is None:  # a plan that was read means the provider's own: it stays the same plan
                object.__setattr__(self, "identity", self.own_address or None)
        if self.base_url is not None:
            object.__setattr__(self, "base_url", address_of(self.base_url, who=type(self).__name__))
        if self.identity is not None and not isinstance(self.identity, SecretPart):
            object.__setattr__(self, "identity", identity_of(self.identity, who=type(self).__name__) or None)
        told = self.headers.variant if isinstance(self.headers, Untold) else None
        if self.headers is not None and told is None:  # frozen: a dict may be changed afterwards
            object.__setattr__(self, "headers", header_fields(self.headers, who=type(self).__name__))
        object.__setattr__(self, "api_key", plain_key(self.api_key, who=type(self).__name__))
        object.__setattr__(self, "variant", self.asks_for() or told)
        self._hide_secrets()
        hide_fields(self)
        for name in ("concurrency", "attempts"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Integral):
                raise SettingError(f"{type(self).__name__}: {name}={value!r} is not a whole number.")
            if int(value) < 1:
                raise SettingError(f"{type(self).__name__}: {name}={value!r}; 1 is the least.")
        for name in ("timeout_s", "backoff_s", "rpm", "tpm"):
            value = getattr(self, name, None)
            if value is not None and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
                raise SettingError(f"{type(self).__name__}: {name}={value!r} is not a number.")

    def asks_for(self) -> str | None:
        """The digest of what the query and the headers choose. `identity` stands for the whole address, and so for the query."""
        return variant_of(None if self.identity else self.query, self.headers or ())

    @classmethod
    def of_plan(cls, fields: Mapping[str, Any]) -> Self:
        """A plan holds neither headers nor a query: their digest is all that is known of them."""
        held = dict(fields)
        variant = held.pop("variant", None)
        if variant is not None:
            held["headers"] = Untold(variant)
        return cls(**held)

    @property
    def userinfo(self) -> str | None:
        """User and password of the address, which settings do not show."""
        return self.base_url.userinfo if isinstance(self.base_url, Address) else None

    @property
    def query(self) -> str | None:
        """The query of the address, which settings do not show."""
        return self.base_url.query if isinstance(self.base_url, Address) else None

    def _hide_secrets(self) -> None:
        """A secret that also stands in another setting, such as a gateway's key in the path of its address, is not shown there either."""
        hides = redactor(tuple(s for s in dict.fromkeys(secrets_in(self)) if is_no_word(s)))
        for name in ("model", "base_url", "system", "identity"):
            if hides and isinstance(value := getattr(self, name, None), str) and (shown := hides.text(value)) != value:
                parts = {"userinfo": value.userinfo, "query": value.query} if isinstance(value, Address) else None
                masked = SecretPart.of(value, name=name, shown=shown) if parts is None else Address.of_parts(value, **parts, shown=shown)
                object.__setattr__(self, name, masked)

    def identity_fields(self) -> Mapping[str, object]:
        """The endpoint without credentials, unless `identity` stands for it, and what its query and headers choose."""
        seen = {**super().identity_fields(), "base_url": self.identity or self.endpoint}
        return {k: v for k, v in seen.items() if k != "variant" or v is not None}

    @property
    def price(self) -> Price | None:
        """The provider's list price, where it is known; that of another server is not."""
        if self.base_url is None and not self.needs_key:
            return FREE
        return listed(f"{self.provider}/{self.model}") if self.base_url is None else None

    @property
    def endpoint(self) -> str:
        """The address that paths are put to."""
        place = self.base_url or self.address
        return str(place) if isinstance(place, Address) and place.shown == place else place

    @property
    def is_own_address(self) -> bool:
        """Whether it is asked at the address that its provider has for everybody."""
        return self.base_url is None or (bool(self.own_address) and is_below(self.base_url, self.own_address))

    @property
    def is_users_address(self) -> bool:
        """Whether the user's own environment sends everything for this provider there, whoever wrote the plan, and its answers are kept as answers of it."""
        return self._is_named() and self.identity in (None, str(self.base_url))

    def _is_named(self) -> bool:
        named = named_address(type(self)) if self.base_url is not None else None
        return named is not None and str(named) == str(self.base_url)

    @property
    def own_address(self) -> str:
        """The provider's own address; empty where there is none that is the same for everybody."""
        return str(getattr(type(self), "address", ""))

    def check_reach(self) -> None:
        if self.authority is None or self.is_users_address:
            return
        if self._is_named() and self.identity == self.own_address:
            self._check_moved(self.authority)
            return
        if not self.is_own_address:
            self.authority.address(self.endpoint, who=self.label, own=self.own_address)
        if self.identity is not None and self.identity != self.endpoint and self.identity not in self.authority.listed:
            self.authority.address(self.identity, who=self.label, own="", why="files what it answers as answers of")

    def _check_moved(self, authority: Authority) -> None:
        """Raise NotAllowedError where the environment sends a plan that was read away from its provider, whose answers it keeps, to a server not listed."""
        if not authority.has_address(self.endpoint):
            variable, seen = address_variable(type(self)), shown(self.endpoint)
            raise NotAllowedError(
                f"{self.label}: the plan asks {self.own_address}, and keeps what it is answered as answers of that server; {variable} sends it to {seen}. "
                f"If the same model is asked there, say so where you read the plan: allow=[{seen}]. Else unset {variable}."
            )

    def reaches(self) -> tuple[str, ...]:
        return () if self.is_own_address else (shown(self.endpoint),)

    def key(self) -> str | None:
        """The API key as it is now, for where it may go. Raises NotAllowedError where it may not, AuthenticationError where there is none and the
        provider's own server wants one."""
        self.check_reach()
        found = self.api_key or os.environ.get(self.key_variable, "").strip()
        if not found and self.base_url is None and self.needs_key:
            raise no_key(self)
        check_key(found or "", who=self.label, variable="" if self.api_key else self.key_variable)
        return found or None

    def auth(self, key: str | None) -> Mapping[str, str]:
        """The headers that say who asks."""
        return {"Authorization": f"Bearer {key}"} if key else {}

    def pool_key(self) -> str:
        steers = (self.concurrency, self.timeout_s, self.attempts, self.backoff_s, self.rpm, self.tpm, self.max_reply_bytes)
        return repr((account_of(self), self.authority, steers))

    def url(self, path: str) -> str:
        """The address of one operation."""
        return f"{self.endpoint}{path}" + (f"?{self.query}" if self.query else "")

    def missing(self) -> tuple[DreamframeError, ...]:
        lacking: list[DreamframeError] = list(self.unmet())
        with contextlib.suppress(NotAllowedError):  # said when it is asked: what is kept needs no leave
            try:
                self.key()
            except AuthenticationError as exc:
                lacking.append(exc)
        return tuple(lacking)

    def unmet(self) -> tuple[DreamframeError, ...]:
        """The libraries that asking needs, and that are not installed."""
        return unmet(self.endpoint)

    def open(self) -> Client:
        return ApiClient(self)

    def connect(self, headers: Mapping[str, str]) -> Connection:
        """What carries the bytes. Raises MissingExtraError for a proxy without its library."""
        return Http(self.endpoint, headers, concurrency=self.concurrency, max_bytes=self.max_reply_bytes, hides=redactor_of([self]))

    def batches(self, http: Http, place: str) -> BatchApi:  # noqa: ARG002  for those that have one
        """The provider's batch API. Raises SettingError where there is none."""
        raise SettingError(f"{type(self).__name__} has no batch API.")

    def first_api(self) -> Api:
        """The API that is spoken first, where there are several."""
        return "chat"

    @abstractmethod
    def wire(self, question: Question, dialect: Dialect) -> Wire:
        """How a question travels."""


@dataclass(frozen=True)
class ApiLLM(ApiSettings, LLM):
    """Settings of a language model behind an HTTP API."""

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_several(self.sampling.extras(), who=type(self).__name__)


def no_key(llm: ApiSettings) -> AuthenticationError:
    return AuthenticationError(f"{llm.label}: no API key. Set the environment variable {llm.key_variable}, or pass api_key=.")


class ApiClient:
    """The connections to one endpoint with one key, and what its models were seen to take."""

    def __init__(self, llm: ApiSettings) -> None:
        if llm.variant != llm.asks_for():
            raise SettingError(
                f"{llm.label}: this plan was made with headers= or a query in base_url= that choose the answer. They are not written into plans, "
                "so it can be read and not asked here: give them again, and build it."
            )
        self._llm = llm
        self._key = llm.key()
        self._place = urlsplit(llm.endpoint).netloc or llm.label
        self._connection = llm.connect(self._headers())
        self._adapted = Adapted(llm.dialect)
        self._n_replies, self._announces = 0, False  # whether the server tells its limits
        self._wires: dict[str, tuple[Wire, str, Any]] = {}  # digest of a question → how it travels, whereto, and its settings
        self.concurrency = llm.concurrency
        self.limits = limits_of(llm)

    def _headers(self) -> dict[str, str]:
        headers = dict(self._llm.auth(self._key))
        if self._llm.userinfo:
            headers["Authorization"] = "Basic " + base64.b64encode(unquote_to_bytes(self._llm.userinfo)).decode()
        headers |= dict(self._llm.headers or {})
        return {name: Secret(value) if isinstance(value, str) else value for name, value in headers.items()}

    @property
    def batches(self) -> BatchApi | None:
        """The provider's batch API; None where there is none."""
        return self._llm.batches(self._connection, self._place) if self._llm.has_batches and isinstance(self._connection, Http) else None

    @property
    def place(self) -> str:
        """Provider and address, without credentials."""
        end = self._llm.endpoint
        return f"{self._llm.provider} {f'{end.shown} #{fingerprint(end)[:8]}' if isinstance(end, SecretPart) else end}"

    @property
    def batch_poll_s(self) -> float:
        """Seconds between looks at a submitted batch."""
        return self._llm.batch_poll_s

    def wire(self, question: Question) -> Wire:
        """How a question travels now."""
        return self._way(question)[0]

    def read(self, wire: Wire, reply: Reply) -> Completion:
        """The answer in a reply. Raises CallErrors; AdaptedError where the same request in another dialect may do."""
        if reply.status == 200:
            streamed = not reply.body.startswith(b"{") and is_stream(reply.body, reply.headers)  # most replies are an object, and cost no call
            try:
                return wire.read(whole(reply.body, place=self._place) if streamed else reply.body, place=self._place)
            except BadReplyError as exc:
                begun, hinted = reply.body.lstrip(BLANK)[:1], self._hint(wire)
                if begun == b"<" or (hinted and not streamed and begun not in (b"{", b"[")):
                    raise BadReplyError(f"{exc}.{' It is a web page.' if begun == b'<' else ''}{hinted}", status=200, text=exc.text) from exc
                raise
            except PermanentCallError as exc:  # a router's, which came with 200
                reply = reply._replace(status=exc.status or 200)
                if not (ErrorReply(reply).is_moderated or is_lost(ErrorReply(reply))):
                    raise
        refused = ErrorReply(reply)
        if refused.is_moderated:
            return Completion(clean(refused.filtered_for), finish="content_filter")
        place = asked_at(self._llm.endpoint, wire.path) if refused.status in LOST else self._place
        error = refused.error(place=place, hint=self._hint(wire) if is_lost(refused) else "")
        if isinstance(error, BadRequestError | ServerError) and self._adapted.adapt(wire, refused):
            self._wires.clear()
            raise AdaptedError(str(error)) from error
        raise no_logprobs(error, wire.question, refused)

    def _hint(self, wire: Wire) -> str:
        return "" if self._llm.is_own_address else hint(self._llm.endpoint, wire.path)

    async def complete(self, request: Request) -> Completion:
        refused: AdaptedError | None = None
        for _ in range(MOST_DIALECTS):
            wire, url, _ = self._way(request.question)
            reply = await self._connection.post(url, wire.body(request))
            try:
                done = self.read(wire, reply)
            except AdaptedError as exc:
                refused = exc
                continue
            self._n_replies += 1
            if self._announces or self._n_replies % LOOK_EVERY == 1:
                done.room = room_of(reply.headers)
                self._announces = done.room is not None
            return done
        raise BadRequestError(f"{refused} (and so on, {MOST_DIALECTS} times)")

    def _way(self, question: Question) -> tuple[Wire, str, Any]:
        """How a question travels: compiled once for equal questions to equal settings."""
        known = self._wires.get(question.digest)
        if known is not None and (known[2] is question.llm or known[2] == question.llm):
            return known
        llm = question.llm
        assert isinstance(llm, ApiSettings), type(llm)
        if llm.authority is not None and question.sampling.extra:
            llm.authority.arguments(question.sampling.extras(), who=llm.label)
        wire = llm.wire(question, replace(self._adapted.dialect(llm.model, question), api=self._adapted.api(llm.model, llm.first_api())))
        if len(self._wires) > 256:
            self._wires.clear()
        self._wires[question.digest] = made = (wire, llm.url(wire.path), llm)
        return made

    async def close(self) -> None:
        await self._connection.close()
