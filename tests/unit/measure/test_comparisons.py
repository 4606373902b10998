"""The best of many by comparisons: right where answers are right, few of them, and nothing asked that follows from what is known."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence

import pytest

from dreamframe.measure.comparisons import Contest, Tiers, Window, expected

Answer = Callable[[Window], Sequence[Sequence[int]] | None]


def drawn(n: int, seed: int) -> list[int]:
    """The quality of each item, no two alike."""
    quality = list(range(n))
    random.Random(seed).shuffle(quality)
    return quality


def marks(n: int) -> list[int]:
    draw = random.Random(n)
    return [draw.getrandbits(64) for _ in range(n)]


def held(contest: Contest, answer: Answer) -> tuple[Tiers, list[list[Window]]]:
    """The tiers that a contest finds, and what it asked, round by round."""
    asking, asked, answers = contest.rounds(), [], None
    while True:
        try:
            asked.append(asking.send(answers))  # type: ignore[arg-type]
        except StopIteration as done:
            return done.value, asked
        answers = [answer(window) for window in asked[-1]]


def by(quality: Sequence[int]) -> Answer:
    return lambda window: [[item] for item in sorted(window, key=lambda i: -quality[i])]


def best(quality: Sequence[int], k: int) -> list[int]:
    return sorted(range(len(quality)), key=lambda i: -quality[i])[:k]


@pytest.mark.parametrize("window", [2, 3, 10])
@pytest.mark.parametrize(("n", "k"), [(0, 1), (1, 1), (2, 1), (3, 5), (7, 3), (40, 1), (40, 13), (200, 7), (200, 200)])
def test_the_best_are_found_in_their_order(n: int, k: int, window: int):
    for seed in range(5):
        tiers, asked = held(Contest(k=k, marks=marks(n), window=window), by(quality := drawn(n, seed)))
        assert [item for tier in tiers for item in tier][:k] == best(quality, k)
        assert all(len(tier) == 1 for tier in tiers)
        assert all(2 <= len(set(w)) == len(w) <= window for batch in asked for w in batch)


def test_about_2n_and_k_log_k_comparisons_are_enough_where_a_sort_takes_n_log_n():
    n, k = 1_000, 10
    counts = [sum(map(len, held(Contest(k=k, marks=marks(n)), by(drawn(n, seed)))[1])) for seed in range(20)]
    assert sum(counts) / 20 < 1.35 * n  # measured: 1.22 n
    assert max(counts) < 3 * n
    assert sum(counts) / 20 < 0.2 * n * math.log2(n)


def test_windows_of_ten_take_five_to_nine_times_fewer():
    n, k = 1_000, 10
    pairs, windows = (sum(sum(map(len, held(Contest(k=k, marks=marks(n), window=w), by(drawn(n, s)))[1])) for s in range(10)) for w in (2, 10))
    assert 5 <= pairs / windows <= 9


@pytest.mark.parametrize("window", [2, 10])
@pytest.mark.parametrize(("n", "k"), [(100, 10), (1_000, 10), (300, 100), (300, 300)])
def test_what_is_expected_is_about_what_is_asked(n: int, k: int, window: int):
    counts = [sum(map(len, held(Contest(k=k, marks=marks(n), window=window), by(drawn(n, seed)))[1])) for seed in range(2 if k == n else 8)]
    assert 0.7 < expected(n, k, window) / (sum(counts) / len(counts)) < 1.4


def test_no_pair_is_asked_whose_order_follows_from_earlier_rounds():
    quality = drawn(120, 3)
    _, asked = held(Contest(k=40, marks=marks(120)), by(quality))
    beats: dict[int, set[int]] = {}
    for batch in asked:
        for one, two in batch:
            for a, b in ((one, two), (two, one)):
                reached, waiting = {a}, [a]
                while waiting:
                    new = beats.get(waiting.pop(), set()) - reached
                    reached |= new
                    waiting += new
                assert b not in reached
        for one, two in batch:
            first, second = (one, two) if quality[one] > quality[two] else (two, one)
            beats.setdefault(first, set()).add(second)


def test_items_whose_answers_go_in_a_circle_are_one_tier():
    around = {frozenset((0, 1)): 0, frozenset((1, 2)): 1, frozenset((0, 2)): 2}  # 0 before 1 before 2 before 0

    def answer(window: Window) -> list[list[int]]:
        one, two = window
        first = around.get(frozenset(window), min(window))
        return [[first], [one + two - first]]

    known = Contest(k=3, marks=[0, 0, 0])
    for pair in itertools.combinations(range(3), 2):
        known.known.add(answer(pair))
    assert held(known, answer) == ([[0, 1, 2]], [])


def test_a_tie_is_a_tier_and_those_who_tie_with_the_pivot_are_one():
    tiers, _ = held(Contest(k=6, marks=marks(6)), lambda window: [list(window)])
    assert tiers == [[0, 1, 2, 3, 4, 5]]


def test_an_item_whose_question_has_no_answer_has_no_place_and_takes_no_other_with_it():
    quality = drawn(60, 1)
    for bad in (best(quality, 1)[0], 0, 1, 2, 30):  # 0 is drawn first: it is a pivot
        contest = Contest(k=60, marks=marks(60))
        tiers, _ = held(contest, lambda window, bad=bad: None if bad in window else by(quality)(window))
        placed = [item for tier in tiers for item in tier]
        assert bad in contest.lost
        assert len(contest.lost) <= 2
        assert placed == [item for item in best(quality, 60) if item not in contest.lost]


@pytest.mark.parametrize("window", [2, 10])
def test_no_answer_at_all_ends_soon(window: int):
    contest = Contest(k=3, marks=marks(300), window=window)
    tiers, asked = held(contest, lambda _: None)
    assert sum(map(len, tiers)) <= 1
    assert sum(map(len, asked)) < 4 * 300 / (window - 1)


@pytest.mark.parametrize(("window", "most"), [(2, 25), (10, 12)])
def test_an_item_more_asks_little_that_was_not_asked(window: int, most: int):
    """Items in the order of their marks, as a caller gives them: one more in the middle shifts the numbers of all after it, and not what is asked."""
    names = sorted(marks(400))
    quality = {name: name % 1_000_003 for name in names}

    def asked_of(some: Sequence[int]) -> set[frozenset[int]]:
        answer: Answer = by([quality[name] for name in some])
        return {frozenset(some[i] for i in w) for batch in held(Contest(k=5, marks=some, window=window), answer)[1] for w in batch}

    whole = asked_of(names)
    new = [len(whole - asked_of([*names[:at], *names[at + 1 :]])) for at in range(5, 400, 40)]
    assert sorted(new)[len(new) // 2] <= most  # of about 440, or 55
