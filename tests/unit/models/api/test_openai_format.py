"""Replies as JSON: read whole or not at all, whatever stands around them and however they are encoded."""

from __future__ import annotations

import pytest

from dreamframe.errors import BadReplyError
from dreamframe.models.api.openai_format import parsed


@pytest.mark.parametrize("body", [b'{"a": 1}', b' \n{"a": 1}\r\n', '{"a": 1}'.encode("utf-8-sig"), '{"a": 1}'.encode("utf-16")])
def test_a_reply_is_read_with_what_json_allows_around_it(body: bytes):
    assert parsed(body, place="here") == {"a": 1}


@pytest.mark.parametrize("body", [b'{"a": 1} {"a": 2}', b'{"a": 1}x', b'{"a": 1', b"", b"<html>", b"\xff\xfe\xfd", b"[" * 100_000])
def test_what_is_more_or_less_than_one_value_is_no_reply(body: bytes):
    with pytest.raises(BadReplyError, match="here: the reply is not JSON"):
        parsed(body, place="here")
