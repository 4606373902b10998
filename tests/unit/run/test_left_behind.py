"""Calls that a cancelled run left behind: what they bring is kept, who wants the same waits for them, and they say nothing of the server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from dreamframe.models.embedders.openai import Pack
from dreamframe.models.request import Completion, Request
from dreamframe.run.calls.caller import Asker
from dreamframe.run.calls.embedding_batches import PackAsker
from tests.unit.run.calls.test_caller import Desk, Run, drive, echo, requests, turns


def test_a_call_that_a_cancelled_run_left_behind_is_given_up_when_the_grace_is_over() -> None:
    async def main() -> None:
        desk, gone = Desk(echo, held=True), Run()
        asker = Asker(desk, asyncio.get_running_loop())
        asked = asyncio.create_task(asker.ask(requests("a"), gone, order=0))
        await turns()
        asked.cancel()
        await turns()
        assert desk.in_flight == 1
        await asker.landed(gone, 0.02)
        await turns()
        assert (desk.in_flight, desk.seen, gone.answers) == (0, ["a"], {}), "and not tried again"

    drive(main)


def test_calls_that_a_run_gave_up_say_nothing_of_the_server() -> None:
    async def main() -> None:
        desk, gone, run = Desk(echo, held=True), Run(), Run()
        asker = Asker(desk, asyncio.get_running_loop())
        asked = asyncio.create_task(asker.ask(requests(*"abcd"), gone, order=0))
        await turns()
        asked.cancel()
        await turns()
        await asker.landed(gone, 0.0)
        await turns()
        again = asyncio.create_task(asker.ask(requests(*"efgh"), run, order=0))
        await turns()
        assert desk.in_flight == 4, "the next run asks at full speed"
        desk.gate.set()
        assert await again == {}

    drive(main)


@dataclass
class Texts:
    """What a client of many texts a call is told."""

    most_texts: int = 16
    most_characters: int = 1000
    n_bytes: int = 1


def vectors(request: Request) -> Completion:
    assert isinstance(request, Pack)
    return Completion(None, data="".join(row.prompt for row in request.rows).encode())


@pytest.mark.parametrize("ends", ["answered", "given up"])
def test_texts_in_flight_for_a_run_that_was_cancelled_are_waited_for(ends: str) -> None:
    async def main() -> None:
        desk, gone, run = Desk(vectors, held=True), Run(), Run()
        asker = PackAsker(Asker(desk, asyncio.get_running_loop()), Texts())  # type: ignore[arg-type]
        asked = asyncio.create_task(asker.ask(requests(*"abc"), gone, order=0))
        await turns()
        asked.cancel()
        await turns()
        again = asyncio.create_task(asker.ask(requests(*"bcde"), run, order=0))
        await turns()
        assert desk.seen == ['["a", "b", "c"]', '["d", "e"]'], "no text is sent a second time"
        if ends == "given up":
            await asker.landed(gone, 0.0)
            await turns()
        desk.gate.set()
        assert await again == {}
        assert desk.seen[2:] == (['["b", "c"]'] if ends == "given up" else [])
        assert sorted(run.answers) == list("bcde")
        assert sorted(gone.answers) == ([] if ends == "given up" else list("abc"))

    drive(main)
