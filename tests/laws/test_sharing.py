"""Runs at once in one process, from threads, tasks and event loops, over one session or two: each request is asked once, all rows are right, nobody hangs."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import BadRequestError, ServerError
from dreamframe.run.loop import THREAD

PATIENCE_S = 60.0


class Worker(NamedTuple):
    """One run: where it runs, over which rows, in which of the folders, and whether it is given up half-way."""

    way: str
    rows: tuple[int, ...]
    folder: int
    gives_up: bool


ROWS = st.lists(st.integers(0, 7), min_size=1, max_size=12).map(tuple)
WORKERS = st.lists(st.builds(Worker, st.sampled_from(["thread", "own loop", "batches"]), ROWS, st.integers(0, 1), st.booleans()), min_size=2, max_size=8)


class Server:
    """A model that refuses some prompts for good, fails at some once, and counts what it is asked."""

    def __init__(self, refused: frozenset[int], shaky: frozenset[int]) -> None:
        self.refused, self.shaky, self.asked = refused, set(shaky), Counter[int]()

    def __call__(self, prompt: str) -> Any:
        row = int(prompt)
        self.asked[row] += 1
        if row in self.refused:
            return BadRequestError("no", status=400)
        if row in self.shaky:
            self.shaky.discard(row)
            return ServerError("not now", status=503, retry_after_s=0.001)
        return f"said {row}"


class Model(dr.testing.Scripted):
    def identity_fields(self) -> dict[str, object]:
        return {"model": self.model}


def work(worker: Worker, llm: Model) -> list[str | None] | None:
    """The answers of one run, in order; None if it was given up."""
    plan = dr.frame({"i": list(worker.rows)}).prompt(llm, "{i}", into="a", temperature=0, on_error="null")
    if worker.way == "thread":
        return plan.collect()["a"].to_list()
    if worker.way == "batches":
        answers: list[str | None] = []
        for batch in plan.collect_batches():
            answers += batch["a"].to_list()
            if worker.gives_up:
                return None
        return answers
    return asyncio.run(_async(plan, worker.gives_up))


async def _async(plan: dr.Frame, gives_up: bool) -> list[str | None] | None:
    try:
        return (await asyncio.wait_for(plan.collect_async(), 0.002 if gives_up else PATIENCE_S))["a"].to_list()
    except TimeoutError:
        assert gives_up, "a run hangs"
        return None


@settings(max_examples=25)
@given(WORKERS, st.frozensets(st.integers(0, 7), max_size=2), st.frozensets(st.integers(0, 7), max_size=2), st.integers(1, 3))
def test_runs_at_once_ask_each_request_once_and_give_the_rows_that_each_gives_alone(
    workers: list[Worker], refused: frozenset[int], shaky: frozenset[int], n_folders: int
) -> None:
    server = Server(refused, shaky)
    llm = Model(server, latency_s=0.001, concurrency=3)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(len(workers)) as pool:
        sessions = [dr.Session(Path(folder) / str(n), batch_rows=4, progress=False) for n in range(2)]
        own = [sessions[w.folder if n_folders > 1 else 0] for w in workers]
        started = threading.Barrier(len(workers))

        def go(worker: Worker, session: dr.Session) -> list[str | None] | None:
            with session:
                started.wait(PATIENCE_S)
                return work(worker, llm)

        outcomes = [f.result(PATIENCE_S) for f in [pool.submit(go, w, s) for w, s in zip(workers, own, strict=True)]]
        for worker, answers in zip(workers, outcomes, strict=True):
            if answers is not None:
                assert answers == [None if row in refused else f"said {row}" for row in worker.rows]
        kept = set(range(8)) - refused
        most = len({id(s) for s in own})
        assert all(server.asked[row] <= most + (row in shaky) for row in kept), (server.asked, most)
        until = time.monotonic() + PATIENCE_S  # a run that was given up ends when the loop comes to it
        while any(s._opening._n_holders for s in sessions) and time.monotonic() < until:
            time.sleep(0.005)
        assert [s._opening._n_holders for s in sessions] == [0, 0], "no run is left behind"
        before = Counter(server.asked)
        with sessions[0]:
            assert work(Worker("thread", tuple(sorted(kept)), 0, False), llm) == [f"said {row}" for row in sorted(kept)], "the workers live on"
        asked_again = [row for row in kept if server.asked[row] > before[row]]
        complete = {row for w, s, a in zip(workers, own, outcomes, strict=True) if s is sessions[0] and a is not None for row in w.rows}
        assert not complete.intersection(asked_again), "what was answered is found"


def test_eight_threads_on_one_session_ask_each_row_once() -> None:
    llm = dr.testing.Scripted(lambda p: f"said {p}", latency_s=0.01, concurrency=4)
    with dr.Session("s") as session, ThreadPoolExecutor(8) as pool:
        frames = list(pool.map(lambda _: dr.frame({"x": list(range(40))}).prompt(llm, "{x}", into="y", temperature=0).collect(), range(8)))
        usage = session.usage()
    assert all(f["y"].to_list() == [f"said {n}" for n in range(40)] for f in frames)
    assert (llm.calls, usage["calls"], usage["from_cache"] + usage["reused"] * 40) == (40, 40, 280)


def test_two_runs_of_one_loop_that_ask_an_equal_request_both_get_it() -> None:
    llm = dr.testing.Scripted(lambda p: "ok", latency_s=0.05, concurrency=4)

    async def main() -> list[list[str]]:
        plans = [dr.frame({"x": list("abcdefgh")}).prompt(llm, "{x}", into="y", temperature=0) for _ in range(2)]
        return [f["y"].to_list() for f in await asyncio.wait_for(asyncio.gather(*(p.collect_async() for p in plans)), 20)]

    with dr.Session(None):
        assert asyncio.run(main()) == [["ok"] * 8] * 2
    assert llm.calls == 8


@pytest.mark.parametrize("fault", [KeyError("a fault"), SystemExit(3), StopIteration()], ids=lambda e: type(e).__name__)
def test_a_fault_in_one_run_leaves_the_run_beside_it_alone(fault: BaseException) -> None:
    def answer(prompt: str) -> str:
        if prompt == "bad":
            raise fault
        return "ok"

    llm = Model(answer, latency_s=0.001, concurrency=1)
    with dr.Session(None), ThreadPoolExecutor(2) as pool:
        bad, good = (dr.frame({"x": rows}).prompt(llm, "{x}", temperature=0) for rows in (["bad", "b"], [f"g{n}" for n in range(20)]))
        first, second = pool.submit(bad.collect), pool.submit(good.collect)
        assert second.result(PATIENCE_S).height == 20
        with pytest.raises(BaseException, match=r"a fault|3|StopIteration") as raised:
            first.result(PATIENCE_S)
        assert not isinstance(raised.value, TimeoutError)
        assert good.collect().height == 20
    assert any(t.name == THREAD and t.is_alive() for t in threading.enumerate())
