"""What a server's refusal means: status, headers and body to the one error of the tree."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from dreamframe.errors import (
    AuthenticationError,
    BadReplyError,
    BadRequestError,
    CallError,
    ContextLengthError,
    QuotaExhaustedError,
    RateLimitedError,
    ServerError,
)
from dreamframe.llms.http import Reply
from dreamframe.llms.rate_headers import until_more_s

CONTEXT = re.compile(
    r"context.{0,12}(length|window|size)|maximum.{0,20}(tokens|prompt length|input length)|prompt is too long|too many (input )?tokens"
    r"|input is too long|reduce the length|string_above_max_length|context_length_exceeded",
    re.IGNORECASE,
)
QUOTA = re.compile(
    r"insufficient[_ ](quota|balance|credit|funds)|exceeded your current quota|billing|credit balance|out of credits|payment required|spend(ing)? limit",
    re.IGNORECASE,
)
MODERATED = re.compile(r"content[_ ](filter|policy|management)|moderation|flagged|safety system|responsibleai", re.IGNORECASE)
SHOWN = 300  # characters of a server's words in a message


class Refusal:
    """A refusal taken apart: the provider's message, code, type and parameter, as far as it has them."""

    __slots__ = ("code", "location", "message", "param", "retry_after_s", "status", "text")

    def __init__(self, reply: Reply, error: Any = None) -> None:
        self.status = reply.status
        self.text = reply.body[:2000].decode("utf-8", "replace")
        found = error if error is not None else error_of(reply.body)
        found = found if isinstance(found, Mapping) else {"message": found}
        nested = found.get("message") or found.get("detail") or ""
        self.message = nested if isinstance(nested, str) else json.dumps(nested)
        self.code = " ".join(str(found[k]) for k in ("code", "type", "status") if found.get(k))
        self.param = str(found.get("param") or "")
        self.retry_after_s = retry_after_s(reply.headers)
        if self.retry_after_s is None:
            self.retry_after_s = until_more_s(reply.headers)
        self.location = reply.headers.get("Location", "")

    @property
    def words(self) -> str:
        """All that the server said, to look for what it means."""
        return f"{self.code} {self.param} {self.message or self.text}"

    @property
    def is_moderated(self) -> bool:
        """Whether a content filter refused the prompt: an answer, not an error."""
        return self.status in (400, 403) and bool(MODERATED.search(self.words))

    def error(self, *, place: str) -> CallError:
        """The error of the tree."""
        said = " ".join((self.message or _plain(self.text)).split())[:SHOWN] or "no reason given"
        message, status, text = f"{place}: {self.status}: {said}", self.status, self.text
        if status in (401, 403):
            return AuthenticationError(message, status=status, text=text)
        if status == 402 or (status in (400, 429) and QUOTA.search(self.words)):
            return QuotaExhaustedError(message, status=status, text=text)
        if status == 429:
            return RateLimitedError(message, status=status, text=text, retry_after_s=self.retry_after_s)
        if status in (408, 409, 425) or status >= 500:
            return ServerError(message, status=status, text=text, retry_after_s=self.retry_after_s)
        if status in (400, 413, 422) and CONTEXT.search(self.words):
            return ContextLengthError(message, status=status, text=text)
        if status < 300:
            return BadReplyError(message, status=status, text=text)
        if status < 400:
            message = f"{place}: {status}: the server sends its callers elsewhere, to {self.location!r}. Give that address as base_url= if you trust it"
        refused = BadRequestError(message, status=status, text=text)
        refused.stops_run = status < 400 or status in (404, 405)  # no such model or no such address: true for every row
        return refused


def error_of(body: bytes) -> Any:
    """The `error` of a JSON body, however the provider nests it; the whole body where there is none; {} if it is not JSON."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    if isinstance(found, list) and found:  # Gemini's compatible endpoint answers a list
        found = found[0]
    return found.get("error", found) if isinstance(found, dict) else {}


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After (seconds or a date) or retry-after-ms."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            return max(0.0, float(milliseconds) / 1000)
        after = headers.get("Retry-After")
        if after is None:
            return None
        if re.fullmatch(r"\s*[0-9.]+\s*", after):
            return float(after)
        return max(0.0, parsedate_to_datetime(after).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _plain(text: str) -> str:
    """The words of a page, without its tags."""
    return re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
