"""What the benchmarks of local models say: ratios of paired rounds, and why a part has no figures."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from benchmarks import gpu
from benchmarks.paired import Pair


def test_both_ways_take_turns_and_the_slower_one_does_not_hold() -> None:
    turns: list[str] = []

    def way(name: str, work: int) -> int:
        turns.append(name)
        return sum(1 for _ in range(work)) and 10

    found = Pair("loops", "units", lambda: way("ours", 200_000), lambda: way("other", 10_000), least=0.9).measured(3, clock="cpu")
    assert turns == ["other", "ours", *("other", "ours"), *("ours", "other"), *("other", "ours")]
    assert found["ratio"] == found["cpu_ratio"] < 0.5
    assert (found["holds"], found["rounds"]) == (False, 3)
    assert found["ours_units_per_cpu_s"] < found["other_units_per_cpu_s"]


def broken(_: Any) -> dict[str, Any]:
    raise RuntimeError("the driver said no")


def test_a_part_that_fails_lacks_a_package_or_comes_too_late_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    bench: Any = None
    assert gpu._part("answers", broken, bench, late=False) == {"error": "RuntimeError: the driver said no"}
    assert gpu._part("answers", broken, bench, late=True) == {"left_out": "480 s are nearly over"}
    monkeypatch.setitem(gpu.FOR_PARTS, "sft", ["json", "no_such_package"])
    assert gpu._part("sft", broken, bench, late=False) == {"left_out": "not installed: no_such_package"}


@pytest.mark.slow  # torch is loaded
def test_without_a_device_one_line_says_so_and_nothing_is_wrong(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert gpu.main() == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["device"] is None
    assert "no CUDA device here" in line
    monkeypatch.setattr(gpu, "lacking", lambda names: [n for n in names if n == "polars"])
    monkeypatch.setattr(sys, "argv", ["gpu", "--device", "cpu"])
    assert gpu.main() == 1
    assert json.loads(capsys.readouterr().out)["lacking"] == ["polars"]
