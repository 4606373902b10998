"""What an address asks for besides its place: the query and the headers of a server, as a digest for the identity."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl

WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+")
WHO = {  # words in the names of headers and arguments that say who asks
    *("auth", "authorization", "authentication", "key", "apikey", "token", "accesstoken", "authtoken", "secret", "cookie", "jwt", "bearer"),
    *("sig", "signature", "password", "passwd", "pwd", "credential", "credentials", "session", "sessionid"),
}
WHEN = {  # and those that tell one request from another
    *("user-agent", "traceparent", "tracestate", "baggage", "request-id", "x-request-id", "x-trace-id", "x-correlation-id", "date"),
}
SIGNED = {"se", "st", "sp", "sv", "sr", "spr", "skoid", "sktid", "skt", "ske", "sks", "skv", "code", "expires"}  # what stands beside a signature, or is one


def variant_of(query: str | None, headers: Iterable[tuple[str, str]]) -> str | None:
    """32 hex characters for what a server is asked by its query and headers; None where these say only who asks, or nothing.

    Keys, tokens and cookies do not count: they change, and the answers stay. Nothing of what counts can be read out of it.

    >>> variant_of("deployment=a", []) == variant_of("deployment=a&api-key=k", [("Authorization", "Bearer x")])
    True
    """
    asked = [["?", name, value] for name, value in parse_qsl(query or "", keep_blank_values=True) if _asks(name) and name.lower() not in SIGNED]
    asked += [[":", name.lower(), value] for name, value in headers if _asks(name)]
    return hashlib.sha256(json.dumps(sorted(asked)).encode()).hexdigest()[:32] if asked else None


def choosing(query: str) -> str:
    """The arguments of a query that choose the answer, as they were written.

    >>> choosing("key=k&deployment=a")
    'deployment=a'
    """
    return "&".join(part for part in query.split("&") if variant_of(part, ()) is not None)


def _asks(name: str) -> bool:
    return name.lower() not in WHEN and not name.lower().startswith("x-amz-") and not WHO & {word.lower() for word in WORD.findall(name)}
