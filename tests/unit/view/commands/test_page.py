"""`dreamframe view` in a process of its own: it tells one address, which shows the session, and Ctrl-C ends it well."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import dreamframe as dr

ROOT = Path(__file__).resolve().parents[4]


def test_the_page_is_at_the_address_that_is_told(tmp_path: Path):
    with dr.Session(tmp_path / "s", progress=False):
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "Say {t}", into="said").collect()
    words = [sys.executable, "-m", "dreamframe", "view", str(tmp_path / "s"), "--no-open"]
    running = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    found = re.search(r"http://127\.0\.0\.1:\d+/\S*", running.stdout.readline())
    assert found is not None
    with urllib.request.urlopen(found[0], timeout=30) as reply:
        assert (reply.status, b"<html" in reply.read()) == (200, True)
    running.send_signal(signal.SIGINT)
    assert (running.communicate(timeout=30)[1], running.returncode) == ("", 0)
