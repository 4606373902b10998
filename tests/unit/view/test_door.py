"""Who may see the page: whoever has its address, and no page of a stranger's in the same browser."""

from __future__ import annotations

import pytest

from dreamframe.view.door import Door

DOOR = Door(4321, "s3cret")
OWN = {"host": "127.0.0.1:4321"}


@pytest.mark.parametrize(
    "headers",
    [
        OWN,
        {"host": "localhost:4321"},
        {**OWN, "origin": "http://127.0.0.1:4321", "sec-fetch-site": "same-origin"},
        {**OWN, "sec-fetch-site": "none"},
        {**OWN, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"},  # a link that was clicked
    ],
)
def test_who_has_the_address_comes_in(headers: dict[str, str | None]) -> None:
    assert DOOR.refusal("/s3cret/api/overview?since=1", headers) is None


@pytest.mark.parametrize(
    ("path", "headers", "why"),
    [
        ("/", OWN, "token"),
        ("/s3cre/", OWN, "token"),
        ("/s3cretx/", OWN, "token"),
        ("//s3cret/", OWN, "token"),
        ("/é/", OWN, "token"),
        ("http://127.0.0.1:4321/s3cret/", OWN, "token"),
        ("/s3cret/", {}, "host"),
        ("/s3cret/", {"host": "evil.example:4321"}, "host"),
        ("/s3cret/", {"host": "127.0.0.1"}, "host"),
        ("/s3cret/", {"host": "127.0.0.1:4321.evil.example"}, "host"),
        ("/s3cret/", {**OWN, "origin": "http://evil.example"}, "origin"),
        ("/s3cret/", {**OWN, "origin": "null"}, "origin"),
        ("/s3cret/", {**OWN, "origin": "http://127.0.0.1:80"}, "origin"),
        ("/s3cret/", {**OWN, "sec-fetch-site": "cross-site"}, "site"),
        ("/s3cret/", {**OWN, "sec-fetch-site": "same-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, "site"),
    ],
)
def test_everybody_else_is_refused(path: str, headers: dict[str, str | None], why: str) -> None:
    assert DOOR.refusal(path, headers) == why
