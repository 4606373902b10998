"""dr.Parallel: rows shared by room, rows handed on, one set of answers where the models are one."""

from __future__ import annotations

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.models.llms.openai import OpenAI
from dreamframe.models.parallel import Parallel
from dreamframe.testing import Echo
from tests.loopback import FAULTS, Loopback
from tests.loopback.asking import ask

PROMPTS = [f"p{i}" for i in range(40)]


def at(server: Loopback, **settings: object) -> OpenAI:
    return OpenAI("m", base_url=server.url, **{"concurrency": 4, "attempts": 2, "backoff_s": 0.001, **settings})  # type: ignore[arg-type]


def test_rows_go_to_the_model_with_room() -> None:
    with Loopback(latency_s=0.005) as one, Loopback(latency_s=0.005) as two:
        run, failures = ask(Parallel(at(one), at(two, concurrency=12)), PROMPTS)
    assert failures == {}
    assert run.texts == {p: p for p in PROMPTS}
    assert one.n_calls + two.n_calls == 40
    assert 5 <= one.n_calls <= 15, "a quarter of the room, a quarter of the rows"


def test_a_model_whose_key_is_refused_hands_its_rows_on() -> None:
    with Loopback(fault=lambda call: FAULTS["401"]) as locked, Loopback() as fine:
        run, failures = ask(Parallel(at(locked), at(fine)), PROMPTS)
    assert (failures, run.texts) == ({}, {p: p for p in PROMPTS})
    assert locked.n_calls <= 4


def test_when_all_are_refused_every_row_fails_and_little_is_sent() -> None:
    with Loopback(fault=lambda call: FAULTS["401"]) as one, Loopback(fault=lambda call: FAULTS["429 for want of money"]) as two:
        run, failures = ask(Parallel(at(one), at(two)), PROMPTS)
    assert (len(failures), run.texts) == (40, {})
    assert {f.error for f in failures.values()} <= {"AuthenticationError", "QuotaExhaustedError"}
    assert one.n_calls + two.n_calls <= 8


def test_a_bad_row_is_not_handed_on() -> None:
    with Loopback(fault=lambda call: FAULTS["400"] if call.prompt == "p3" else None) as one:
        _run, failures = ask(Parallel(at(one), at(one, concurrency=5)), PROMPTS)
    assert (list(failures), one.n_calls) == ([3], 40)


def test_one_model_at_two_places_is_one_model() -> None:
    here, there = (OpenAI("m", base_url=f"http://gpu{i}.invalid/v1", identity="http://gpu/v1") for i in (1, 2))
    assert Parallel(here, there).identity_fields() == here.identity_fields()
    other = OpenAI("n", base_url="http://gpu3.invalid/v1")
    assert Parallel(here, other).identity_fields() == Parallel(other, here).identity_fields() != here.identity_fields()


def test_models_that_do_not_agree_are_refused() -> None:
    with pytest.raises(SettingError, match=r"temperature: 0\.0, None"):
        Parallel(OpenAI("a", temperature=0), OpenAI("b"))
    with pytest.raises(SettingError, match="two or more"):
        Parallel("openai/a")
    with pytest.raises(SettingError, match=r"Parallel: a dr.MiniLM is not a language model. Only .* device=\['cuda:0', 'cuda:1'\]"):
        Parallel(dr.MiniLM(), dr.MiniLM())  # type: ignore[arg-type]
    with pytest.raises(SettingError, match=r"is not a language model. Only language models share rows"):
        Parallel(Echo(), dr.testing.NamingClassifier())  # type: ignore[arg-type]


def test_a_frame_asks_both() -> None:
    one, two = Echo(concurrency=2, latency_s=0.001), Echo(concurrency=2, latency_s=0.001)
    with dr.Session(None):
        out = dr.frame({"q": PROMPTS}).prompt(Parallel(one, two), "{q}").collect()
    assert out.get_column("answer").to_list() == PROMPTS
    assert one.calls + two.calls == 40
    assert min(one.calls, two.calls) > 5
