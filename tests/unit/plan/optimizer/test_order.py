"""Conditions of several models: which is asked first is learnt while they run, and changes neither rows nor what fails."""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from tests.laws.cases import Ordinal
from tests.unit.plan.optimizer.running import calls

ROWS = 600


def answered(asked: str) -> str:
    """"Every 10" is yes for every tenth row, "All but 10" for the others."""
    what, _, n = asked.rpartition(" ")
    every = int(what.rsplit(" ", 1)[1])
    return "yes" if (int(n) % every == 0) == what.startswith("Every") else "no"


def model(**settings: object) -> dr.testing.Scripted:
    return dr.testing.Scripted(answered, temperature=0, **settings)  # type: ignore[arg-type]


def rows(n: int = ROWS) -> dr.Frame:
    return dr.frame({"i": range(n)})


def filtered(*conditions: str, by: Callable[[], dr.testing.Scripted] = model, n: int = ROWS, **settings: object) -> Callable[[], dr.Frame]:
    def made() -> dr.Frame:
        df = rows(n)
        for k, condition in enumerate(conditions):
            df = df.filter_by(by(), f"{condition} {{i}}", name=f"c{k}", **settings)  # type: ignore[arg-type]
        return df

    return made


def test_the_condition_that_leaves_out_most_comes_first() -> None:
    most, asked = calls(filtered("All but 7", "Every 10"))
    assert most > ROWS + 500
    assert asked < ROWS + 150, "32 rows as they are written, then the other first"


def test_a_third_condition_moves_too() -> None:
    most, asked = calls(filtered("All but 7", "All but 5", "Every 10"))
    assert asked < ROWS + 250 < most


def test_an_order_that_is_good_stays() -> None:
    most, asked = calls(filtered("Every 10", "All but 7"))
    assert asked == most


def test_the_cheaper_model_comes_first_where_both_leave_out_as_much() -> None:
    dear, cheap = model(model="dear"), model(model="cheap")
    plan = rows().filter_by(dear, "Every 2 {i}").filter_by(cheap, "All but 3 {i}")
    with dr.Session(None, prices={"dear": (10.0, 10.0), "cheap": (0.1, 0.1)}):
        found = plan.collect()
    assert dear.calls < 32 + ROWS * 2 // 3 + 10
    with dr.Session(None):
        assert found.equals(plan.collect(optimize=False))


def test_a_few_rows_teach_nothing() -> None:
    assert calls(filtered("All but 7", "Every 10", n=30)) == (30 + 25, 30 + 25)


def test_a_sampled_model_keeps_its_place() -> None:
    sampled = lambda: rows(200).filter(dr.prompt(Ordinal(), "a {i}").str.len_chars() > 2).filter(dr.prompt(Ordinal(), "b {i}").str.contains("b 1 "))  # noqa: E731
    most, asked = calls(sampled)
    assert asked == most


def test_it_can_be_switched_off() -> None:
    plan = filtered("All but 7", "Every 10")
    with dr.Session(None) as session:
        plan().collect(optimize={"filters_ordered": False})
        assert session.usage()["calls"] > ROWS + 500


@pytest.mark.parametrize("on_error", ["raise", "null", "drop"])
def test_what_fails_in_a_condition_asked_ahead_fails_only_where_it_would(on_error: str) -> None:
    def odd(asked: str) -> str:
        if asked.startswith("Every") and int(asked.rsplit(maxsplit=1)[-1]) in (140, 141, 147):
            raise dr.errors.BadRequestError("refused")
        return answered(asked)

    plan = filtered("All but 7", "Every 10", by=lambda: dr.testing.Scripted(odd, temperature=0), on_error=on_error)

    def outcome(*, optimize: bool) -> tuple[list[int], list[tuple[str, str]], str]:
        with dr.Session(None):
            made = plan()
            try:
                found = made.collect(optimize=optimize)["i"].to_list()
                error = ""
            except dr.errors.RowsFailedError as exc:
                found, error = [], re.sub(r"of \d+ rows", "of all rows", str(exc).splitlines()[0])  # that came so far
            failed = [(f["step"], f["request"]) for f in made.failures().to_dicts()]
            return found, failed, error

    assert outcome(optimize=True) == outcome(optimize=False)


def test_sampled_prompts_above_keep_their_numbers_and_rows_their_order() -> None:
    plan = lambda: filtered("All but 7", "Every 10")().with_columns(t=pl.lit("x")).prompt(Ordinal(), "Say {t}", into="said")  # noqa: E731
    most, asked = calls(plan)
    assert asked < most - 300


def test_statistics_name_the_written_steps() -> None:
    with dr.Session(None) as session:
        filtered("All but 7", "Every 10")().collect()
        asked = {(s.label, s.key) for s in session.runs()[-1].steps if s.calls} if session.runs() else set()
        assert {label for label, _ in asked} <= {"c0", "c1"}


def test_explain_says_whose_order_is_learnt() -> None:
    with dr.Session(None):
        assert "filters_ordered: which of `c0`, `c1` is asked first is learnt" in filtered("All but 7", "Every 10")().explain(rules=True)
        assert "filters_ordered" not in filtered("All but 7")().explain(rules=True)
        assert "filters_ordered" not in filtered("All but 7", "Every 10")().head(3).explain(rules=True), "asked in rounds, in the order that is written"
