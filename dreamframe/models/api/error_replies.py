"""What an error reply of a server means: status, codes, headers and, last of all, words, to the one error of the tree."""

from __future__ import annotations

import math
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
from dreamframe.models.api.error_body import codes_of, error_of, filtered, google_reasons, message_of, quotas_of
from dreamframe.models.api.error_codes import Meaning, meaning_of
from dreamframe.models.api.http import Reply
from dreamframe.models.api.rate_headers import seconds, until_more_s

CONTEXT = re.compile(
    r"context.{0,12}(length|window|size)|maximum.{0,20}(tokens|prompt length|input length)|prompt is too long|too many (input )?tokens"
    r"|input is too long|reduce the length",
    re.IGNORECASE,
)
EMPTY = re.compile(  # where no code and no header says what an error reply means
    r"\s*your credit balance is too low|insufficient[_ ](quota|balance|credits?|funds)|exceeded your current quota|out of credits|payment required",
    re.IGNORECASE,
)
PASSING = re.compile(r"per[ -](second|minute|hour)|\b(rpm|tpm|rps)\b|rate.?limit|try again in|too many requests", re.IGNORECASE)
LOADING = re.compile(r"\bloading\b|\bwarming up|\bstarting up|\bis starting|not ready|not yet ready", re.IGNORECASE)
NEVER = re.compile(r"limit:?\s*([\d,]+)[^\d]{1,40}requested:?\s*([\d,]+)", re.IGNORECASE)  # a request that is larger than a whole minute's limit
PASSES = (408, 409, 423, 424, 425, 499)  # worth another try, though below 500
SHOWN = 300  # characters of a server's words in a message
MEANS: Mapping[Meaning, int] = {"key": 401, "empty": 402, "rate": 429, "moderated": 400, "long": 400, "model": 404}
SAYS: Mapping[str, int] = {"overloaded": 529, "permission": 403, "not_found": 404, "invalid": 400, "badrequest": 400, "bad_request": 400}
IN_DOUBT: Mapping[int, tuple[int, int | None]] = {401: (2, 4), 403: (4, None), 404: (1, 4), 405: (1, 4)}
"""Different requests that must be refused with a status until it is true for every row: while nothing was answered ever, and in a row after that."""


class ErrorReply:
    """An error reply taken apart: the provider's message, codes, parameter and waiting time, as far as it has them."""

    __slots__ = ("code", "codes", "found", "location", "message", "param", "quotas", "retry_after_s", "status", "text")

    def __init__(self, reply: Reply) -> None:
        self.status = reply.status
        self.text = reply.body[:2000].decode("utf-8", "replace")
        self.found = found = error_of(reply.body)
        self.message = message_of(found)
        self.codes = codes_of(found)
        self.code = " ".join(self.codes)
        self.param = str(found.get("param") or "")
        self.quotas = quotas_of(found)
        self.location = reply.headers.get("Location", "")
        self.retry_after_s = retry_after_s(reply.headers)
        if self.retry_after_s is None:
            self.retry_after_s = until_more_s(reply.headers)
        if self.retry_after_s is None:
            self.retry_after_s = asked_in_body_s(found)

    @property
    def words(self) -> str:
        """All that the server said."""
        return f"{self.code} {self.param} {self.message or self.text}"

    @property
    def is_moderated(self) -> bool:
        """Whether a content filter refused the prompt, by a code that the provider has for it: an answer, not an error."""
        return self.status in (400, 403) and (meaning_of(self.codes) == "moderated" or filtered(self.found) is not None)

    @property
    def filtered_for(self) -> str | None:
        """What a content filter said of the prompt and found in it, where it reports that: it is not an answer, and goes with one that says so."""
        if (found := filtered(self.found)) is None:
            return None
        return f"{self.message} {found}".strip() or None

    @property
    def is_loading(self) -> bool:
        """Whether the server is there, and its model is not yet."""
        return self.status in (502, 503, 504) and bool("estimated_time" in self.found or LOADING.search(self.message or _plain(self.text)))

    def error(self, *, place: str, hint: str = "") -> CallError:
        """The error of the tree. `hint` is what to do."""
        said = " ".join((self.message or _plain(self.text)).split())[:SHOWN] or "no reason given"
        message, status, text = f"{place}: {self.status}: {said}{'.' if hint and said[-1] not in '.!?' else ''}{hint}", self.status, self.text
        meaning = meaning_of([*self.codes, *google_reasons(self.found)])
        if status == 402 or (meaning == "empty" and 400 <= status < 500) or self._sounds_empty(meaning):
            return QuotaExhaustedError(message, status=status, text=text)
        if status == 429 or (meaning == "rate" and status in (400, 403)):
            return self._not_now(message)
        if status in (401, 403) or (meaning == "key" and 400 <= status < 500):
            return self._locked_out(message, meaning)
        if status in PASSES or status >= 500:
            error = ServerError(message, status=status, text=text, retry_after_s=self.retry_after_s)
            error.is_loading = self.is_loading
            return error
        if status in (400, 413, 422) and (meaning == "long" or CONTEXT.search(self.words)):
            return ContextLengthError(message, status=status, text=text)
        if status < 300:
            return BadReplyError(message, status=status, text=text)
        if status < 400:
            message = f"{place}: {status}: the server sends its callers elsewhere, to {self.location!r}. Give that address as base_url= if you trust it"
        refused = BadRequestError(message, status=status, text=text)
        refused.stops_run = status < 400
        refused.stops_after = IN_DOUBT.get(status)  # no such model or no such address: most likely true for every row
        refused.of_model = True
        return refused

    def _sounds_empty(self, meaning: str | None) -> bool:
        """Whether nothing but the words is there to tell an empty account from "not now", and they tell it."""
        if meaning is not None or self.quotas or self.retry_after_s is not None or "RESOURCE_EXHAUSTED" in self.codes:
            return False
        if self.status == 400:  # Anthropic has no other sign of it; what the caller sent may be quoted further on
            return self.message.lower().startswith("your credit balance is too low")
        return self.status == 429 and bool(EMPTY.search(self.message or self.text)) and not PASSING.search(self.message)

    def _not_now(self, message: str) -> CallError:
        """A rate limit: of a minute, of a day, or one that this request will never fit."""
        if spent := [q for q in self.quotas if q.is_lasting]:
            error: CallError = QuotaExhaustedError(f"{message} ({', '.join(q.name for q in spent)})", status=self.status, text=self.text)
            error.of_model = all(q.of_model for q in spent)
            return error
        if (sizes := NEVER.search(self.message)) and int(sizes[2].replace(",", "")) > int(sizes[1].replace(",", "")) > 0:
            return BadRequestError(f"{message} (it asks for more than the limit allows in all)", status=self.status, text=self.text)
        return RateLimitedError(message, status=self.status, text=self.text, retry_after_s=self.retry_after_s)

    def _locked_out(self, message: str, meaning: str | None) -> CallError:
        """The key, the account, the model, or this row alone."""
        if meaning == "model":
            missing = BadRequestError(message, status=self.status, text=self.text)
            missing.stops_after, missing.of_model = IN_DOUBT[404], True
            return missing
        error = AuthenticationError(message, status=self.status, text=self.text)
        if meaning != "key":
            error.stops_run, error.stops_after = False, IN_DOUBT[self.status]
        return error


def status_of(error: Any) -> int:
    """The status that an error should have come with, by the number or the code that it names: routers send them with 200."""
    found = error_of(error)
    for code in codes_of(found):
        if code.isascii() and code.isdigit() and len(code) == 3 and 400 <= int(code) < 600:
            return int(code)
    meaning = meaning_of([*codes_of(found), *google_reasons(found)])
    if meaning is not None:
        return MEANS[meaning]
    if message_of(found).lower().startswith("unexpected endpoint"):  # LM Studio's 404
        return 404
    words = " ".join(codes_of(found)).lower().replace("invalid_request_error", "")  # routers call anything so
    return next((status for name, status in SAYS.items() if name in words), 500)


def asked_in_body_s(found: Mapping[str, Any]) -> float | None:
    """Seconds to wait, as Google (RetryInfo) and Hugging Face (estimated_time) name them in the body."""
    details = found.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, Mapping) and "retryDelay" in detail:
            delay = detail["retryDelay"]
            delay = delay.get("seconds") if isinstance(delay, Mapping) else delay
            return seconds(str(delay))
    wait = found.get("estimated_time")
    return min(max(0.0, float(wait)), 3600.0) if isinstance(wait, int | float) and math.isfinite(wait) else None


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from Retry-After (seconds or a date) or retry-after-ms. None for what is neither."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            found = float(milliseconds) / 1000
        elif (after := headers.get("Retry-After")) is None:
            return None
        elif re.fullmatch(r"\s*[+-]?[0-9.]+\s*", after):
            found = float(after)
        else:
            found = parsedate_to_datetime(after).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, found) if math.isfinite(found) else None


def _plain(text: str) -> str:
    """The words of a page, without its tags."""
    return re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
