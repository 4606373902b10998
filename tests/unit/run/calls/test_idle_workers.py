"""The workers of a client that nobody asks any more end, and lose no call."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from dreamframe.run.calls import caller
from dreamframe.run.calls.caller import Asker
from tests.unit.run.calls.test_caller import Desk, Run, drive, echo, requests, turns


def test_workers_that_wait_for_nothing_end_and_others_come_when_there_is_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "REST_S", 0.0)

    async def main() -> None:
        desk, run = Desk(echo, concurrency=3), Run()
        asker = Asker(desk, asyncio.get_running_loop())
        for prompts in ("abcdefgh", "ijk"):
            assert await asker.ask(requests(*prompts), run, order=0) == {}
            held = [weakref.ref(worker) for worker in asker._workers]
            assert held
            await asyncio.sleep(0.01)
            assert asker._workers == set()
            assert [ref() for ref in held if ref() is not None] == []
        assert "".join(sorted(run.answers)) == "abcdefghijk"
        await asker.close()

    drive(main)


def test_a_call_that_comes_while_workers_end_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caller, "REST_S", 10.0)

    async def main() -> None:
        desk, run = Desk(echo, concurrency=1), Run()
        asker = Asker(desk, asyncio.get_running_loop())
        await asker.ask(requests("a"), run, order=0)
        await turns()
        asker._end_idle()
        assert await asyncio.wait_for(asker.ask(requests("b"), run, order=0), 5) == {}
        assert desk.seen == ["a", "b"]
        await asker.close()

    drive(main)
