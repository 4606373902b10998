"""A person is asked before money is spent, on a real terminal, also where rows come through a pipe and go into a file."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dreamframe.view.guard import NOT_ALLOWED, STOPPED
from tests.loopback.server import Loopback
from tests.unit.view.running import dreamframe

ROOT = Path(__file__).resolve().parents[3]
QUESTION = b"[N]o: "


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


class Terminal:
    """A program on a terminal of its own, whose standard input is a pipe and whose standard output a file, as a shell starts it."""

    def __init__(self, server: Loopback, folder: Path) -> None:
        self.screen, inner = pty.openpty()
        command = f"{sys.executable} -m dreamframe prompt - 'Say {{text}}' --llm openai/m --base-url {server.url} -s {folder / 's'}"
        line = f"exec {command} < {folder / 'rows.csv'} > {folder / 'out.csv'}"
        self.running = subprocess.Popen(["setsid", "--ctty", "sh", "-c", line], stdin=inner, stdout=inner, stderr=inner, cwd=ROOT)
        os.close(inner)
        self.seen = b""

    def answers(self, said: bytes) -> None:
        """Wait for the question, and type."""
        n, deadline = self.seen.count(QUESTION), time.monotonic() + 60
        while self.seen.count(QUESTION) == n and time.monotonic() < deadline:
            self.seen += os.read(self.screen, 4096)
        os.write(self.screen, said)

    def ends(self) -> int:
        with contextlib.suppress(OSError):  # the other end is closed
            while more := os.read(self.screen, 4096):
                self.seen += more
        os.close(self.screen)
        return self.running.wait(60)

    @property
    def text(self) -> str:
        return self.seen.decode().replace("\r\n", "\n")


@pytest.fixture
def terminal(server: Loopback, tmp_path: Path) -> Terminal:
    (tmp_path / "rows.csv").write_text("text\ntea\njam\nrye\noat\n")
    return Terminal(server, tmp_path)


def test_three_rows_are_tried_first_and_paid_for_once(terminal: Terminal, server: Loopback, tmp_path: Path):
    terminal.answers(b"t\n")
    terminal.answers(b"y\n")
    assert terminal.ends() == 0
    assert re.search(r"The first requests to m:\n 1  Say tea\n 2  Say jam\n 3  Say rye\n4 calls · ", terminal.text)
    assert re.search(r"Their answers:\n 1  Say tea\n 2  Say jam\n 3  Say rye\n3 of 4 kept · 1 call · ", terminal.text)
    assert "4 rows · 4 asked, 0 kept" in terminal.text
    assert sorted(server.prompts) == ["Say jam", "Say oat", "Say rye", "Say tea"]
    assert (tmp_path / "out.csv").read_text() == "text,answer\ntea,Say tea\njam,Say jam\nrye,Say rye\noat,Say oat\n"
    assert [plan["label"] for plan in dreamframe("ls", tmp_path / "s", "--json").json["plans"]] == ["answer"]  # the trial left no plan


@pytest.mark.parametrize(("said", "code", "told"), [(b"\n", NOT_ALLOWED, "Nothing was asked."), (b"\x03", STOPPED, "Stopped.")], ids=["no", "ctrl-c"])
def test_without_a_yes_nothing_is_asked(said: bytes, code: int, told: str, terminal: Terminal, server: Loopback, tmp_path: Path):
    terminal.answers(said)
    assert terminal.ends() == code
    assert terminal.text.rstrip().endswith(told)
    assert (server.n_calls, (tmp_path / "out.csv").read_text()) == (0, "")
