"""A server that says what a test tells it to, and a frame that is asked there: what becomes of each reply, as a user sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import dreamframe as dr
from tests.loopback import Call, Loopback, replies

Reply = Callable[[int, dict[str, Any]], Any]  # (number of the call, its body) → the reply's JSON, or (status, JSON)
Verb = Callable[[dr.Frame, Any], dr.Frame]


class Seen(NamedTuple):
    """What a user sees of a run."""

    answers: list[Any]  # the last column; null where the row failed
    failures: list[tuple[str, str]]  # (error, message), in order of the rows
    calls: list[dict[str, Any]]  # bodies of the requests


def prompted(df: dr.Frame, llm: Any, **settings: Any) -> dr.Frame:
    return df.prompt(llm, "{t}", into="a", **{"on_error": "null", **settings})


def run(
    reply: Reply, rows: Sequence[str] = ("a",), make: Any = dr.OpenAI, *, where: Path | None = None, verb: Verb | None = None, llm: Any = None, **settings: Any
) -> Seen:
    """Ask a server that replies so about each row."""

    def behave(call: Call) -> None:
        said = reply(call.ordinal, call.body)
        status, body = said if isinstance(said, tuple) else (200, said)
        call.send(status, body)

    with Loopback(fault=lambda call: behave) as server, dr.Session(where, progress=False):
        url = server.url.removesuffix("/v1") if make is dr.Anthropic else server.url
        model = make("m", base_url=url, identity="here", **{"api_key": "k", "attempts": 3, "backoff_s": 0.001, "concurrency": 4, **(llm or {})})
        df = verb(dr.frame({"t": list(rows)}), model) if verb is not None else prompted(dr.frame({"t": list(rows)}), model, **settings)
        out = df.collect()
        failures = df.failures()
        seen = list(failures.select("error", "message").iter_rows()) if failures.height else []
        return Seen(out.get_column(out.columns[-1]).to_list(), seen, [c.body for c in server.calls])


def chat(content: Any, finish: Any = "stop", **message: Any) -> dict[str, Any]:
    """A reply of a chat API, with no more in it than there must be."""
    return {"choices": [{"message": {"content": content, **message}, "finish_reason": finish}]}


def message(*content: dict[str, Any], stop: Any = "end_turn") -> dict[str, Any]:
    """A reply of Anthropic's API."""
    return {"content": list(content), "stop_reason": stop, "usage": {}, "model": "m"}


def response(*output: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    """A reply of the responses API."""
    return {"status": status, "output": list(output), "error": None, **more}


def text(said: str) -> dict[str, Any]:
    """A block of text of Anthropic's."""
    return {"type": "text", "text": said}


def said(*parts: dict[str, Any]) -> dict[str, Any]:
    """A message of the responses API."""
    return {"type": "message", "content": list(parts)}


def last(body: dict[str, Any]) -> str:
    """What was asked last."""
    return replies.prompt_of(body)
