"""Money: what calls cost, what is not known, and a budget that no call may pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import BudgetExceededError, SettingError
from dreamframe.models.prices import TABLE, Long, Price, listed
from dreamframe.models.request import Completion
from tests.loopback import Loopback

PRICES = {"m": (1_000.0, 10_000.0)}  # a tenth of a cent for a token in, a cent for one out


def priced(server: Loopback, **settings: Any) -> dr.OpenAI:
    return dr.OpenAI("m", base_url=server.url, **{"max_tokens": 2, "concurrency": 4, **settings})


def rows(n: int) -> dr.Frame:
    return dr.frame({"i": list(range(n))})


def test_usage_says_what_calls_cost() -> None:
    with Loopback(lambda body: "one two") as server, dr.Session(None, prices={"m": (1.0, 10.0, 0.5)}) as session:
        rows(10).prompt(priced(server), "{i}").collect()
        n_in = session.usage()["tokens_in"]
    assert session.usage()["cost"] == pytest.approx(((n_in - 10) * 1.0 + 10 * 0.5 + 20 * 10.0) / 1e6), "one cached token a call, two tokens out"


def test_an_unknown_price_is_unknown_and_not_zero() -> None:
    with Loopback() as server, dr.Session(None) as session:
        rows(2).prompt(priced(server), "{i}").collect()
    assert session.usage()["cost"] is None


def test_models_of_this_process_cost_nothing() -> None:
    with dr.Session(None) as session:
        rows(2).prompt(dr.testing.Echo(), "{i}").collect()
    assert session.usage()["cost"] == 0.0


def test_a_run_stops_before_a_call_that_could_pass_the_budget_and_resumes() -> None:
    df = rows(100)
    with Loopback(lambda body: "one two", latency_s=0.001) as server:
        plan = df.prompt(priced(server), "{i}", into="a")
        with dr.Session("s", budget=1.0, prices=PRICES) as session:
            with pytest.raises(BudgetExceededError, match="rows were not asked"):
                plan.collect()
            spent, asked = session.usage()["cost"], server.n_calls
            assert 0.5 < spent <= 1.0, "and it uses the better part of it: what is in flight is waited for"
            with pytest.raises(BudgetExceededError):
                plan.collect()
            assert session.usage()["cost"] <= 1.0
        with dr.Session("s", budget=50.0, prices=PRICES):
            assert plan.collect().height == 100
        assert server.n_calls == 100, "what was answered is never asked again"
        assert asked < 100


@pytest.mark.parametrize("on_error", ["raise", "null", "drop"])
def test_a_spent_budget_is_never_a_missing_value(on_error: str) -> None:
    with Loopback() as server, dr.Session(None, budget=0.0001, prices=PRICES), pytest.raises(BudgetExceededError, match=r"could cost"):
        rows(3).prompt(priced(server), "{i}", on_error=on_error).collect()
    assert server.n_calls == 0


def test_a_budget_with_an_unknown_price_asks_nothing_and_says_how_to_name_it() -> None:
    with Loopback() as server, dr.Session(None, budget=5.0), pytest.raises(BudgetExceededError, match=r"prices=\{'m'"):
        rows(3).prompt(priced(server), "{i}").collect()
    assert server.n_calls == 0


def test_refused_and_failed_calls_give_back_what_was_reserved() -> None:
    from tests.loopback import FAULTS

    once = lambda call: FAULTS["500"] if call.ordinal < 3 else FAULTS["400"] if call.prompt == "7" else None  # noqa: E731
    with Loopback(lambda body: "x", fault=once) as server, dr.Session(None, budget=2.0, prices=PRICES) as session:
        out = rows(20).prompt(priced(server, backoff_s=0.001), "{i}", into="a", on_error="null").collect()
    assert out.get_column("a").null_count() == 1
    assert session.usage()["cost"] < 2.0


@pytest.mark.parametrize("prices", [{"m": 5}, {"m": (1,)}, {"m": (1, 1, 1, 1, 1)}, {"m": (1, None)}, {"m": (1, -1)}, {"m": ("a", "b")}], ids=str)
def test_prices_that_are_none_fail_where_they_are_written(prices: Any) -> None:
    with pytest.raises(SettingError, match="prices"):
        dr.Session(None, prices=prices)


def test_a_price_is_found_by_the_exact_model_only() -> None:
    assert dr.OpenAI("gpt-4o-mini").price == dr.OpenAI("gpt-4o-mini-2024-07-18").price == TABLE["openai/gpt-4o-mini"]
    assert dr.OpenAI("gpt-4o-mini", base_url="http://x.invalid/v1").price is None
    assert dr.Ollama("llama3").price == Price(0.0, 0.0)
    assert listed("openai/gpt-4o-audio-preview") is None
    assert all(0 <= (p.cached or 0) <= p.input <= (p.written or p.input) for p in TABLE.values())


def test_a_snapshot_of_another_price_is_named_by_itself_and_an_alias_that_moves_is_unknown() -> None:
    old, new = dr.OpenAI("gpt-4o-2024-05-13").price, dr.OpenAI("gpt-4o").price
    assert old is not None
    assert new is not None
    assert old.input == 2 * new.input
    assert dr.Mistral("mistral-large-latest").price is None
    assert dr.Mistral("mistral-large-2512").price == Price(0.5, 1.5, 0.05)


def test_long_prompts_and_what_goes_into_the_cache_cost_more() -> None:
    price = Price(2.0, 10.0, 0.2, 2.5, Long(200_000, 2.0, 1.5))
    tokens = {"n_in": 100_000, "n_out": 1_000, "n_cached": 50_000, "n_written": 30_000}
    assert price.of(Completion("x", **tokens)) == pytest.approx((20_000 * 2 + 50_000 * 0.2 + 30_000 * 2.5 + 1_000 * 10) / 1e6)
    tokens = {name: 3 * n for name, n in tokens.items()}
    assert price.of(Completion("x", **tokens)) == pytest.approx(3 * (2 * (20_000 * 2 + 50_000 * 0.2 + 30_000 * 2.5) + 1.5 * 1_000 * 10) / 1e6)
    assert price.at_most(200_001, 10) == pytest.approx((2 * 200_001 * 2.5 + 1.5 * 10 * 10) / 1e6)
    assert price.times(0.5).of(Completion("x", **tokens)) == pytest.approx(price.of(Completion("x", **tokens)) / 2)


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.floats(0, 1), st.floats(0, 1), st.sampled_from(sorted(TABLE)))
def test_no_call_costs_more_than_was_reserved_for_its_tokens(n_in: int, n_out: int, cached: float, written: float, model: str) -> None:
    n_cached = int(n_in * cached)
    done = Completion("x", n_in=n_in, n_out=n_out, n_cached=n_cached, n_written=int((n_in - n_cached) * written))
    assert 0 <= TABLE[model].of(done) <= TABLE[model].at_most(n_in, n_out) * (1 + 1e-9)


def test_a_run_may_be_given_a_part_of_the_budget() -> None:
    with Loopback() as server, dr.Session(None, budget=1.5, prices=PRICES) as session:
        plan = rows(300).prompt(priced(server), "{i}")
        for n in (1, 2):  # each run has its part anew
            with pytest.raises(BudgetExceededError, match=r"could cost"):
                session.collect(plan, at_most=0.5)
            assert 0.3 * n < session.usage()["cost"] <= 0.5 * n
        with pytest.raises(BudgetExceededError, match=r"could cost"):
            session.collect(plan, at_most=100.0)
        assert 1.3 < session.usage()["cost"] <= 1.5


def test_a_run_may_be_given_a_limit_in_a_session_without_one() -> None:
    with Loopback() as server, dr.Session(None, prices=PRICES) as session:
        with pytest.raises(BudgetExceededError, match=r"could cost"):
            session.collect(rows(100).prompt(priced(server), "{i}"), at_most=0.5)
        assert 0.3 < session.usage()["cost"] <= 0.5
        assert session.collect(rows(100).prompt(priced(server), "{i}")).height == 100


def test_sessions_of_one_process_on_one_folder_have_a_budget_each() -> None:
    """A notebook opens a session anew, and nobody closes the one before."""
    costs, kept = [], []
    with Loopback(lambda body: "one two", latency_s=0.001) as server:
        for name in ("a", "b"):
            kept.append(session := dr.Session("s", budget=1.0, prices=PRICES))
            with pytest.raises(BudgetExceededError):
                session.collect(rows(100).prompt(priced(server), name + " {i}", into="x"))
            costs.append(session.usage()["cost"])
    assert min(costs) > 0.5
    for session in kept:
        session.close()


def test_a_run_that_ends_leaves_nothing_of_a_budget_to_others() -> None:
    seen: list[int] = []

    def answer(_: object) -> str:
        seen.append(len(list(Path("s/locks/limits/budget").glob("*.spent"))))
        return "one two"

    with Loopback(answer) as server, dr.Session("s", budget=1.0, prices=PRICES) as session:
        for name in ("a", "b"):
            session.collect(rows(3).prompt(priced(server), name + " {i}", into="x"))
            assert not list(Path("s/locks/limits/budget").glob("*.spent"))
    assert seen == [1] * 6
