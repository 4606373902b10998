"""A key that goes through everything leaves no byte of itself anywhere."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.fingerprint import canonical
from dreamframe.run.progress import render
from tests.loopback.replies import error
from tests.loopback.server import Call, Loopback

CANARY = "sk-canary-3f9c27d1b8"


@pytest.fixture
def server() -> Iterator[Loopback]:
    """Answers most rows, refuses one, and repeats the key in what it says, as some servers do."""

    def fault(call: Call):
        if "row 3" in call.prompt:
            return lambda c: c.send(400, error(f"bad request for key {CANARY}"))
        if "row 5" in call.prompt and call.ordinal < 40:
            return lambda c: c.send(500, error(f"internal error, key {CANARY}"))
        return None

    with Loopback(fault=fault) as running:
        yield running


def test_no_byte_of_a_key_is_shown_or_written(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), dr.Session(tmp_path / "session", progress=True) as session:
        with_user = server.url.replace("//", f"//user:{CANARY}@")
        for llm in (dr.OpenAI("m", base_url=server.url, api_key=CANARY, backoff_s=0.01), dr.OpenAI("m", base_url=with_user, backoff_s=0.01)):
            df = dr.frame({"i": range(8)}).prompt(llm, "row {i}", into="said").prompt(llm, "Again {said}", into="again", on_error="null")
            with pytest.raises(dr.errors.RowsFailedError) as raised:
                df.collect()
            shown += [repr(llm), str(llm), repr(df), df._repr_html_(), df.explain(), df.show_graph(), str(raised.value), repr(raised.value.failures)]
            shown += [str(df.failures().to_dicts()), str(session.usage()), session.summary(), repr(session), str(df.step.key_parts())]
            shown += [repr(canonical(llm)), repr(llm.identity()), repr(llm.key_fields())]
            shown.append(str(raised.getrepr(showlocals=False)))
            render(session.runs[-1], 0.0)
    shown += [out.getvalue(), caplog.text]
    for text in shown:
        assert CANARY not in text
    files = [p for p in (tmp_path / "session").rglob("*") if p.is_file()]
    assert len(files) >= 3
    for file in files:
        assert CANARY.encode() not in file.read_bytes(), file
        assert CANARY not in file.name


def test_the_search_would_find_a_key_that_is_written(server: Loopback, tmp_path: Path):
    llm = dr.OpenAI("m", base_url=server.url, api_key="other")
    with dr.Session(tmp_path / "session"):
        dr.frame({"t": [f"the prompt says {CANARY}"]}).prompt(llm, "{t}").collect()
    assert any(CANARY.encode() in p.read_bytes() for p in (tmp_path / "session").rglob("*") if p.is_file())
