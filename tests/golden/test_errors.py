"""What wrong input is answered with, word for word: which step, what it saw, what is possible, what to do. And nothing is lost by it."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from tests.golden.files import Golden

GOLDEN = Golden("errors.txt")
ECHO = dr.testing.Echo()


def tickets() -> dr.Frame:
    return dr.frame({"topic": ["tea", "rain"], "level": [1, 2], "body": ["a", "b"]})


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def server_that_is_not_there() -> Any:
    llm = dr.OpenAI("small", base_url=f"http://127.0.0.1:{closed_port()}/v1", attempts=2, backoff_s=0.001)
    return tickets().prompt(llm, "{body}", into="said").collect()


def newer_session() -> Any:
    Path("output").mkdir()
    Path("output/session.json").write_text(json.dumps({"format": 99, "libraries": {"dreamframe": "9.0"}}))
    with dr.Session("output"):
        return tickets().collect()


def edited_while_wrong() -> Any:
    pl.DataFrame({"topic": ["tea"]}).write_csv("tickets.csv")
    return dr.scan_csv("ticket.csv")


def local_model() -> Path:
    Path("model").mkdir()
    Path("model/config.json").write_text("{}")
    return Path("model")


WRONG: dict[str, Callable[[], Any]] = {
    "missing column in a prompt": lambda: tickets().prompt(ECHO, "About {topik}"),
    "missing column in an expression": lambda: tickets().filter(pl.col("levle") > 1),
    "missing column, nothing near": lambda: tickets().select("price"),
    "missing column after a drop": lambda: tickets().drop("body").prompt(ECHO, "{body}"),
    "template with an attribute": lambda: tickets().prompt(ECHO, "{topic.name}"),
    "template with an index": lambda: tickets().prompt(ECHO, "{topic[0]}"),
    "template with a format": lambda: tickets().prompt(ECHO, "{topic:>9}"),
    "template with a conversion": lambda: tickets().prompt(ECHO, "{topic!r}"),
    "template with an empty field": lambda: tickets().prompt(ECHO, "{} and {}"),
    "template with an open brace": lambda: tickets().prompt(ECHO, 'Answer as {"topic": ...'),
    "template with a stray brace": lambda: tickets().prompt(ECHO, "{topic} }"),
    "prompt of a wrong kind": lambda: tickets().prompt(ECHO, 3),  # type: ignore[arg-type]
    "duplicate output column": lambda: tickets().prompt(ECHO, "{body}", into="topic"),
    "duplicate output column of two prompts": lambda: tickets().prompt(ECHO, "{body}").prompt(ECHO, "{topic}"),
    "duplicate column in a select": lambda: tickets().select("topic", pl.col("level").alias("topic")),
    "a model expression in plain polars": lambda: pl.DataFrame({"body": ["a"]}).with_columns(dr.prompt(ECHO, "Sum up {body}")),
    "a wildcard in a model expression": lambda: tickets().filter(pl.all() == dr.prompt(ECHO, "{body}")),
    "a model string without a provider": lambda: tickets().prompt("gpt-4o-mini", "{body}"),
    "a model string with an unknown provider": lambda: tickets().prompt("opnai/gpt-4o-mini", "{body}"),
    "a model string without a model": lambda: tickets().prompt("openai/", "{body}"),
    "an unknown setting of a prompt": lambda: tickets().prompt(ECHO, "{body}", temprature=0),
    "an impossible value of a setting": lambda: tickets().prompt(ECHO, "{body}", max_tokens="many"),
    "an impossible on_error": lambda: tickets().prompt(ECHO, "{body}", on_error="ignore"),
    "probabilities of a model that tells none": lambda: tickets().filter_by(ECHO, "Angry? {body}", probability="p"),
    "probabilities of free text": lambda: tickets().prompt(dr.testing.Scripted({}), "{body}", probability="p"),
    "an answer schema that is none": lambda: tickets().prompt(ECHO, "{body}", schema=3),
    "labels that are none": lambda: tickets().classify(ECHO, None, "body"),
    "a rubric that is none": lambda: tickets().score(ECHO, {}, "body"),
    "a score without a number": lambda: tickets().rank_by(ECHO, "Rate {body}").collect(),
    "a judge without a verdict": lambda: tickets().judge(ECHO, a="topic", b="body").collect(),
    "preferences without a judge": lambda: tickets().to_preferences(),
    "a reduction of two columns": lambda: tickets().group_by("level").reduce_by(ECHO, "{topic} {body}"),
    "a block that is none": lambda: tickets().join_by(tickets(), ECHO, "{topic} {body}", block=3),  # type: ignore[arg-type]
    "a condition on other rows": lambda: tickets().until(2, where=pl.col("level") > pl.col("level").mean()),
    "too few rows": lambda: tickets().prompt(ECHO, "{body}", into="said").until(2, where=pl.col("said") == "a", max_candidates=2).collect(),
    "no key": lambda: tickets().prompt(dr.OpenAI("gpt-4o-mini"), "{body}").collect(),
    "a server that is not there": server_that_is_not_there,
    "a session of a newer format": newer_session,
    "a missing file": edited_while_wrong,
    "rows of a wrong kind": lambda: dr.frame("tickets.csv"),
    "a name that dreamframe does not have": lambda: dr.scan_cvs("tickets.csv"),
    "setting a column": lambda: setattr(tickets(), "topic", 1),
    "a split over one": lambda: tickets().split(train=0.9, test=0.2),
    "a condition that is none": lambda: tickets().filter(pl.col("level") + 1),
    "an unknown field of a struct": lambda: tickets().select(pl.struct("topic").struct.field("name")),
    "a budget below nothing": lambda: dr.Session(None, budget=-1),
    "an unknown engine": lambda: dr.Session(None, engine="spark"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_answered_with(name: str, session: dr.Session, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(Exception) as raised:  # noqa: PT011  the golden file holds the kind
        WRONG[name]()
    GOLDEN.check(name, f"{type(raised.value).__name__}: {steady(str(raised.value))}")


def steady(message: str) -> str:
    """Without what differs from machine to machine (folders, ports) and without the list of providers, which grows."""
    message = message.replace(str(Path.cwd()), "HERE")
    message = re.sub(r"(127\.0\.0\.1(?::|', ))\d+", r"\1PORT", message)
    return re.sub(r"Possible: openai, .*\. Example", "Possible: openai, …. Example", message)


@pytest.mark.parametrize(
    ("library", "use"),
    [
        ("aiohttp", lambda: tickets().prompt(dr.OpenAI("m", base_url="http://127.0.0.1:9/v1"), "{body}").collect()),
        ("xllamacpp", lambda: tickets().prompt(dr.SmolLM2(threads=1), "{body}").collect()),
        ("transformers", lambda: tickets().prompt(dr.Transformers(local_model()), "{body}").collect()),
    ],
    ids=["aiohttp", "xllamacpp", "transformers"],
)
def test_a_missing_library_is_answered_with(library: str, use: Callable[[], Any], session: dr.Session, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, library, None)  # as if it were not installed: importing it raises ImportError
    with pytest.raises(dr.errors.DreamframeError) as raised:
        use()
    GOLDEN.check(f"without {library}", f"{type(raised.value).__name__}: {steady(str(raised.value))}")


def test_the_file_has_no_other_sections():
    GOLDEN.check_names([*WRONG, *(f"without {library}" for library in ("aiohttp", "xllamacpp", "transformers"))])


def test_a_newer_session_is_left_as_it_was():
    with pytest.raises(dr.errors.SessionFormatError):
        newer_session()
    assert json.loads(Path("output/session.json").read_text())["format"] == 99
    assert [p.name for p in Path("output").iterdir()] == ["session.json"]


def test_answers_that_came_before_an_error_are_kept():
    """Wrong input is fixed and the script run again: what was paid for is there."""
    llm = dr.testing.Scripted(lambda prompt: prompt if prompt != "b" else dr.errors.BadRequestError("refused", status=400))
    with dr.Session("output"), pytest.raises(dr.errors.RowsFailedError):
        tickets().prompt(llm, "{body}", into="said").collect()
    assert llm.calls == 2
    with dr.Session("output"):
        assert tickets().prompt(llm, "{body}", into="said", on_error="null").collect()["said"].to_list() == ["a", None]
    assert llm.prompts[2:] == ["b"]
