"""What servers announce of their limits with every reply: how many calls and tokens are left, and when there will be more.

OpenAI's names (https://platform.openai.com/docs/guides/rate-limits), which Groq, Together, Mistral and others use as well, and Anthropic's
(https://docs.anthropic.com/en/api/rate-limits).
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from datetime import datetime

from dreamframe.models.request import Room

NAMES = {
    "x-ratelimit-remaining-requests": ("x-ratelimit-reset-requests", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    "anthropic-ratelimit-requests-remaining": (
        "anthropic-ratelimit-requests-reset",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
}
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
DURATION = re.compile(rf"(?:{PART.pattern})+")
LONGEST_S = 86400.0


def room_of(headers: Mapping[str, str]) -> Room | None:
    """What the headers of a reply announce; None where they announce nothing that can be read."""
    for n_requests, (requests_reset, n_tokens, tokens_reset) in NAMES.items():
        if (requests := headers.get(n_requests)) is not None:
            room = Room(_whole(requests), seconds(headers.get(requests_reset)), _whole(headers.get(n_tokens)), seconds(headers.get(tokens_reset)))
            return room if room.requests is not None or room.tokens is not None else None
    return None


def until_more_s(headers: Mapping[str, str]) -> float | None:
    """Seconds until a server that refuses would take more, as its limits say; None where they do not say it."""
    room = room_of(headers)
    if room is None:
        return None
    waits = [wait for left, wait in ((room.requests, room.requests_s), (room.tokens, room.tokens_s)) if left == 0 and wait is not None]
    return max(waits, default=None)


def seconds(text: str | None) -> float | None:
    """A time to wait: "6m0s", "20ms", "1.5" (seconds) or the moment itself (RFC 3339). None for anything else.

    >>> seconds("6m0s"), seconds("20ms"), seconds("1.5"), seconds("soon")
    (360.0, 0.02, 1.5, None)
    """
    if text is None:
        return None
    text = text.strip()
    if DURATION.fullmatch(text):
        found = sum(float(number) * UNITS[unit] for number, unit in PART.findall(text))
    else:
        try:
            found = float(text)
        except ValueError:
            try:
                found = datetime.fromisoformat(text).timestamp() - time.time()
            except (ValueError, OverflowError):
                return None
    return min(max(0.0, found), LONGEST_S) if not math.isnan(found) else None


def _whole(text: str | None) -> int | None:
    """A number of calls or tokens."""
    return int(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 16 else None
