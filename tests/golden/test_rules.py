"""Every optimiser rule before and after: a plan as it is written, and as it would run."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.explain import plan_text
from dreamframe.plan.optimizer.rules import RULES, optimise
from tests.golden.files import Golden

GOLDEN = Golden("rules.txt")
ECHO = dr.testing.Echo()
SAMPLED = dr.testing.Echo(temperature=1.0)


def asked(llm: dr.testing.Echo = ECHO) -> dr.Frame:
    return dr.frame({"t": ["a", "b"], "v": [1, 2]}).prompt(llm, "{t}", into="said").with_columns(n=pl.col("said").str.len_chars())


PAIRS: dict[str, dict[str, Callable[[], list[dr.Frame]]]] = {  # rule → what it is shown on
    "limit_down": {
        "a limit over a prompt": lambda: [asked().head(1)],
        "a slice over samples stays": lambda: [asked(SAMPLED).slice(1, 1)],
        "two plans, one of which wants all": lambda: [(both := asked()).head(1), both],
    },
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_before_and_after(rule):
    for name, plans in PAIRS[rule.__name__].items():
        steps = [frame.step for frame in plans()]
        made = optimise(steps, rules=(rule,))
        before, after = ("\n".join(map(plan_text, these)) for these in (steps, made.plans))
        GOLDEN.check(f"{rule.__name__}: {name}", f"{before}\n→\n{'as it is' if before == after else after}")


def test_the_file_has_no_other_sections():
    GOLDEN.check_names([f"{rule.__name__}: {name}" for rule in RULES for name in PAIRS[rule.__name__]])
