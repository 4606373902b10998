"""The process's loop: Ctrl-C is KeyboardInterrupt whatever the loop is at, batches come in order, a forked child is told."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator

import pytest

from dreamframe.run import loop


def test_ctrl_c_while_the_loop_is_busy_is_a_keyboard_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SETTLE_S", 0.05)
    is_busy, may_end = threading.Event(), threading.Event()

    async def busy() -> None:
        is_busy.set()
        may_end.wait(30)  # the whole loop stands

    def interrupt(job: loop.Job[None]) -> None:
        assert is_busy.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.Job, "result", interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run(busy())
    finally:
        may_end.set()


def test_ctrl_c_waits_until_what_came_back_is_put_away(monkeypatch: pytest.MonkeyPatch) -> None:
    began, put_away = threading.Event(), []

    async def working() -> None:
        try:
            began.set()
            await asyncio.sleep(1000)
        finally:
            for _ in range(50):
                await asyncio.sleep(0)
            put_away.append(True)

    def interrupt(job: loop.Job[None]) -> None:
        assert began.wait(30)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop.Job, "result", interrupt)
    with pytest.raises(KeyboardInterrupt):
        loop.run(working())
    assert put_away == [True]


@pytest.mark.parametrize("n_taken", [0, 1, 3, 100])
def test_a_reader_that_stops_stops_the_maker(n_taken: int) -> None:
    made, is_closed = [], threading.Event()

    async def numbers() -> AsyncGenerator[int, None]:
        try:
            for n in range(100):
                made.append(n)
                yield n
        finally:
            is_closed.set()

    handed = loop.Handover(numbers)
    job = loop.Job(handed.fill())
    taken = [n for n, _ in zip(handed.taken(job), range(n_taken), strict=False)]
    job.cancel()
    assert taken == list(range(n_taken))
    assert len(made) <= n_taken + loop.MOST_READY + 2, "no more than a few wait to be taken"
    assert is_closed.wait(5) or not made


@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("late"), SystemExit(3)], ids=lambda e: type(e).__name__)
def test_what_ends_the_maker_reaches_the_reader(error: BaseException) -> None:
    async def numbers() -> AsyncGenerator[int, None]:
        yield 0
        raise error if isinstance(error, Exception) else RuntimeError(str(error))

    handed = loop.Handover(numbers)
    read = []
    with pytest.raises((type(error), RuntimeError)):
        read.extend(handed.taken(loop.Job(handed.fill())))
    assert len(read) <= 1


FORKED = """
import os, sys, dreamframe as dr
with dr.Session(None):
    df = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}")
    df.collect()
    child = os.fork()
    if child == 0:
        try:
            with dr.Session("s"):
                df.collect()
        except dr.errors.ForkedError as exc:
            os.write(1, str(exc).encode())
            os._exit(3)
        os._exit(0)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_is_told_and_does_not_hang() -> None:
    ended = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3, ended.stderr
    assert "was forked from one that had run a plan" in ended.stdout
    assert 'multiprocessing.get_context("spawn")' in ended.stdout


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_what_would_end_a_program_ends_who_waits_for_it_and_not_the_loop(error: BaseException) -> None:
    async def ends() -> None:
        raise error

    for _ in range(2):
        with pytest.raises(type(error)):
            loop.run(ends())
    assert loop.run(asyncio.sleep(0, "goes on")) == "goes on"
