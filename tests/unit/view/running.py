"""The command line in this process, and what it said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from typer.testing import CliRunner

from dreamframe.view.cli import app
from tests.loopback.server import Loopback


class Said(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def dreamframe(*words: object, given: str | bytes | None = None) -> Said:
    """Run one command; `given` is its standard input, and no terminal is there."""
    done = CliRunner().invoke(app, [str(word) for word in words], input=given, prog_name="dreamframe")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Said(done.exit_code, done.stdout, done.stderr)


def prompted(server: Loopback, source: object, text: str, *words: object, session: Path, given: str | bytes | None = None, yes: bool = True) -> Said:
    """`dreamframe prompt` of a server on this machine."""
    asked = ("--llm", "openai/m", "--base-url", server.url, "-s", session, *(["--yes"] if yes else []))
    return dreamframe("prompt", source, text, *asked, *words, given=given)
