"""The redactor: no piece of a secret is left of any encoding, and nothing else goes."""

from __future__ import annotations

import base64
import json
import urllib.parse

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamframe.models.api.http import Reply
from dreamframe.redaction.redactor import Redactor
from tests.leaks import ENCODED, leaks
from tests.loopback import replies

KEY = "sk-Canary3f9c27d1b8E64a05"


@pytest.mark.parametrize("short", ["hunter2", "p.w", "aß9!"])
def test_a_short_key_goes_where_it_stands_alone(short: str) -> None:
    hides = Redactor([short])
    basic = base64.b64encode(short.encode()).decode()
    assert hides.text(f"key {short}, {json.dumps(short)}, {urllib.parse.quote(short)}; {basic}") == f'key ***, "***", ***; ***{"=" * basic.count("=")}'
    assert hides.text(f"x{short}x") == f"x{short}x"


@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=8, max_size=60),
    st.sampled_from(sorted(set(ENCODED) - {"upper case", "two lines"})),
    st.text(max_size=20),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_piece_of_a_key_is_left_of_any_encoding(key: str, form: str, around: str) -> None:
    said = Redactor([key]).text(f"{around} {ENCODED[form](key)} {around}")
    stood = set(leaks(key, f"{around} {around}") + leaks(key, "***"))
    assert set(leaks(key, said)) <= stood


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz ,.%\\&;", max_size=300))
@settings(max_examples=100, deadline=None)
def test_a_text_without_the_key_stays_as_it_is(text: str) -> None:
    assert Redactor([KEY]).text(text) == text


def test_a_good_reply_is_not_copied() -> None:
    reply = Reply(200, {}, json.dumps(replies.chat({}, "tea")).encode())
    assert reply.without(Redactor([KEY])) is reply


@pytest.mark.parametrize("words", ["development", "correct horse battery", "/home/me/.ssh/key1", "postgres"])
def test_a_piece_of_words_that_the_environment_calls_secret_stays(words: str) -> None:
    hides = Redactor([], [words])
    assert hides.text(f"in {words}.") == "in ***."
    assert hides.text(f"in {words[:8]}x") == f"in {words[:8]}x"


def test_a_cause_that_cannot_be_changed_is_named_in_words() -> None:
    class Stubborn(Exception):
        def __str__(self) -> str:
            return f"stubborn {KEY}"

    error = ValueError("outer")
    error.__cause__ = Stubborn()
    Redactor([KEY]).error(error)
    assert str(error.__cause__) == "Stubborn: stubborn ***"
    assert error.__suppress_context__


def test_errors_that_lead_to_one_another_end() -> None:
    a, b = ValueError(KEY), TypeError(f"Bearer {KEY}")
    a.__context__, b.__cause__ = b, a
    group = ExceptionGroup(f"all {KEY}", [a, OSError(2, f"no {KEY}", f"/tmp/{KEY}")])
    Redactor([KEY]).error(group)
    assert leaks(KEY, f"{group.exceptions!r} {a!r} {a.__context__!r} {[str(e) for e in group.exceptions]}") == []


def test_headers_without_the_key_have_names_without_case() -> None:
    from multidict import CIMultiDict, CIMultiDictProxy

    given = CIMultiDictProxy(CIMultiDict({"retry-after": "7", "x-said": f"Bearer {KEY}"}))
    for headers in (given, CIMultiDictProxy(CIMultiDict({"retry-after": "7"}))):
        clean = Reply(429, headers, b"").without(Redactor([KEY])).headers
        assert clean.get("Retry-After") == "7"
        assert KEY not in str(clean)
    assert given["x-said"] == f"Bearer {KEY}", "what the library holds is not changed"


def test_a_large_reply_is_searched_fast() -> None:
    body = b'{"data": "' + b"x" * (8 << 20) + KEY.encode() + b'"}'
    assert KEY.encode() not in Redactor([KEY]).data(body)


SPELLED = {
    "UTF-16": KEY.encode("utf-16-le").decode("latin-1"),
    "UTF-32": KEY.encode("utf-32-be").decode("latin-1"),
    "UTF-16, escaped": repr(KEY.encode("utf-16-le")),
    "a line end in it": f"{KEY[:9]}\r\n {KEY[9:]}",
    "hexadecimal with colons": ":".join(f"{ord(c):02X}" for c in KEY),
    "letter by letter": " ".join(KEY),
    "signs without width": "\u200b".join(KEY),
    "base64 in lines": base64.encodebytes(b"x" * 50 + KEY.encode()).decode(),
}


@pytest.mark.parametrize("form", SPELLED)
def test_what_stands_between_the_letters_of_a_key_hides_none_of_it(form: str) -> None:
    before, after = "it is: ", " - that is all."
    said = Redactor([KEY]).text(f"{before}{SPELLED[form]}{after}")
    assert said.startswith(before)
    assert said.endswith(after)
    assert SPELLED[form][-12:] not in said
    assert len(said.split("***")) == 2


def test_an_answer_that_spells_a_key_in_escapes_of_json_loses_it() -> None:
    spelled = "".join(f"\\u{ord(c):04X}" if i % 2 else c for i, c in enumerate(KEY))
    body = json.dumps(replies.chat({}, "it is KEY, \u00e9")).replace("KEY", spelled).encode()
    kept = Reply(200, {}, body).without(Redactor([KEY])).body
    assert json.loads(kept) == replies.chat({}, "it is ***, \u00e9")
