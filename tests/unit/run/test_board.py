"""What there is to see of a run: counted by calls, through filters, by verbs, in the order of the plan."""

from __future__ import annotations

import time

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.request import Completion
from dreamframe.run.board import Board, done_of, expected, progress_of
from dreamframe.run.options import Purse
from dreamframe.run.stats import RunStats, StepStats


def test_a_bar_moves_while_the_first_batch_is_in_flight(monkeypatch: pytest.MonkeyPatch):
    looks: list[tuple[int, int | None, int]] = []

    def count(self: StepStats, completion: Completion, cost: float | None = 0.0) -> None:
        before(self, completion, cost)
        line = Board(RunStats([self])).look(time.monotonic()).lines[0]
        looks.append((line.done, line.total, self.rows))

    before = StepStats.count
    monkeypatch.setattr(StepStats, "count", count)
    with dr.Session(None, batch_rows=5):
        dr.frame({"t": ["a", "b", "c", "d", "e"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
    assert looks == [(1, 5, 0), (2, 5, 0), (3, 5, 0), (4, 5, 0), (5, 5, 0)]


def test_a_total_goes_through_filters_by_what_they_have_left_so_far():
    above = StepStats("said", total=1_000, entered=600, through=500, given=500, same=True)
    left_out = StepStats("filter", entered=500, through=500, given=100, fed_by=above)
    assert expected(StepStats("label", fed_by=left_out)) == (200, True)
    left_out.through, left_out.given, above.through, above.given = 1_000, 210, 1_000, 1_000
    assert expected(StepStats("label", fed_by=left_out)) == (210, False)


def test_a_filter_that_has_seen_nothing_leaves_the_total_unknown_and_a_step_that_keeps_rows_does_not():
    feeds = StepStats("said", total=10, same=True)
    assert expected(StepStats("label", fed_by=feeds)) == (10, False)
    assert expected(StepStats("label", fed_by=StepStats("filter", fed_by=feeds))) == (None, False)


def test_several_requests_a_row_are_one_row():
    assert done_of(StepStats("said", entered=10, requests=30, asked=15)) == 5


def test_speed_and_time_to_go_are_those_of_the_last_seconds():
    step = StepStats("said", total=1_000, started=0.0)
    board = Board(RunStats([step]))
    step.rows_in = 100
    board.look(100.0)
    step.rows_in = 200
    line = board.look(110.0).lines[0]
    assert line.speed == 10.0
    assert line.left_s is not None
    assert 80 <= line.left_s < 800


def test_money_is_projected_by_what_the_rest_asks():
    step = StepStats("said", total=100, rows_in=25, asked=25, cost=0.5)
    moment = Board(RunStats([step]), Purse(5.0)).look(time.monotonic())
    assert (moment.cost, moment.cost_whole, moment.budget) == (0.5, 2.0, 5.0)
    step.cost = None
    assert Board(RunStats([step])).look(time.monotonic()).cost is None


def test_a_step_waits_where_calls_are_tried_again_and_none_is_answered():
    step = StepStats("said", total=100, asked=3, started=0.0)
    board = Board(RunStats([step]))
    assert not board.look(1.0).lines[0].waits
    step.retries = 2
    board.look(40.0)
    step.retries = 4
    assert board.look(71.0).lines[0].waits
    step.asked = 4
    assert not board.look(72.0).lines[0].waits


def test_steps_of_a_plan_that_runs_optimised_are_lines_as_written_in_its_order():
    llm = dr.testing.Echo()
    rows = dr.frame({"t": ["a", "b", "c", "d"], "n": [1, 2, 3, 4]})
    plan = rows.prompt(llm, "{t}", into="said").prompt(llm, "{said}!", into="loud").filter(pl.col("n") > 2).head(1)
    with dr.Session(None) as session:
        plan.collect()
        lines = Board(session._running.stats[-1]).look(time.monotonic()).lines
    assert [(one.name, one.asked) for one in lines] == [("said", 4), ("loud", 1), ("filter", 0)]  # the filter ran first


def test_the_steps_inside_a_verb_are_one_line_under_its_name():
    same = dr.testing.Scripted(lambda prompt: "false" if "equal" in prompt.lower() or "same" in prompt.lower() else f"{prompt} now", concurrency=4)
    with dr.Session(None) as session:
        dr.frame({"instruction": ["a", "b"]}).pipe(dr.recipes.evolve, same).with_columns(n=pl.lit(1)).collect()
        lines = Board(session._running.stats[-1]).look(time.monotonic()).lines
    assert (lines[0].name, lines[0].asked, lines[0].done, lines[0].total) == ("evolve", 3, 2, 2)
    assert "evolve" not in [one.name for one in lines[1:]]


def test_a_row_counts_by_the_part_of_its_verb_that_it_has_been_through():
    told = [StepStats("judge", name="judge", model="m", total=10, rows_in=10), StepStats("judge", name="judge", model="m", total=10, rows_in=5)]
    assert progress_of(told)[1:3] == (7, 10)


def test_what_all_will_cost_is_not_known_before_each_step_has_asked():
    first = StepStats("said", total=100, entered=50, requests=50, asked=50, cost=1.0, model="m", started=0.0)
    second = StepStats("short", total=100, model="m", started=0.0, place=1)
    board = Board(RunStats([first, second]))
    assert board.look(1.0).cost_whole is None
    second.entered = second.requests = second.asked = 25
    second.cost = 1.0
    assert board.look(2.0).cost_whole == 2.0 + 4.0


def test_a_cascade_is_one_line_under_the_name_of_its_verb():
    names = ["said", "filter_by proxy", "filter_by sample", "filter_by", "large proxy", "large"]
    steps = [StepStats(name, name=name, model="m", place=i, total=10, rows_in=10) for i, name in enumerate(names)]
    lines = Board(RunStats(steps)).look(time.monotonic()).lines
    assert [line.name for line in lines] == ["said", "filter_by", "large"]
