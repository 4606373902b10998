"""Estimates beside what is then billed, on a server that counts; and asking before money is spent."""

from __future__ import annotations

import asyncio
import io
import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import BudgetExceededError, OfflineError, SettingError
from tests.laws.cases import Ordinal
from tests.loopback import Loopback

WORDS = ("tea", "rain", "river", "stone", "light", "green", "winter", "paper", "music", "garden")
PRICES = {"gpt-4o-mini": (0.15, 0.6, 0.075)}
ROWS = 400
SAMPLES = itertools.count()


def said(draw: random.Random, least: int, most: int) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(least, most)))


def rows(n: int = ROWS) -> dr.Frame:
    draw = random.Random(1)
    return dr.frame({"i": range(n), "g": [i % 4 for i in range(n)], "t": [f"{i} {said(draw, 5, 60)}" for i in range(n)]})


def reply(body: dict[str, Any]) -> str:
    prompt = body["messages"][-1]["content"]
    if "at length" in prompt:
        return said(random.Random(prompt), 1, 200)
    if "sampled" in prompt:
        return said(random.Random(next(SAMPLES)), 4, 20)
    draw = random.Random(prompt)
    if "often" in prompt:
        return "Yes" if draw.random() < 0.9 else "No"
    return draw.choice(("Yes", "No")) if "even" in prompt else said(draw, 4, 20)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(reply) as found:
        yield found


def model(server: Loopback, **settings: Any) -> dr.OpenAI:
    return dr.OpenAI("gpt-4o-mini", base_url=server.url, api_key="k", temperature=0, **settings)


def fresh(llm: dr.OpenAI) -> dr.Frame:
    return rows().prompt(llm, "Sum up: {t}", into="said")


def filtered(llm: dr.OpenAI) -> dr.Frame:
    return fresh(llm).filter_by(llm, "Is it even? {said}").prompt(llm, "Say again: {said}", into="again")


def joined(llm: dr.OpenAI) -> dr.Frame:
    topics = dr.frame({"topic": ["tea", "winter rain", "music of the river"]})
    return rows(120).join_by(topics, llm, "Is it often? {t} / {topic}").prompt(llm, "Sum up {t} as {topic}", into="said")


def three(llm: dr.OpenAI) -> dr.Frame:
    return rows(150).prompt(llm, "A sampled word on {t}", into="said", n=3, temperature=1.0).explode("said").prompt(llm, "Sum up: {said}", into="sum")


# name → (plan, what is run before, rows that are asked to learn)
PLANS: dict[str, tuple[Callable[[dr.OpenAI], dr.Frame], Callable[[dr.Frame], dr.Frame] | None, int]] = {
    "fresh": (fresh, None, 30),
    "half kept": (lambda llm: fresh(llm).prompt(llm, "Say again: {said}", into="again"), lambda df: df.filter(pl.col("g") < 2), 0),
    "filtered by a model": (filtered, None, 120),
    "joined": (joined, None, 100),
    "sampled": (three, None, 60),
    "answers of very different lengths": (lambda llm: rows().prompt(llm, "Tell at length of {t}", into="said"), None, 150),
}


@pytest.mark.parametrize("name", PLANS)
def test_what_is_foretold_is_billed(name: str, server: Loopback) -> None:
    plan, before, probe = PLANS[name]
    with dr.Session(None, prices=PRICES, batch_rows=1_000) as session:  # one batch: which rows are asked does not depend on what comes back first
        df = plan(model(server))
        if before is not None:
            before(df).collect()
        if probe:
            df.estimate(probe=probe)
        spent, n_calls = session.usage(), server.n_calls
        told = df.explain(cost=True)
        found = df.estimate()
        assert server.n_calls == n_calls
        df.collect()
        bill = {k: v - spent[k] for k, v in session.usage().items() if isinstance(v, (int, float))}
    assert found.tokens_in == pytest.approx(bill["tokens_in"], rel=0.1)
    assert found.tokens_out == pytest.approx(bill["tokens_out"], rel=0.1)
    assert found.calls == pytest.approx(bill["calls"], rel=0.1)
    assert found.cost is not None
    assert found.cost.high is not None
    assert found.cost.low <= bill["cost"] <= found.cost.high <= 1.5 * bill["cost"]
    assert found.total in told


def test_an_estimate_without_probes_asks_nothing_and_makes_no_folder(tmp_path: Path, server: Loopback) -> None:
    session = dr.Session(tmp_path / "s", prices=PRICES)
    df = filtered(model(server))
    found = session.estimate(df.step).estimate
    assert server.n_calls == 0
    assert not (tmp_path / "s").exists()
    assert found.calls == 3 * ROWS
    assert found.tokens_out is None
    assert found.cost is not None
    assert found.cost.high is None
    assert found.steps[2].rests_on == ("said", "filter_by")
    assert "at least $" in repr(found)
    assert "estimate(probe=20)" in found.notes[0]


def test_probes_are_kept_and_their_answers_asked_about(server: Loopback) -> None:
    with dr.Session(None, prices=PRICES) as session:
        df = filtered(model(server))
        found = df.estimate(probe=20)
        assert server.n_calls == session.usage()["calls"] == sum(step.probed for step in found.steps)
        assert session.usage()["failed"] == 0
        assert found.steps[0].state == f"20 of {ROWS} kept, {ROWS - 20} to ask"
        assert {p for p in server.prompts if "\ue000" <= max(p) <= "\uf8ff"} == set()
        n = server.n_calls
        df.collect()
        assert server.n_calls - n == session.usage()["calls"] - n
        assert df.estimate().total == "nothing to ask: $0"
        assert "kept" in df.explain(cost=True)


def test_kept_and_repeated_requests_cost_nothing() -> None:
    llm = Ordinal(temperature=0)
    df = dr.frame({"t": ["a", "b", "a", "c"]}).prompt(llm, "Say {t}", into="said")
    with dr.Session(None):
        df.head(1).collect()
        (step,) = df.estimate().steps
        assert (step.kept, step.calls, step.state) == (2, 2, "2 of 4 kept, 2 to ask")


def test_a_price_that_is_not_known_is_said(server: Loopback) -> None:
    df = rows(20).prompt(dr.OpenAI("one-of-ours", base_url=server.url, api_key="k"), "Sum up: {t}", into="said")
    with dr.Session(None):
        found = df.estimate()
    assert found.cost is None
    assert found.unknown_prices == ("one-of-ours",)
    assert "price unknown (one-of-ours)" in repr(found)
    assert json.loads(json.dumps(found.as_dict()))["steps"][0]["cost"] is None


def test_batches_cost_half(server: Loopback) -> None:
    with dr.Session(None):
        df = fresh(dr.OpenAI("gpt-4o-mini", api_key="k", max_tokens=50))
        calls, batch = df.estimate().cost, df.estimate(mode="batch").cost
    assert calls is not None
    assert batch is not None
    assert calls.high is not None
    assert batch.high == pytest.approx(calls.high / 2)
    assert server.n_calls == 0


def test_a_model_that_is_to_be_trained_is_said() -> None:
    model = rows(8).prompt(dr.testing.Echo(), "{t}", into="said").train(dr.SFT("base", steps=2), prompt="t", completion="said")
    with dr.Session(None):
        found = rows(8).prompt(model.llm(), "{t}", into="tuned").estimate()
        assert model.estimate().total in model.explain(cost=True)
    assert found.calls == 8
    assert "not in these figures: " in found.notes[0]
    assert found.cost is not None
    assert found.cost.high is None


def test_a_session_that_is_offline_probes_nothing() -> None:
    df = rows(8).prompt(dr.testing.Echo(), "{t}", into="said")
    with dr.Session(None, offline=True):
        assert df.estimate().calls == 8
        with pytest.raises(OfflineError, match="probe="):
            df.estimate(probe=2)
    with pytest.raises(SettingError, match="probe=the int -1"):
        df.estimate(probe=-1)


def test_the_time_is_told_by_the_pace_of_kept_answers(tmp_path: Path) -> None:
    with Loopback(reply, latency_s=0.05) as slow:
        llm = model(slow, concurrency=2)
        with dr.Session(tmp_path):
            rows(40).prompt(llm, "Sum up: {t}", into="said").collect()
        with dr.Session(tmp_path):
            found = rows(140).prompt(llm, "Sum up: {t}", into="said").estimate()
            unknown = rows(140).prompt(llm, "Something else: {t}", into="said").estimate()
    assert found.seconds is not None
    assert 1 <= found.seconds <= 6, "2.5 s on a machine that does nothing else"
    assert unknown.seconds is None


def test_a_stored_output_is_a_leaf(tmp_path: Path) -> None:
    df = rows(8).prompt(dr.testing.Echo(), "{t}", into="said")
    with dr.Session(tmp_path):
        df.collect()
        assert df.explain(cost=True).splitlines()[0].endswith("· stored")
        assert df.estimate().steps == ()


def test_confirm_raises_before_anything_is_spent(server: Loopback) -> None:
    with dr.Session(None, prices=PRICES):
        df = fresh(model(server, max_tokens=100))
        with pytest.raises(BudgetExceededError, match=r"confirm=0.001, and there is no terminal.*to ask"):
            df.collect(confirm=0.001)
        assert server.n_calls == 0
        with pytest.raises(SettingError, match="confirm='5'"):
            df.collect(confirm="5")  # type: ignore[arg-type]
        assert df.collect(confirm=5.0).height == ROWS


DOORS: dict[str, Callable[[dr.Frame, Path, float], Any]] = {
    "collect": lambda df, _, most: df.collect(confirm=most),
    "collect_batches": lambda df, _, most: list(df.collect_batches(confirm=most)),
    "collect_async": lambda df, _, most: asyncio.run(df.collect_async(confirm=most)),
    "collect_all": lambda df, _, most: dr.collect_all([df, df.head(2)], confirm=most),
    "show": lambda df, _, most: df.show(confirm=most),
    "preview": lambda df, _, most: df.preview(confirm=most),
    "write_csv": lambda df, path, most: df.write_csv(path, confirm=most),
    "write_json": lambda df, path, most: df.write_json(path, confirm=most),
    "write_parquet": lambda df, path, most: df.write_parquet(path, confirm=most),
    "sink_ndjson": lambda df, path, most: df.sink_ndjson(path, confirm=most),
    "fit": lambda df, _, most: df.train(dr.SFT("base", steps=2), prompt="t", completion="said").fit(confirm=most),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_stops_before_it_spends(door: str, server: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with dr.Session(None, prices=PRICES):
        df = rows(6).prompt(model(server, max_tokens=100), "Sum up: {t}", into="said")
        with pytest.raises(BudgetExceededError, match="confirm=0,"):
            DOORS[door](df, tmp_path / "out", 0.0)
        assert (server.n_calls, list(tmp_path.iterdir())) == (0, [])
        with pytest.raises(SettingError, match=f"^{door}: confirm='5'"):
            DOORS[door](df, tmp_path / "out", "5")  # type: ignore[arg-type]
        if door != "fit":
            DOORS[door](df, tmp_path / "out", 5.0)
            assert server.n_calls == (5 if door in {"show", "preview"} else 6)
    capsys.readouterr()


def test_every_door_takes_the_rules(tmp_path: Path) -> None:
    def calls(run: Callable[[dr.Frame], Any]) -> int:
        llm = dr.testing.Echo()
        with dr.Session(None):
            run(dr.frame({"t": ["a", "b", "c"]}).prompt(llm, "{t}", into="said").filter(pl.col("t") == "a"))
        return llm.calls

    for optimize, n in ((True, 1), (False, 3)):
        assert calls(lambda df, o=optimize: df.collect(optimize=o)) == n
        assert calls(lambda df, o=optimize: list(df.collect_batches(optimize=o))) == n
        assert calls(lambda df, o=optimize: asyncio.run(df.collect_async(optimize=o))) == n
        assert calls(lambda df, o=optimize: dr.collect_all([df], optimize=o)) == n
        assert calls(lambda df, o=optimize: df.preview(optimize=o)) == n
        assert calls(lambda df, o=optimize: df.write_csv(tmp_path / "a.csv", optimize=o)) == n
        assert calls(lambda df, o=optimize: df.sink_csv(tmp_path / "a.csv", optimize=o)) == n
        with dr.Session(None):
            df = dr.frame({"t": ["a", "b", "c"]}).prompt(dr.testing.Echo(), "{t}", into="said").filter(pl.col("t") == "a")
            assert df.estimate(optimize=optimize).calls == n


def test_what_is_asked_anew_is_estimated(server: Loopback) -> None:
    with dr.Session(None, prices=PRICES) as session:
        df = rows(20).prompt(model(server), "Is it even? {t}", into="said", schema=bool, parse=lambda text: {"Yes": True}[text], on_error="null")
        df.collect()
        n, unread = server.n_calls, df.failures().height
        assert 0 < unread < 20
        assert df.estimate().calls == 0
        assert session.estimate(df.step, refresh=["said"]).estimate.calls == 20  # type: ignore[union-attr]
        assert session.estimate(df.step, retry="parse").estimate.calls == unread  # type: ignore[union-attr]
        for again in ({"refresh": ["said"]}, {"retry": "parse"}):
            with pytest.raises(BudgetExceededError, match="confirm=0"):
                df.collect(confirm=0.0, **again)  # type: ignore[arg-type]
        assert server.n_calls == n
        df.collect(confirm=0.0)
        df.collect(confirm=1.0, refresh=["said"])
        assert server.n_calls == n + 20
        assert df.estimate().calls == 0


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["y\n", "n\n", ""])
def test_a_person_on_a_terminal_is_asked(answer: str, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys, "stderr", shown)
    with dr.Session(None, prices=PRICES, progress=False):
        df = rows(10).prompt(model(server), "Sum up: {t}", into="said")
        if answer == "y\n":
            assert df.collect(confirm=0.0).height == 10
        else:
            with pytest.raises(BudgetExceededError, match="was not yes"):
                df.collect(confirm=0.0)
            assert server.n_calls == 0
    assert "Run it? [y/N]" in shown.getvalue()
    assert "10 calls" in shown.getvalue()
