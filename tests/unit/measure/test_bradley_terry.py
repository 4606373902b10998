"""Strengths out of comparisons: known values, the likelihood's own condition, planted orders, intervals, and what has no strength."""

from __future__ import annotations

import itertools
import math
import random

import pytest

from dreamframe.errors import SettingError
from dreamframe.measure.bradley_terry import ELO, MEAN, Strength, strengths


def played(games: dict[tuple[str, str], tuple[int, int]], **settings: float) -> dict[str, Strength]:
    rows = [(a, b, won) for (a, b), (wins, losses) in games.items() for won in [1.0] * wins + [0.0] * losses]
    return {s.item: s for s in strengths(*zip(*rows, strict=True), **{"draws": 0, **settings})}  # type: ignore[arg-type]


def planted(n: int, n_games: int, seed: int, *, spread: float = 1.5) -> tuple[list[str], list[str], list[float], dict[str, float]]:
    draw = random.Random(seed)
    truth = {f"m{i}": spread * i / (n - 1) for i in range(n)}
    a, b, won = [], [], []
    for _ in range(n_games):
        one, two = draw.sample(list(truth), 2)
        a.append(one)
        b.append(two)
        won.append(float(draw.random() < 1 / (1 + math.exp(truth[two] - truth[one]))))
    return a, b, won, truth


@pytest.mark.parametrize("odds", [1, 3, 10])
def test_two_items_are_as_far_apart_as_their_odds(odds: int):
    found = played({("x", "y"): (odds, 1)}, prior=0)
    assert found["x"].elo - found["y"].elo == pytest.approx(400 * math.log10(odds))
    assert found["x"].elo + found["y"].elo == pytest.approx(2 * MEAN)


def test_expected_wins_are_the_wins_there_were():
    """What makes the likeliest strengths: each item should have won as often as it did."""
    games = {("a", "b"): (7, 3), ("a", "c"): (4, 6), ("b", "c"): (5, 2), ("c", "d"): (3, 3), ("a", "d"): (8, 1)}
    found = played(games, prior=0)
    for item in "abcd":
        wins = sum(w if one == item else losses for (one, two), (w, losses) in games.items() if item in (one, two))
        should = 0.0
        for (one, two), counts in games.items():
            if item in (one, two):
                other = two if item == one else one
                should += sum(counts) / (1 + math.exp((found[other].elo - found[item].elo) / ELO))
        assert should == pytest.approx(wins, abs=1e-6)


def test_a_planted_order_is_found():
    a, b, won, truth = planted(8, 6_000, 1, spread=3)
    found = strengths(a, b, won, draws=0)
    assert [s.item for s in found] == sorted(truth, key=lambda m: -truth[m])
    middle = sum(truth.values()) / len(truth)
    assert all(abs(s.elo - (MEAN + ELO * (truth[s.item] - middle))) < 40 for s in found)


def test_intervals_hold_the_truth_as_often_as_they_say():
    held = tried = 0
    for seed in range(30):
        a, b, won, truth = planted(5, 300, seed)
        middle = sum(truth.values()) / len(truth)
        for s in strengths(a, b, won, prior=0.01, confidence=0.9, draws=200, seed=seed):
            held += s.low <= MEAN + ELO * (truth[s.item] - middle) <= s.high
            tried += 1
            assert s.low <= s.elo <= s.high
    assert 0.82 <= held / tried <= 0.96


def test_a_tie_is_half_a_win_for_each():
    (x, y) = strengths(["x", "x"], ["y", "y"], [0.5, 0.5], draws=0)
    assert x.elo == pytest.approx(y.elo)
    assert (x.wins, x.losses, x.ties) == (0, 0, 2)
    half = strengths(["x"] * 4, ["y"] * 4, [1, 0.5, 0.5, 0], prior=0, draws=0)
    assert half[0].elo == pytest.approx(MEAN)


def test_the_prior_bounds_who_never_lost_and_places_who_never_met():
    games = {("x", "y"): (5, 0), ("u", "v"): (2, 1)}
    found = played(games)
    assert 1000 < found["u"].elo < found["x"].elo < 1000 + 1000
    with pytest.raises(SettingError, match=r"bradley_terry: prior=0, and 'u' and others .* never met them"):
        played(games, prior=0)
    with pytest.raises(SettingError, match="prior=0, and 'y' never won against the rest"):
        played({("x", "y"): (5, 0)}, prior=0)


def test_the_same_seed_gives_the_same_intervals_and_another_gives_others():
    a, b, won, _ = planted(4, 100, 3)
    one, again, other = (strengths(a, b, won, draws=50, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert [s.elo for s in one] == [s.elo for s in other]


def test_counts_and_order():
    found = strengths(["x", "y", "z"], ["y", "z", "x"], [1, 1, 1], draws=0)
    assert [s.item for s in found] == ["x", "y", "z"]  # equals, as they first came
    assert all((s.wins, s.losses, s.ties) == (1, 1, 0) for s in found)
    assert strengths([], [], []) == []


def test_many_items_are_fitted_in_parts():
    names = [f"m{i}" for i in range(60)]
    pairs = list(itertools.permutations(names, 2))
    found = strengths([p[0] for p in pairs], [p[1] for p in pairs], [float(int(p[0][1:]) > int(p[1][1:])) for p in pairs], draws=3)
    assert [s.item for s in found] == names[::-1]
