"""The simulation of many shards whose processes die: its counts hold together."""

from __future__ import annotations

from benchmarks.many_workers import journal_bytes, simulate


def test_without_deaths_each_row_is_asked_once():
    made = simulate(2_000, 4, deaths_per_minute=0.0)
    assert (made.calls, made.deaths, made.asked_twice) == (2_000, 0, 0.0)
    assert made.seconds > made.largest / 32 / 2


def test_a_death_costs_what_was_in_flight_and_no_more():
    made = simulate(20_000, 4, deaths_per_minute=8.0)
    assert made.deaths > 3
    assert 0 < made.calls - made.rows <= made.deaths * (32 + 4)


def test_answers_that_are_written_together_take_less():
    assert journal_bytes(10_000, 100) < journal_bytes(10_000, 1) / 2
