"""What servers announce of their limits, in all the ways that they write it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dreamframe.models.api.error_replies import ErrorReply
from dreamframe.models.api.http import Reply
from dreamframe.models.api.rate_headers import room_of, seconds, until_more_s
from dreamframe.models.llms.openai import OpenAI
from dreamframe.models.request import Room
from tests.loopback import Call, Loopback
from tests.loopback.asking import ask


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("20ms", 0.02),
        ("1h2m3.5s", 3723.5),
        ("2d", 86400.0),
        ("7.66", 7.66),
        ("0", 0.0),
        ("-5", 0.0),
        ("inf", 86400.0),
        ("1e999", 86400.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("5 parsecs", None),
        (None, None),
    ],
)
def test_times_are_read_as_they_are_written(text: str | None, found: float | None) -> None:
    assert seconds(text) == found


def test_a_moment_is_the_time_until_then() -> None:
    moment = (datetime.now(UTC) + timedelta(seconds=30)).isoformat(timespec="seconds").replace("+00:00", "Z")
    assert seconds(moment) == pytest.approx(30, abs=2)
    assert seconds("2020-01-01T00:00:00Z") == 0.0


OPENAI = {
    "x-ratelimit-limit-requests": "60",
    "x-ratelimit-remaining-requests": "59",
    "x-ratelimit-reset-requests": "1s",
    "x-ratelimit-remaining-tokens": "149984",
    "x-ratelimit-reset-tokens": "6m0s",
}
ANTHROPIC = {
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2020-01-01T00:00:00Z",
    "anthropic-ratelimit-tokens-remaining": "7000",
    "anthropic-ratelimit-tokens-reset": "2020-01-01T00:00:00Z",
}


@pytest.mark.parametrize(
    ("headers", "room"),
    [
        (OPENAI, Room(59, 1.0, 149984, 360.0)),
        (ANTHROPIC, Room(49, 0.0, 7000, 0.0)),
        ({"x-ratelimit-remaining-requests": "5"}, Room(5, None, None, None)),
        ({"x-ratelimit-remaining-requests": "-1"}, None),
        ({"x-ratelimit-remaining-requests": "many", "x-ratelimit-remaining-tokens": "\u0665"}, None),
        ({}, None),
    ],
    ids=["openai", "anthropic", "one number", "negative", "no numbers", "none"],
)
def test_what_is_left_is_read(headers: dict[str, str], room: Room | None) -> None:
    assert room_of(headers) == room


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        (OPENAI | {"x-ratelimit-remaining-requests": "0"}, 1.0),
        (OPENAI | {"x-ratelimit-remaining-tokens": "0"}, 360.0),
        (OPENAI, None),
        (OPENAI | {"x-ratelimit-remaining-requests": "0", "Retry-After": "7"}, 7.0),
        ({"retry-after-ms": "250", "Retry-After": "7"}, 0.25),
    ],
    ids=["calls", "tokens", "neither", "Retry-After counts first", "in milliseconds"],
)
def test_a_refusal_says_when(headers: dict[str, str], wait_s: float | None) -> None:
    assert ErrorReply(Reply(429, headers, b"{}")).retry_after_s == wait_s
    assert until_more_s(headers) in (wait_s, 1.0, None)


def test_a_server_whose_limits_stand_in_its_headers_never_refuses() -> None:
    """Twenty calls a window of a third of a second; the 21st would be refused."""
    windows: dict[int, int] = {}
    refused = []

    def behave(call: Call) -> Any:
        window = int(call.at * 3)
        windows[window] = n = windows.get(window, 0) + 1
        headers = {"x-ratelimit-remaining-requests": str(max(0, 20 - n)), "x-ratelimit-reset-requests": f"{1000 * ((window + 1) / 3 - call.at) + 5:.0f}ms"}

        def answer(call: Call) -> None:
            refused.append(n > 20)
            call.send(429 if n > 20 else 200, {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}, headers)

        return answer

    with Loopback(fault=behave) as server:
        run, failures = ask(OpenAI("m", base_url=server.url, concurrency=10), [f"p{i}" for i in range(80)])
    assert (failures, len(run.texts)) == ({}, 80)
    assert sum(refused) <= 2  # the clocks of server and client are not one
