"""The batch APIs: one submission for all rows, remembered whatever dies, and only what failed or expired sent again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import BudgetExceededError, RowsFailedError, SettingError
from dreamframe.run.calls import batch_api as batches
from dreamframe.run.loop import run_from
from dreamframe.store.batches import Submissions
from tests.loopback import Desk, Loopback

KINDS = ["openai", "anthropic"]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "QUIET_S", 0.05)


def model(server: Loopback, kind: str) -> Any:
    settings = {"api_key": "k", "batch_poll_s": 0.01, "backoff_s": 0.001}
    if kind == "anthropic":
        return dr.Anthropic("m", base_url=server.url.removesuffix("/v1"), **settings)
    return dr.OpenAI("m", base_url=server.url, **settings)


def plan(server: Loopback, kind: str, n: int = 300, **settings: Any) -> dr.Frame:
    return dr.frame({"i": list(range(n))}).prompt(model(server, kind), "row {i}", into="a", **settings)


@pytest.mark.parametrize("kind", KINDS)
def test_all_rows_go_out_as_one_submission_and_come_back_in_order(kind: str) -> None:
    with Loopback(desk=Desk()) as server, dr.Session("s") as session:
        df = plan(server, kind)
        out = df.collect(mode="batch")
        assert out.get_column("a").to_list() == [f"row {i}" for i in range(300)]
        assert [len(s) for s in server.desk.submitted] == [300]
        n_calls = server.n_calls
        assert df.collect().equals(out)
        assert server.n_calls == n_calls, "the answers are in the session"
        assert session.usage()["calls"] == 300
        assert Submissions(session.stores.files, session.stores.layout).open(f"{kind} {model(server, kind).endpoint}") == []


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_expired_or_failed_is_sent_again(kind: str) -> None:
    def fate(key: str, body: dict[str, Any]) -> str:
        prompt = body["messages"][-1]["content"]
        first = len(server.desk.batches) == 1
        return {"row 3": "expired", "row 5": "failed"}.get(prompt, "answered") if first else "answered"

    with Loopback(desk=Desk(fate=fate)) as server, dr.Session("s"):
        assert plan(server, kind, 20).collect(mode="batch").get_column("a").null_count() == 0
        assert sorted(server.desk.submitted[1]) == ["row 3", "row 5"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_row_fails_and_the_others_are_kept(kind: str) -> None:
    def fate(key: str, body: dict[str, Any]) -> str:
        return "refused" if body["messages"][-1]["content"] == "row 7" else "answered"

    with Loopback(desk=Desk(fate=fate)) as server, dr.Session("s") as session:
        with pytest.raises(RowsFailedError) as caught:
            plan(server, kind, 20).collect(mode="batch")
        assert [(f["row"], f["error"]) for f in caught.value.failures] == [(7, "BadRequestError")]
        assert session.usage()["calls"] == 19


@pytest.mark.parametrize("at_once", [False, True], ids=["once it looks at them", "when they are submitted"])
@pytest.mark.parametrize("most", [1, 7, 19])
def test_a_provider_without_room_gets_less_at_once_and_no_row_fails(most: int, at_once: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "QUIET_S", 0.01)
    monkeypatch.setattr(batches, "PATIENT_TRIES", 1)
    with Loopback(desk=Desk(polls=1, most_waiting=most, says_full_at_once=at_once)) as server, dr.Session("s") as session:
        assert plan(server, "openai", 20).collect(mode="batch").get_column("a").null_count() == 0
        taken = [b for b in server.desk.batches.values() if not b["is_full"]]
        assert sorted(i for b in taken for i, _ in b["requests"]) == sorted({i for b in taken for i, _ in b["requests"]}), "no row is paid twice"
        assert session.usage()["calls"] == 20


def test_a_provider_that_never_has_room_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "FULL_S", 0.05)
    with Loopback(desk=Desk(most_waiting=0)) as server, dr.Session("s"), pytest.raises(RowsFailedError, match="Enqueued token limit"):
        plan(server, "openai", 5).collect(mode="batch")


def test_rows_that_always_expire_are_given_up() -> None:
    with Loopback(desk=Desk(fate=lambda key, body: "expired")) as server, dr.Session("s"):
        out = plan(server, "openai", 5, on_error="null").collect(mode="batch")
    assert out.get_column("a").null_count() == 5
    assert len(server.desk.submitted) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_reply_to_a_submission_is_not_a_second_submission(kind: str) -> None:
    with Loopback(desk=Desk(loses_reply=True)) as server, dr.Session("s"):
        assert plan(server, kind, 20).collect(mode="batch").height == 20
        assert len(server.desk.submitted) == 1


SCRIPT = """
import sys
import dreamframe as dr
from dreamframe.run.calls import batch_api as batch
batch.QUIET_S = 0.05
kind, url = sys.argv[1:]
settings = {"api_key": "k", "batch_poll_s": 0.05, "backoff_s": 0.001}
llm = dr.Anthropic("m", base_url=url.removesuffix("/v1"), **settings) if kind == "anthropic" else dr.OpenAI("m", base_url=url, **settings)
with dr.Session("s", progress=False) as session:
    out = dr.frame({"i": list(range(50))}).prompt(llm, "row {i}", into="a").collect(mode="batch")
    print(out.get_column("a").to_list() == [f"row {i}" for i in range(50)], session.usage()["calls"])
"""


def start(kind: str, server: Loopback) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(Path(dr.__file__).parent.parent), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    return subprocess.Popen([sys.executable, "-c", SCRIPT, kind, server.url], stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("when", ["while it waits", "before its id is written down"])
def test_a_process_killed_between_submit_and_collect_does_not_submit_again(kind: str, when: str) -> None:
    with Loopback(desk=Desk(polls=10**9)) as server:
        first = start(kind, server)
        wait_for(server, lambda: any(b["looks"] > 1 for b in server.desk.batches.values()))
        first.send_signal(signal.SIGKILL)
        first.wait(30)
        if when == "before its id is written down":
            (sent,) = Path("s/batches").glob("*.sent.json")
            sent.unlink()
        server.desk.polls = 1
        second = start(kind, server)
        said, _ = second.communicate(timeout=60)
    assert said.split() == ["True", "50"]
    assert len(server.desk.submitted) == 1
    assert list(Path("s/batches").iterdir()) == []


def wait_for(server: Loopback, is_so: Any) -> None:
    """Until the server has seen it; a condition of the server's own calls, so that nothing sleeps."""
    server.saw.clear()
    while not is_so():
        assert server.saw.wait(60), "the program did nothing for a minute"
        server.saw.clear()


def test_a_changed_plan_keeps_the_answers_that_it_no_longer_reads() -> None:
    with Loopback(desk=Desk(polls=10**9)) as server:
        first = start("openai", server)
        wait_for(server, lambda: any(b["looks"] > 1 for b in server.desk.batches.values()))
        first.kill()
        first.wait(30)
        server.desk.polls = 1
        with dr.Session("s"):
            assert plan(server, "openai", 10).collect(mode="batch").height == 10
            n_calls = server.n_calls
            assert plan(server, "openai", 50).collect().height == 50
        assert (len(server.desk.submitted), server.n_calls) == (1, n_calls)


def test_a_damaged_record_is_set_aside_and_the_rows_are_submitted() -> None:
    Path("s/batches").mkdir(parents=True)
    Path("s/batches/x.json").write_text(json.dumps({"place": "openai", "keys": ["../.."], "checksum": "no"}))
    with Loopback(desk=Desk()) as server, dr.Session("s"), pytest.warns(match="is not a record of a submission"):
        assert plan(server, "openai", 3).collect(mode="batch").height == 3
    assert len(server.desk.submitted) == 1


def test_a_budget_counts_batches_at_half_the_price() -> None:
    with Loopback(desk=Desk()) as server:
        with dr.Session("s", budget=100.0, prices={"m": (1000.0, 0.0)}) as session:
            plan(server, "openai", 10).collect(mode="batch")
            assert session.usage()["cost"] == pytest.approx(session.usage()["tokens_in"] * 1000.0 / 1e6 / 2)
        with dr.Session("t", budget=0.0001, prices={"m": (1000.0, 0.0)}), pytest.raises(BudgetExceededError):
            plan(server, "openai", 10).collect(mode="batch")
        assert len(server.desk.submitted) == 1


def test_models_without_a_batch_api_are_asked_call_by_call() -> None:
    with dr.Session(None):
        assert dr.frame({"i": [1]}).prompt(dr.testing.Echo(), "{i}").collect(mode="batch").height == 1
        with pytest.raises(SettingError, match="mode='bulk'"):
            dr.frame({"i": [1]}).collect(mode="bulk")  # type: ignore[arg-type]


def test_openais_sdk_reads_the_desks_replies() -> None:
    import openai

    with Loopback(desk=Desk(polls=1)) as server:
        client = openai.OpenAI(base_url=server.url, api_key="k", max_retries=0)
        line = json.dumps(
            {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "hi"}]}}
        )
        file = client.files.create(file=("x.jsonl", line.encode()), purpose="batch")
        made = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
        done = client.batches.retrieve(made.id)
        assert done.status == "completed"
        assert "hi" in client.files.content(done.output_file_id or "").text
        client.close()


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_two_runs_want_at_once_are_submitted_once(kind: str) -> None:
    with Loopback(desk=Desk()) as server, dr.Session("s") as session, ThreadPoolExecutor(2) as pool:
        frames = [pool.submit(plan(server, kind, 40).collect, mode="batch") for _ in range(2)]
        assert [f.result(60).get_column("a").to_list() for f in frames] == [[f"row {i}" for i in range(40)]] * 2
        assert sorted(row for rows in server.desk.submitted for row in rows) == sorted(f"row {i}" for i in range(40))
        assert session.usage()["calls"] == 40
        more = plan(server, kind, 50).collect(mode="batch")
        assert more.height == 50
        assert sum(map(len, server.desk.submitted)) == 50


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_only_a_cancelled_run_wanted_are_not_submitted(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "QUIET_S", 0.5)
    with Loopback(desk=Desk()) as server, dr.Session("s", budget=1.0, prices={"m": (1.0, 1.0)}) as session:

        async def run(n: int) -> pl.DataFrame:
            step, made = plan(server, kind, n).step, session._running.begin(mode="batch")
            return await run_from(session._running.whole([step], made, lambda: made.collect_all([step])))

        async def main() -> None:
            kept, gone = asyncio.create_task(run(5)), asyncio.create_task(run(9))
            await asyncio.sleep(0.25)
            gone.cancel()
            await kept

        asyncio.run(main())
        assert sorted(row for rows in server.desk.submitted for row in rows) == [f"row {i}" for i in range(5)]
        assert session._running.options.purse.reserved == 0.0
