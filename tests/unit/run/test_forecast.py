"""Ranges of money: what is named holds in nearly all of many draws, also where few answers are long and most are short."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

import dreamframe as dr
from dreamframe.models.request import Question
from dreamframe.run.calls.dry import Asked, Donor
from dreamframe.run.calls.spend import prices_of
from dreamframe.run.forecast import forecast, range_of
from dreamframe.run.stats import StepStats

LENGTHS: dict[str, Callable[[random.Random], int]] = {
    "alike": lambda draw: draw.randint(4, 20),
    "a long tail": lambda draw: 1 + int(draw.lognormvariate(3, 1.2)),
    "one in ten is long": lambda draw: draw.choice([5] * 9 + [400]),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_what_is_paid_is_in_the_range(name: str) -> None:
    (price,) = prices_of({"m": (0.15, 0.6)}).values()
    llm = dr.OpenAI("m", api_key="k")
    question = Question(llm=llm, system=None, sampling=llm.sampling)
    outside = 0
    for seed in range(60):
        draw = random.Random(seed)
        known, to_come = ([LENGTHS[name](draw) for _ in range(n)] for n in (60, 400))
        asked = Asked(StepStats("said"), None, question, chars=[200] * 400)
        made = forecast(asked, [Donor(("x", None, "stop"), 200, 50, n, 0) for n in known], price)
        assert made.rounds is not None
        found = range_of([made.rounds], is_open=False)
        assert found.high is not None
        outside += not found.low <= price.of_tokens(400 * 50, sum(to_come)) <= found.high
    assert outside <= 2


def test_what_a_providers_cache_had_is_cheaper() -> None:
    (price,) = prices_of({"m": (1.0, 1.0, 0.1)}).values()
    llm = dr.OpenAI("m", api_key="k")
    asked = Asked(StepStats("said"), None, Question(llm=llm, system=None, sampling=llm.sampling), chars=[400] * 100)
    costs = []
    for n_cached in (0, 80):
        made = forecast(asked, [Donor(("x", None, "stop"), 400, 100, 10, n_cached)] * 30, price)
        assert made.rounds is not None
        costs.append(range_of([made.rounds], is_open=False))
    assert costs[1].low == pytest.approx(costs[0].low - 0.9 * price.of_tokens(8_000, 0))
    assert costs[1].high == costs[0].high  # the cache may be cold
