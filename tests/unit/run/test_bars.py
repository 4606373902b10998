"""The lines of a run on terminals of several sizes: none too wide, none too many, and never a name that is another's."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamframe.run.bars import LEAST_NAME, Part, chosen, columns, cut_all, fitted, wide
from dreamframe.run.board import Board, Moment
from dreamframe.run.options import Purse
from dreamframe.run.stats import RunStats, StepStats

SIZES = ((120, 34), (62, 24), (80, 9), (35, 12))


def moment(n_steps: int, *, name: str = "a_column_with_a_long_name", notes: tuple[str, ...] = ()) -> Moment:
    """A run of so many steps, the first of them done, the last not begun."""
    steps = [
        StepStats(f"{name}_{i}_of_the_plan", place=i, model="provider/mini", total=2_000, rows_in=2_000 - 400 * i, asked=1_500, cached=100, failed=3, cost=0.5)
        for i in range(min(n_steps, 5))
    ]
    steps += [StepStats(f"{name}_{i}_of_the_plan", place=i, total=2_000) for i in range(5, n_steps)]
    return Board(RunStats(steps), Purse(20.0), notes).look(time.monotonic())


def text_of(at: Moment, width: int, height: int | None) -> list[str]:
    return ["".join(p.text for p in line) for line in fitted(at, width, height)]


@pytest.mark.parametrize("n_steps", [3, 10])
@pytest.mark.parametrize("size", SIZES)
def test_the_lines_fit(n_steps: int, size: tuple[int, int]):
    lines = text_of(moment(n_steps), *size)
    assert max(map(wide, lines)) <= size[0]
    assert len(lines) <= size[1]
    assert lines[-1].startswith("1 s · $1.50 of $20.0" if n_steps == 3 else "1 s · $2.50 of $20.0")
    assert "rows" in lines[0]


@pytest.mark.parametrize("size", SIZES)
def test_names_that_differ_differ_when_they_are_cut(size: tuple[int, int]):
    lines = text_of(moment(10), *size)[1:-1]
    names = [line[:LEAST_NAME] + line.split("  ")[0] for line in lines if not line.startswith("…")]
    assert len(set(names)) == len(names)


def test_columns_leave_from_the_right():
    heads = [text_of(moment(3), width, 24)[0].split() for width in (160, 100, 80, 62)]
    assert heads[0][-1] == "model"
    assert all(heads[0][: len(head)] == head for head in heads)
    assert len(heads[0]) > len(heads[1]) > len(heads[3]) >= 3


def test_where_lines_are_too_many_those_at_work_are_shown_and_the_others_counted():
    lines, said = chosen(moment(10).lines, 5)
    assert [one.name[26] for one in lines] == ["1", "2", "3", "4"]
    assert said == "… and 6 more: 1 done, 5 to begin"


def test_the_width_of_the_rows_is_that_of_the_end():
    one = StepStats("said", total=2_000)
    widths = []
    for one.rows_in in (0, 20, 2_000):
        widths.append(columns(Board(RunStats([one])).look(1.0).lines)[0].width)
    assert len(set(widths)) == 1


def test_names_of_wide_letters_are_measured_in_cells():
    lines = text_of(moment(3, name="顧客レビューの要約と感情分析"), 62, 24)
    assert max(map(wide, lines)) <= 62
    assert cut_all(["顧客レビュー一", "顧客レビュー二"], 9) == ["顧客…ー一", "顧客…ー二"]


def test_notes_stand_below_and_are_few():
    lines = text_of(moment(3, notes=tuple(f"library: warning {i}" for i in range(5))), 62, 24)
    assert lines[-5:-1] == ["note: library: warning 0", "note: library: warning 1", "note: library: warning 2", "and 2 more notes"]
    assert not any("note" in line for line in text_of(moment(10, notes=("library: warning",)), 80, 9))


@settings(max_examples=100, deadline=None)
@given(st.text(), st.integers(30, 130))
def test_no_name_breaks_a_line_or_steers_a_terminal(name: str, width: int):
    lines = text_of(moment(3, name=name), width, 24)
    assert max(map(wide, lines)) <= width
    assert not any(c in line for line in lines for c in "\x1b\n\r\x9b\u202e")
    assert len(lines) == 5


def test_of_a_run_that_is_over_no_time_to_go_is_shown():
    at = moment(3)
    assert "left" in "".join(p.text for p in fitted(at, 120)[0])
    assert "left" not in "".join(p.text for line in fitted(at, 120, end="stopped") for p in line)


def test_a_budget_that_will_not_do_is_said_while_there_is_time():
    def last(budget: float) -> Part:
        return fitted(Moment((), 60.0, 1.0, 3.0, budget, 120.0), 80)[-1][0]

    assert last(5.0) == Part("1 min · $1.00 of $5.00 budget, ~$3.00 in all · 2 min left", "bold")
    assert last(2.0) == Part("1 min · $1.00 of $2.00 budget, ~$3.00 needed · 2 min left", "yellow")
