"""Replies of a batch API with status 200 that are errors, or lack what they must hold, are told in the server's words."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import BadReplyError, CallError, ServerError
from tests.loopback import Loopback

CALLS = ["submit", "state", "find"]


async def asked(make: Any, url: str, call: str) -> None:
    client = make("m", base_url=url, api_key="k").open()
    try:
        if call == "submit":
            await client.batches.submit([("k", b"{}")], path="/chat/completions", mark="m")
        elif call == "state":
            await client.batches.state("batch_1")
        else:
            await client.batches.find(mark="m", n_requests=1, since=0.0)
    finally:
        await client.close()


def error_of(make: Any, call: str, reply: dict[str, Any]) -> CallError:
    with Loopback(fault=lambda _: lambda c: c.send(200, reply)) as server, pytest.raises(CallError) as caught:
        asyncio.run(asked(make, server.url, call))
    return caught.value


@pytest.mark.parametrize("make", [dr.OpenAI, dr.Anthropic], ids=lambda make: make.__name__)
@pytest.mark.parametrize("call", CALLS)
def test_an_error_with_200_is_the_error_that_it_says(make: Any, call: str) -> None:
    error = error_of(make, call, {"object": "error", "message": "boom"})
    assert isinstance(error, ServerError)
    assert "boom" in str(error)


@pytest.mark.parametrize("make", [dr.OpenAI, dr.Anthropic], ids=lambda make: make.__name__)
@pytest.mark.parametrize("call", CALLS)
def test_a_reply_that_lacks_something_says_what(make: Any, call: str) -> None:
    error = error_of(make, call, {"hello": 1})
    assert isinstance(error, BadReplyError)
    assert "the reply has no " in str(error)
