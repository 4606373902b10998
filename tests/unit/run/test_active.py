"""Which session a plan runs in: the innermost one, from every thread and task; after its `with`, the one it ran in."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

import dreamframe as dr
from dreamframe.errors import OfflineError, SettingError
from dreamframe.models.base import steering
from dreamframe.run import active
from dreamframe.run.active import current
from dreamframe.trainers.base import Trainer
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.roles import Roles

ROWS = {"i": list(range(20))}


def asking(llm: dr.testing.Echo, text: str = "{i}") -> dr.Frame:
    return dr.frame(ROWS).prompt(llm, text, into="a")


def in_thread(work: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result(timeout=30)


def test_a_thread_finds_the_session_of_the_process() -> None:
    llm = dr.testing.Echo()
    with dr.Session("kept") as session:
        in_thread(asking(llm).collect)
        assert session.usage()["calls"] == 20
    assert not Path(".dreamframe").exists()


@pytest.mark.parametrize("settings", [{"offline": True}, {"budget": 0.0, "prices": {"m": (1.0, 1.0)}}], ids=["offline", "budget"])
def test_what_a_session_forbids_is_forbidden_in_threads_and_tasks(settings: dict[str, Any]) -> None:
    llm = dr.testing.Echo(model="m")
    if "budget" in settings:
        settings = {**settings, "prices": {"echo/m": (1.0, 1.0)}}
    plan = asking(llm)

    async def tasks() -> list[Any]:
        return await asyncio.gather(plan.collect_async(), asyncio.to_thread(plan.collect), return_exceptions=True)

    with dr.Session(None, **settings):
        outcomes = [*asyncio.run(tasks()), in_thread(lambda: _outcome(plan.collect)), in_thread(lambda: asyncio.run(tasks()))[0]]
        assert {type(o).__name__ for o in outcomes} == {"OfflineError" if "offline" in settings else "BudgetExceededError"}
    assert llm.calls == 0


def _outcome(work: Any) -> Any:
    try:
        return work()
    except dr.errors.DreamframeError as exc:
        return exc


def test_runs_at_once_share_the_budget_of_their_session() -> None:
    llm = dr.testing.Scripted(lambda p: dr.testing.Completion("x", n_in=1, n_out=1), latency_s=0.005, max_tokens=1)
    plans = [dr.frame({"i": [f"{n} {i}" for i in range(50)]}).prompt(llm, "{i}") for n in range(8)]
    with dr.Session(None, budget=0.1, prices={"scripted": (0.0, 1000.0)}) as session, ThreadPoolExecutor(8) as pool:  # a tenth of a cent a call
        outcomes = list(pool.map(lambda plan: _outcome(plan.collect), plans))
        assert session.usage()["cost"] <= 0.1
    assert 90 <= llm.calls <= 100, "and the better part of it is used"
    assert any(isinstance(o, dr.errors.BudgetExceededError) for o in outcomes)


def test_one_session_may_be_entered_by_several_threads_and_tasks() -> None:
    llm = dr.testing.Echo(latency_s=0.01)
    session = dr.Session("kept")

    def enter(n: int) -> int:
        with session:
            return asking(llm, f"{n} {{i}}").collect().height

    async def enter_async(n: int) -> int:
        with session:
            return (await asking(llm, f"{n} {{i}}").collect_async()).height

    async def tasks() -> list[int]:
        return await asyncio.gather(*(enter_async(n) for n in range(3, 6)))

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(enter, range(3))) == [20, 20, 20]
    assert asyncio.run(tasks()) == [20, 20, 20]
    assert active.active() is None
    assert session.verify() == []
    assert llm.calls == 120


def test_a_session_left_by_another_context_than_entered_it_is_left() -> None:
    with ExitStack() as stack:
        stack.enter_context(dr.Session(None))
        stacked = stack.pop_all()
    assert active.active() is not None
    in_thread(stacked.close)
    assert active.active() is None


def test_a_thread_without_a_session_is_told_when_there_are_several_to_choose_from() -> None:
    entered, done = threading.Barrier(3), threading.Event()

    def hold(folder: str) -> None:
        with dr.Session(folder):
            entered.wait(10)
            done.wait(10)

    with ThreadPoolExecutor(2) as pool:
        pool.submit(hold, "one")
        pool.submit(hold, "two")
        entered.wait(10)
        try:
            with pytest.raises(SettingError, match=r"several sessions are active.*this thread or task has entered none"):
                dr.frame(ROWS).collect()
        finally:
            done.set()


def test_sessions_one_inside_the_other_are_not_several_to_choose_from() -> None:
    with dr.Session("outer"), dr.Session("inner") as inner:
        assert in_thread(current) is inner


def test_a_frame_read_after_its_with_pays_nothing_and_says_where_it_is_read() -> None:
    llm = dr.testing.Echo()
    plan = asking(llm)
    with dr.Session("kept"):
        before = plan.collect()
    with pytest.warns(UserWarning, match=r"no session is active: a is read from Session\('.*kept'\), where it ran last"):
        assert plan.collect().equals(before)
    with pytest.warns(UserWarning, match="where it ran last"):
        assert plan.head(3).to_dicts() == before.head(3).to_dicts(), "and what is built over it"
    assert llm.calls == 20
    assert not Path(".dreamframe").exists()


def test_where_a_frame_is_read_is_said_once_at_the_line_of_the_script(recwarn: pytest.WarningsRecorder) -> None:
    plan = asking(dr.testing.Echo())
    with dr.Session("kept"):
        plan.collect()
    warnings.simplefilter("always")
    for _ in range(3):
        plan.collect()
        plan.to_dicts()
        plan.write_csv("rows.csv")
        list(plan.collect_batches())
    assert {str(Path(said.filename).resolve()) for said in recwarn} == {str(Path(__file__).resolve())}
    assert len({said.lineno for said in recwarn}) == len(recwarn) == 4


def test_a_frame_read_after_its_with_is_as_offline_as_its_session() -> None:
    llm = dr.testing.Echo()
    with dr.Session("kept", offline=True):
        plan = asking(llm)
        with pytest.raises(OfflineError):
            plan.collect()
    with pytest.warns(UserWarning, match="where it ran last"), pytest.raises(OfflineError):
        plan.collect()
    assert llm.calls == 0


def test_a_session_in_memory_is_read_after_its_with() -> None:
    llm = dr.testing.Echo()
    plan = asking(llm)
    with dr.Session(None):
        plan.collect()
    with pytest.warns(UserWarning, match="in memory"):
        plan.collect()
    assert llm.calls == 20


def test_a_plan_that_never_ran_takes_the_default_session_without_a_word() -> None:
    llm = dr.testing.Echo()
    rows = dr.frame(ROWS)
    with dr.Session("kept"):
        rows.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows.prompt(llm, "{i}").collect()
        rows.prompt(llm, "{i}").collect()
    assert llm.calls == 20
    assert Path(".dreamframe").exists()


def test_failures_are_read_after_the_with_and_when_the_plan_has_another_key_by_now() -> None:
    seen: list[int] = []

    def odd(row: dict[str, Any]) -> dict[str, Any]:
        seen.append(row["i"])
        if row["i"] % 2:
            raise ValueError("odd")
        return {"y": row["i"]}

    plan = dr.frame(ROWS).map(odd, schema={"y": int}, on_error="null")
    with dr.Session("kept"):
        plan.collect()
        assert plan.failures().height == 10
    with pytest.warns(UserWarning, match="where it ran last"):
        assert plan.failures()["row"].to_list() == list(range(1, 20, 2))


def test_a_session_in_memory_is_let_go_with_its_answers_and_its_thread() -> None:
    gone = []
    before = threading.active_count()
    for n in range(5):
        with dr.Session(None) as session:
            asking(dr.testing.Echo(), f"{n} {{i}}").collect()
            gone.append(weakref.ref(session))
        del session
    until = time.monotonic() + 5.0  # threads end when a busy machine lets them
    while (any(ref() for ref in gone) or threading.active_count() > before + 1) and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert [ref() for ref in gone] == [None] * 5
    assert threading.active_count() <= before + 1, "the loop's thread alone"


def test_batches_read_after_the_with_are_kept(tmp_path: Path) -> None:
    llm = dr.testing.Echo(concurrency=4)
    plan = dr.frame({"i": list(range(400))}).prompt(llm, "{i}")
    with dr.Session(tmp_path / "s", batch_rows=8):
        batches = plan.collect_batches()
        first = next(batches).height
    assert first + sum(b.height for b in batches) == 400
    with dr.Session(tmp_path / "s"):
        assert plan.collect().height == 400
    assert llm.calls == 400


def test_a_reader_that_stops_early_leaves_no_run_behind(tmp_path: Path) -> None:
    llm = dr.testing.Echo(concurrency=4, latency_s=0.001)
    plan = dr.frame({"i": list(range(4_000))}).prompt(llm, "{i}")
    with dr.Session(tmp_path / "s", batch_rows=8):
        for _ in plan.collect_batches():
            break
    assert llm.calls < 1_000
    asked = llm.calls
    with dr.Session(tmp_path / "s"):
        assert plan.collect().height == 4_000
    assert llm.calls - asked <= 4_000 - asked + 4, "what came back is kept: no more than what was in flight is asked twice"


@dataclass(frozen=True)
class Counting(Trainer):
    """Trains nothing, and counts how often."""

    base: Any = "none"
    trained: Any = steering()
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"text": "text"}),)

    def run(self, job: TrainJob) -> dict[str, Any]:
        self.trained.append(1)
        (job.out / "weights.json").write_text("{}")
        return {"losses": []}


def test_a_model_looked_at_after_its_with_is_not_trained_again() -> None:
    trained: list[int] = []
    model = dr.frame({"text": ["a", "b"]}).train(Counting(trained=trained))
    with dr.Session("kept"):
        inside = model.path
    with pytest.warns(UserWarning, match="where it ran last"):
        assert model.path == inside
    with pytest.warns(UserWarning, match="where it ran last"):
        assert model.summary()["losses"] == []
    assert trained == [1]
    assert not Path(".dreamframe").exists()
