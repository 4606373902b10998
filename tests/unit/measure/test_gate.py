"""Conditions on figures: what they say, and what of them fails in one line."""

from __future__ import annotations

import pytest

from dreamframe.errors import GateError, SettingError
from dreamframe.measure.figures import Figure
from dreamframe.measure.gate import check

FIGURES = (
    Figure("all rows", "f1", 0.8, 0.75, 0.85, 800, 800),
    Figure("lang=de", "f1", 0.71, 0.6, 0.8, 120, 120),
    Figure("lang=en", "f1", 0.9, 0.8, 0.95, 680, 680),
    Figure("all rows", "error", 12_345.0, None, None, 800, 797, 3),
    Figure("all rows", "auc", None, None, None, 800, 800, note="one class alone"),
)


@pytest.mark.parametrize(
    "text",
    [
        *("f1 >= 0.8", "f1>=.8", "f1 >= 80%", "f1 > 0.79", "f1 <= 0.8", "f1 < 1", "f1 == 0.8", "f1.low >= 0.75", "f1.high < 8.6e-1", "f1.n >= 800"),
        *("f1 >= 0.7 in every slice", "f1 >= 0.9 in lang=en", "error < 12_346", "error.n_missing <= 3", "  f1   >=  0.8  "),
    ],
)
def test_a_condition_that_is_met_passes(text: str):
    check([text], FIGURES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f1 >= 0.81", "gate: f1 >= 0.81 fails: of all rows f1 is 0.800 (0.750 to 0.850, n = 800)"),
        ("f1>=0.75 in every slice", "gate: f1>=0.75 in every slice fails: in lang=de f1 is 0.710 (0.600 to 0.800, n = 120)"),
        ("f1.low >= 0.8 in lang=de", "gate: f1.low >= 0.8 in lang=de fails: in lang=de f1.low is 0.600, where f1 is 0.710 (0.600 to 0.800, n = 120)"),
        ("error < 5", "gate: error < 5 fails: of all rows error is 12,345 (n = 797)"),
        ("auc >= 0", "gate: auc >= 0 fails: of all rows auc is not defined (n = 800)"),
        ("error.low >= 0", "gate: error.low >= 0 fails: of all rows error.low is not defined, where error is 12,345 (n = 797)"),
    ],
)
def test_one_that_is_not_names_slice_and_figure_in_one_line(text: str, said: str):
    with pytest.raises(GateError) as found:
        check([text], FIGURES)
    assert str(found.value) == said
    assert "\n" not in said
    assert found.value.failed[0]["condition"] == " ".join(text.split())


def test_all_that_fail_are_named():
    with pytest.raises(GateError) as found:
        check(["f1 >= 0.95 in every slice", "f1 >= 0.1", "error < 1"], FIGURES)
    assert [(f["slice"], f["metric"]) for f in found.value.failed] == [("all rows", "f1"), ("lang=de", "f1"), ("lang=en", "f1"), ("all rows", "error")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("f1", "is not a condition; write 'f1 >= 0.8'"),
        ("f1 >= good", "is not a condition"),
        ("f1 >= 0.8 and error < 3", "is not a condition"),
        ("f1 => 0.8", "is not a condition"),
        ("__import__('os').system('x') >= 0", "no figure"),
        ("f2 >= 0.8", "no figure 'f2' in this report; it has 'f1', 'error', 'auc'"),
        ("f1 >= 0.8 in lang=fr", "no slice 'lang=fr' in this report; it has 'all rows', 'lang=de', 'lang=en', or say 'in every slice'. Did you mean 'lang=en'"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, said: str):
    with pytest.raises(SettingError, match="gate: ") as found:
        check([text], FIGURES)
    assert said in str(found.value)


def test_a_gate_without_a_condition_is_refused():
    with pytest.raises(SettingError, match="gate: no condition is given"):
        check([], FIGURES)
