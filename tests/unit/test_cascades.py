"""What the benchmark of cascades measures, and the page that it writes."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import cascades
from benchmarks.cascade_rivals import ASKED, NO, OWN, YES, lotus_file
from benchmarks.cascades import Line, missed

TRUTH = np.array([True] * 10 + [False] * 10)
# has the names that LOTUS's file has, and nothing of what it does
FILE = """
import lotus
from lotus.types import CascadeArgs
def learn_cascade_thresholds(proxy_scores, oracle_outputs, sample_correction_factors, cascade_args):
    lotus.logger.info("learned")
    return (max(proxy_scores), cascade_args.recall_target), 0
"""


def decided(**positions: list[int]) -> Any:
    found = np.full(20, ASKED)
    for name, value in (("own", OWN), ("yes", YES), ("no", NO)):
        found[positions.get(name, [])] = value
    return found


@pytest.mark.parametrize(
    ("rows", "promise", "is_missed"),
    [
        ({"own": [0, 1, 10]}, "accuracy", False),  # labels of accuracy: whether the proxy is right
        ({"own": [10, 11]}, "accuracy", False),
        ({"own": [10, 11, 12]}, "accuracy", True),
        ({"no": [0]}, "recall", False),
        ({"no": [0, 1]}, "recall", True),
        ({"no": [0, 1]}, "precision", False),
        ({"yes": [10]}, "precision", False),
        ({"yes": [10, 11]}, "precision", True),
        ({"yes": [10, 11]}, "recall", False),
        ({"yes": [10, 11]}, "both", True),
        ({"no": [0, 1]}, "both", True),
        ({"yes": [0, 10], "no": [1, 12]}, "both", False),
    ],
    ids=str,
)
def test_a_run_misses_what_it_promised(rows: dict[str, list[int]], promise: str, is_missed: bool) -> None:
    assert missed(decided(**rows), TRUTH, promise, 0.9) is is_missed


def test_ours_is_measured_and_kept_on_made_rows() -> None:
    scores, truth = cascades.made()["calibrated"]
    found = list(cascades.lines("calibrated", scores, truth, 2, ("both",)))
    assert {line.by for line in found} == {"dreamframe", "LOTUS"}
    assert len(found) == 2 * len(cascades.TARGETS) * len(cascades.DELTAS)
    assert [figure.name for figure in cascades.figures(found)] == [f"cascade, calibrated, both: {what}" for what in ("misses over delta", "rows asked about")]


def test_the_page_says_what_was_missed_by_more_than_delta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, file = tmp_path / "page.md", tmp_path / "figures.json"
    page.write_text("before\n<!-- table -->\nold\n<!-- end -->\nafter\n", encoding="utf-8")
    found = [Line("onto", "recall", 0.9, 0.05, "dreamframe", 1_000, 20, 0.25), Line("onto", "recall", 0.9, 0.05, "SUPG", 1_000, 200, 0.125)]
    file.write_text(json.dumps({"lines": [asdict(line) for line in found]}), encoding="utf-8")
    monkeypatch.setattr(cascades, "PAGE", page)
    monkeypatch.setattr(sys, "argv", ["cascades", "--page", str(file)])
    cascades.main()
    written = page.read_text(encoding="utf-8")
    assert "| onto | recall | 0.9 | 0.05 | 0.020 (0.013-0.031), 0.250 | **0.200** (0.176-0.226), 0.125 |  |  |" in written
    assert written.startswith("before\n")
    assert written.endswith("\nafter\n")
    assert "old" not in written


def test_sets_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"onto.source\.csv.*github.com/stanford-futuredata/supg"):
        cascades.read(tmp_path, ["onto"])


def test_the_thresholds_of_a_file_are_read_with_the_library_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lotus", raising=False)
    file = tmp_path / "cascade_utils.py"
    file.write_text(FILE, encoding="utf-8")
    given = np.array([0.25, 0.75]), np.array([False, True]), np.ones(2), 0.9, 0.8, 0.2
    assert lotus_file(file)(*given) == (0.75, 0.9)
    monkeypatch.delitem(sys.modules, "lotus", raising=False)
    monkeypatch.delitem(sys.modules, "lotus.types", raising=False)
