"""dr.compare: which of two plans is better, for what price, and which rows make the difference."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, GateError, SettingError
from dreamframe.testing import Echo

GOLD = ["good", "bad"] * 10
ACCURACY = dr.metrics.accuracy("mood", "gold")


def plans(small: Echo, large: Echo) -> tuple[dr.Frame, dr.Frame]:
    rows = dr.frame({"id": range(20), "t": ["good"] * 20, "gold": GOLD})
    one = rows.prompt(small, "{t}", into="mood").prompt(small, "Unread {id}", into="unread")
    return one, rows.prompt(large, "{gold}", into="mood")


def test_the_better_plan_is_named_with_its_price_and_the_rows_that_flipped(tmp_path: object):
    small, large = Echo(model="small"), Echo(model="large")
    one, other = plans(small, large)
    with dr.Session("kept", prices={"large": (1_000_000, 0)}):
        found = dr.compare(one, other, on="id", metric=ACCURACY, names=("small", "large"))
    assert (found["small"].value, found["large"].value, found["difference"].value) == (0.5, 1.0, 0.5)
    assert (found.better, found.only_a, found.only_b) == ("large", 0, 10)
    assert found.p_value == pytest.approx(2 / 2**10)
    assert found.flips.columns == ["id", "t", "gold", "mood_small", "mood_large", "right"]
    assert found.flips.row(0) == (1, "good", "bad", "good", "bad", "large")
    assert found.flips.height == 10
    assert found.spent.select("plan", "calls").rows() == [("small", small.calls), ("large", large.calls)]
    assert small.calls == 20, "a column that the metric does not read is not asked for"
    assert "large is better: only small is right in 0 rows, only large in 10; p = 0.002" in repr(found)
    assert "large is better" in found._repr_html_()
    assert found.as_dict()["better"] == "large"
    with dr.Session("kept", offline=True):
        assert dr.compare(*plans(small, large), on="id", metric=ACCURACY, names=("small", "large")) == found
    assert (small.calls, large.calls) == (20, 20)


def test_a_comparison_is_gated_and_stands_on_the_cards(tmp_path: object):
    one, other = plans(Echo(model="small"), Echo(model="large"))
    with dr.Session("kept"):
        found = dr.compare(one, other, on="id", metric=ACCURACY, name="small or large")
        assert "| all rows | `difference` | 0.500 |" in one.card()
        assert "p = 0.002" in other.card()
    found.gate("difference >= -0.01")
    with pytest.raises(GateError, match="difference"):
        found.gate("difference <= 0")


def test_a_lower_error_is_the_better_one(session: dr.Session):
    rows = dr.frame({"id": range(40), "g": [float(i) for i in range(40)]})
    one, other = (rows.with_columns(p=pl.col("g") + off * (-1) ** pl.col("id")) for off in (1.0, 3.0))
    metric = dr.metrics.mean_absolute_error("p", "g")
    found = dr.compare(one, other, on="id", metric=metric, draws=300)
    assert (found["difference"].value, found.better) == (2.0, "a")
    same = dr.compare(one, one, on="id", metric=metric, draws=300)
    assert (same.better, same.p_value) == (None, 1.0)
    assert same.flips.is_empty()


def test_flips_are_found_of_figures_of_labels_too(session: dr.Session):
    one, other = plans(Echo(), Echo())
    found = dr.compare(one, other, on="id", metric=dr.metrics.f1("mood", "gold", average="macro"), draws=200)
    assert found.flips.height == 10
    assert found.only_a is None


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"on": "key"}, ColumnNotFoundError, "compare: no column 'key'"),
        ({"metric": "accuracy"}, SettingError, "metric='accuracy' is not a metric"),
        ({"metric": dr.metrics.accuracy("mod", "gold")}, ColumnNotFoundError, "compare: no column 'mod'"),
        ({"names": ("a", "a")}, SettingError, "are to be two different words"),
        ({"b": pl.DataFrame()}, SettingError, "is not a frame (rows that are here make one"),
        ({"on": "t"}, SettingError, "on='t' names several rows of the first frame"),
    ],
)
def test_what_cannot_be_compared_is_said(change: dict[str, Any], error: type[Exception], said: str, session: dr.Session):
    one, other = plans(Echo(), Echo())
    asked: dict[str, Any] = {"a": one, "b": other, "on": "id", "metric": ACCURACY, **change}
    with pytest.raises(error) as found:
        dr.compare(asked.pop("a"), asked.pop("b"), **asked)
    assert said in str(found.value)
