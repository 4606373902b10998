"""Money that several processes spend together: leased ahead, given back, and never more than there is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamframe.errors import BudgetExceededError
from dreamframe.store import shared_budget
from dreamframe.store.files import Files
from dreamframe.store.layout import SessionWarning
from dreamframe.store.locks import NoLock
from dreamframe.store.shared_budget import Money, SharedBudget

CALL = 1 / 32  # US dollars, as a sum of floats is exact


class Process:
    """A session in a process of its own, as far as the folder tells."""

    def __init__(self, folder: Path, *, budget: float = 1.0, process: str | None = None) -> None:
        shared_budget.PROCESSES.clear()
        self.shared = SharedBudget(Files(folder), folder / "budget")
        if process is not None:
            self.shared._process = process
        self.budget, self.spent, self.in_flight, self.is_over = budget, 0.0, 0.0, False

    @property
    def money(self) -> Money:
        return Money(self.budget, self.spent, self.in_flight)

    def call(self, at_most: float = CALL) -> bool:
        """A call leaves, if it may."""
        self.shared._again_at = 0.0
        try:
            may_leave = self.shared.permits(at_most, self.money, called="m")
        except BudgetExceededError:
            self.is_over = True
            return False
        self.in_flight += at_most if may_leave else 0.0
        return may_leave

    def lands(self, cost: float = CALL, at_most: float = CALL) -> None:
        self.in_flight -= at_most
        self.spent += cost
        self.shared.spend(self.spent)

    def spend_all(self) -> None:
        while self.call():
            self.lands()

    def rests(self) -> None:
        """It has not asked for a while."""
        for _ in range(2):
            self.shared.lend(self.money)

    def dies(self) -> None:
        if self.shared._own is not None:
            self.shared._own.release()


def test_one_alone_spends_all_of_it(tmp_path: Path) -> None:
    one = Process(tmp_path)
    one.spend_all()
    assert (one.spent, one.is_over) == (1.0, True)


def test_few_visits_lease_for_many_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visits = []
    visit = SharedBudget._visit
    monkeypatch.setattr(SharedBudget, "_visit", lambda self, own, *, need: visits.append(need) or visit(self, own, need=need))
    one = Process(tmp_path, budget=10.0)
    one.spend_all()
    assert one.spent == 10.0
    assert len(visits) < 15


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_together_they_never_pass_it_and_use_it_up(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Whatever the calls cost in the end, whoever dies or ends."""
    folder = tmp_path_factory.mktemp("shared")
    processes = [Process(folder) for _ in range(3)]
    there = list(processes)
    for one in there:  # all of them have come
        assert one.call()
        one.lands()
    for _ in range(data.draw(st.integers(0, 40))):
        one = data.draw(st.sampled_from(there))
        what = data.draw(st.sampled_from(["call"] * 6 + ["lands"] * 6 + ["rest", "leaves"]))
        if what == "call":
            one.call()
        elif what == "lands" and one.in_flight:
            one.lands(cost=data.draw(st.sampled_from([CALL, CALL / 2])))
        elif what == "rest":
            one.rests()
        elif what == "leaves" and len(there) > 1:
            one.dies() if one.in_flight else one.shared.close()
            there.remove(one)
    assert sum(p.spent for p in processes) + sum(p.in_flight for p in there) <= 1.0
    for one in there:
        while one.in_flight:
            one.lands()
    for _ in range(4):
        for one in there:
            one.is_over = False
            one.spend_all()
            one.rests()
    total = sum(p.spent for p in processes)
    assert 1.0 - CALL < total <= 1.0, "what the dead had leased came back"
    assert all(one.is_over for one in there)


def test_what_others_hold_is_waited_for_and_comes_back_when_they_rest(tmp_path: Path) -> None:
    one, two = Process(tmp_path), Process(tmp_path)
    assert one.call()
    two.spend_all()
    assert not two.is_over, "the first one may leave something"
    assert two.spent < 0.6
    one.rests()
    two.spend_all()
    assert two.spent == 1.0 - CALL
    assert not two.is_over, "a call is in flight, and may cost less"
    one.lands()
    one.rests()
    two.spend_all()
    assert two.is_over
    with pytest.raises(BudgetExceededError, match=r"\$0.0000 of the budget is left; other processes on this folder have spent \$0.0312 of it"):
        two.shared.permits(CALL, two.money, called="m")


def test_a_session_that_asks_no_more_counts_only_while_others_do(tmp_path: Path) -> None:
    idle, other = Process(tmp_path), Process(tmp_path)
    idle.shared.come()
    idle.spend_all()
    assert not other.call()
    idle.shared.leave()
    assert not other.call(), "the other one was there when it was spent"
    other.shared.close()
    other.spend_all()
    assert other.spent == 1.0, "a session that is open and does nothing holds nobody up"


def test_what_a_stopped_process_holds_is_not_waited_for(tmp_path: Path) -> None:
    stopped, other = Process(tmp_path), Process(tmp_path)
    assert stopped.call()
    other.spend_all()
    assert not other.is_over
    os.utime(stopped.shared._path, (1.0, 1.0))
    other.spend_all()
    assert other.is_over
    assert other.spent < 0.6, "it is kept for it all the same"


def test_when_nobody_else_is_left_it_begins_anew(tmp_path: Path) -> None:
    one = Process(tmp_path)
    one.spend_all()
    late = Process(tmp_path)
    assert not late.call(), "the first one is still there"
    one.shared.close()
    assert not late.call(), "and what it spent counts while others stay"
    late.shared.close()
    new = Process(tmp_path)
    new.spend_all()
    assert new.spent == 1.0


def test_what_a_dead_process_spent_counts_while_others_are_there(tmp_path: Path) -> None:
    one, two = Process(tmp_path), Process(tmp_path)
    assert two.call()
    for _ in range(10):
        assert one.call()
        one.lands()
    one.dies()
    two.lands()
    two.spend_all()
    assert two.spent == 1.0 - 10 * CALL
    assert not Process(tmp_path).call()


def test_sessions_of_one_process_have_budgets_of_their_own(tmp_path: Path) -> None:
    one, two = Process(tmp_path, process="0" * 8), Process(tmp_path, process="0" * 8)
    for p in (one, two):
        p.shared._path = p.shared._path.with_name("0" * 8 + p.shared._path.name[8:])
        p.spend_all()
    assert [one.spent, two.spent] == [1.0, 1.0]


def test_without_locks_the_budget_is_each_process_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "lock", lambda *_, **__: NoLock())
    one = Process(tmp_path)
    assert all(one.call() for _ in range(200)), "the session itself keeps it"


def test_a_disk_that_fails_stops_nobody_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "budget").write_text("no folder")
    one = Process(tmp_path)
    with pytest.warns(SessionWarning, match="budget= holds for this process alone"):
        assert one.call()
