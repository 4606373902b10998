"""An attribute of each side of a join: which labels go together, what is asked about a row, what is refused."""

from __future__ import annotations

import enum
import re
from typing import Any, Literal

import polars as pl
import pytest

import dreamframe as dr

DIFFER = pl.col("left") != pl.col("right")


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


@pytest.mark.parametrize("labels", [["good", "bad"], Literal["good", "bad"], Mood], ids=["a list", "a Literal", "an Enum"])
def test_labels_are_given_in_many_ways(labels: Any):
    made = dr.Attribute("mood", labels, DIFFER)
    assert made.pairs == (("good", "bad"), ("bad", "good"))


def test_labels_go_together_as_the_expression_says_and_a_missing_one_with_none():
    made = dr.Attribute("level", ["a", "b", "c"], pl.col("left") < pl.col("right"))
    rows = pl.DataFrame({"x": ["a", "c", None, "a"], "y": ["b", "a", "b", None]})
    assert rows.select(made.matches("x", "y")).to_series().to_list() == [True, False, None, None]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": " "}, "Attribute: name= is a text such as 'sentiment'"),
    "one label": ({"labels": ["good"]}, "give two texts or more"),
    "numbers": ({"labels": [1, 2]}, "give two texts or more"),
    "no expression": ({"on": "left != right"}, "Attribute: on= is 'left != right'; give an expression over pl.col('left') and pl.col('right')"),
    "another column": ({"on": pl.col("other") != pl.col("right")}, "Attribute: on= reads 'other'; give an expression"),
    "not true or false": ({"on": pl.col("left") + pl.col("right")}, "is not true or false for two labels"),
    "one of all": ({"on": (DIFFER).any()}, "is not true or false for two labels"),
    "never": ({"on": DIFFER & (pl.col("left") == pl.col("right"))}, "is never true of 'good', 'bad': the attribute decides nothing"),
    "cannot be computed": ({"on": pl.col("left").dt.year() == pl.col("right").dt.year()}, "cannot be computed of two labels"),
    "an empty question": ({"question": ""}, "Attribute: question= is a text"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_settings_are_refused(kind: str):
    settings, message = WRONG[kind]
    with pytest.raises(dr.errors.SettingError, match=re.escape(message)):
        dr.Attribute(**{"name": "mood", "labels": ["good", "bad"], "on": DIFFER, **settings})
