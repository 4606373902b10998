"""What benchmarks print is one table's lines: figures with a floor, a ratio and a limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import table, top_k
from benchmarks.figures import Figure, report, reported
from benchmarks.peers.__main__ import OURS, PINS, environment, figures
from benchmarks.servers import ROOT

FIGURES = [
    Figure("CPU a row", 0.05, "ms", 0.1, "bare aiohttp", most=0.6, median_ratio=0.42),
    Figure("calls", 41, "calls", most=40),
    Figure("used", 0.93, "of all", least=0.9),
    Figure("reading", 2.0, "s", 0.5, "by hand"),
]


def test_figures_are_read_as_they_were_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert not report("overhead", FIGURES, notes={"rounds": 3}), "41 calls are over the limit"
    printed = capsys.readouterr().out
    assert reported("words before\n" + printed) == FIGURES
    assert report("overhead", FIGURES[:1])


def test_a_limit_is_one_of_the_ratio_where_there_is_a_floor() -> None:
    assert [(figure.ratio, figure.holds) for figure in FIGURES] == [(0.42, True), (None, False), (None, True), (4.0, True)]
    assert Figure("a", 1, "calls", 0, "b", most=1).ratio == float("inf")
    assert not Figure("a", 1, "calls", 0, "b", most=1).holds


@pytest.mark.parametrize(("settings", "most"), [({}, 2 * 60), ({"window": 10}, 30)], ids=["two at a time", "windows"])
def test_a_judge_who_never_errs_finds_the_best_and_one_who_errs_is_another(settings: dict[str, int], most: int) -> None:
    calls, share, is_in_order = top_k.tried(60, 5, 0, **settings)
    assert (share, is_in_order) == (1.0, True)
    assert calls < most
    assert not top_k.tried(60, 5, 0, errs=0.3, **settings)[2]


def test_what_printed_no_figures_is_an_error() -> None:
    with pytest.raises(ValueError, match="no figures"):
        reported("Traceback (most recent call last): ...")


def test_the_table_names_floor_ratio_and_what_does_not_hold() -> None:
    lines = table.text({"overhead": FIGURES}).splitlines()
    assert lines[2] == "| CPU a row | 0.1 ms (bare aiohttp) | 0.05 ms | 0.42x | ≤ 0.6x | yes |"
    assert lines[3] == "| calls |  | 41 calls |  | ≤ 40 | **no** |"
    assert lines[4] == "| used |  | 0.93 of all |  | ≥ 0.9 | yes |"
    assert lines[5] == "| reading | 0.5 s (by hand) | 2 s | 4.00x |  |  |"


def test_results_say_when_where_and_how_to_repeat() -> None:
    written = table.page({"overhead": FIGURES}, 1_800_000_000)
    assert "2027-01-15" in written
    assert "cores" in written
    assert "`make bench`" in written


def test_every_benchmark_of_the_table_is_there() -> None:
    assert [command for command in table.COMMANDS.values() if not (ROOT / "benchmarks" / f"{command[0]}.py").exists()] == []


def test_peers_are_compared_round_by_round_and_a_second_run_that_hangs_is_left_out() -> None:
    ours, theirs = {"ms_per_row": 0.1, "warm_s": 0.3}, {"ms_per_row": 2.0, "warm_s": 3.0}
    found = {OURS: [ours, {**ours, "ms_per_row": 0.4}, ours], "fenic": [theirs] * 3, "distilabel": [theirs] * 3}
    lost = {name: [{"wanted": 16, "again": n}] for name, n in {OURS: 4.0, "fenic": 2.0, "distilabel": None}.items()}
    made = figures(found, lost)
    assert [(f.name, f.over.split()[0], f.ratio, f.holds) for f in made] == [
        ("CPU a row", "fenic", 0.05, True),
        ("warm re-run of 3,000 rows, CPU", "fenic", pytest.approx(0.1), True),
        ("calls made again after kill -9, 16 wanted in flight", "fenic", 2.0, False),
        ("CPU a row", "distilabel[openai]", 0.05, True),
        ("warm re-run of 3,000 rows, CPU", "distilabel[openai]", pytest.approx(0.1), True),
    ]


def test_every_peer_has_a_program_and_an_environment_of_its_own(tmp_path: Path) -> None:
    assert [name for name in (OURS, *PINS) if not (ROOT / "benchmarks" / "peers" / f"ask_with_{name}.py").exists()] == []
    assert "PYTHONPATH" not in environment("fenic", tmp_path)
