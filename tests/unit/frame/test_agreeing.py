"""df.agreement: a judge beside a person, and what the judge likes beside worth."""

from __future__ import annotations

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, SettingError
from dreamframe.testing import Scripted

N = 60
PAIRS = pl.DataFrame({"x": [f"{'long ' * (i % 3)}{i}" for i in range(N)], "y": [f"{'long ' * (i % 2)}{i}." for i in range(N)], "human": ["a", "b"] * (N // 2)})


def judged(answer: str = "Input A") -> dr.Frame:
    """A judge that always says the same: with it, the text that is shown first wins, or the other."""
    return dr.frame(PAIRS).judge(Scripted(lambda _: answer), a="x", b="y", into="judge")


def test_agreement_of_two_has_kappa_alpha_and_the_confusion(session: dr.Session):
    found = dr.frame({"judge": ["a", "a", "b", None], "human": ["a", "b", "b", "b"]}).agreement("judge", "human")
    assert [f.metric for f in found] == ["raw_agreement", "cohen_kappa", "krippendorff_alpha"]
    assert found["cohen_kappa"].value == pytest.approx(0.4)
    assert (found["cohen_kappa"].n, found["cohen_kappa"].note) == (3, "few rows; 1 not rated by all left out")
    assert found.confusion.rows() == [
        *(("judge", "human", "a", "a", 1), ("judge", "human", "a", "b", 1), ("judge", "human", "b", "b", 1), ("judge", "human", None, "b", 1)),
    ]
    assert "<table>" in found._repr_html_()
    assert "rater" in repr(found)
    assert found.rows == 4


def test_agreement_of_three_is_fleiss_and_has_every_pair(session: dr.Session):
    found = dr.frame({"a": ["x", "y"] * 3, "b": ["x", "y"] * 3, "c": ["x", "x"] * 3}).agreement("a", "b", "c")
    assert [f.metric for f in found] == ["raw_agreement", "fleiss_kappa", "krippendorff_alpha"]
    assert found.confusion.select("rater", "other").unique(maintain_order=True).rows() == [("a", "b"), ("a", "c"), ("b", "c")]


@pytest.mark.parametrize(("answer", "share"), [("Input A", 1.0), ("Input B", 0.0)])
def test_a_judge_that_likes_the_first_text_is_found_by_its_coin(answer: str, share: float, session: dr.Session):
    found = judged(answer).rename({"x": "one"}).agreement("judge", "human")
    assert found["first_wins of judge"].value == share
    assert 0.3 < (found["first_wins of human"].value or 0) < 0.7
    assert found["longer_wins of judge"].n == sum(len(r["x"]) != len(r["y"]) for r in PAIRS.to_dicts())


def test_where_the_texts_changed_since_nothing_is_said_of_positions(session: dr.Session):
    found = judged().with_columns(x=pl.lit("same")).agreement("judge", "human")
    assert [f.metric for f in found] == ["raw_agreement", "cohen_kappa", "krippendorff_alpha"]


def test_a_judge_asked_both_ways_shows_no_position(session: dr.Session):
    both = dr.frame(PAIRS).judge(Scripted(lambda _: "Input A"), a="x", b="y", into="judge", swap="both")
    metrics = [f.metric for f in both.agreement("judge", "human")]
    assert "first_wins of judge" not in metrics
    assert "longer_wins of judge" in metrics


def test_position_and_texts_may_be_named(session: dr.Session):
    rows = dr.frame({"judge": ["a", "b"], "human": ["a", "a"], "turned": [False, True], "x": ["long", "-"], "y": ["-", "long"]})
    found = rows.agreement("judge", "human", swapped="turned", texts=("x", "y"))
    assert (found["first_wins of judge"].value, found["longer_wins of judge"].value, found["longer_wins of human"].value) == (1.0, 1.0, 0.5)


def test_numbers_have_their_own_alpha_and_correlations(session: dr.Session):
    found = dr.frame({"judge": [1.0, 2.5, 3.0], "human": [1.0, 2.0, 4.0]}).agreement("judge", "human", level="interval")
    assert [f.metric for f in found] == ["krippendorff_alpha", "pearson", "spearman"]


def test_agreement_is_gated_and_replayed(tmp_path: object):
    llm = Scripted(lambda _: "Input A")
    frame = dr.frame(PAIRS).judge(llm, a="x", b="y", into="judge")
    with dr.Session("kept"):
        first = frame.agreement("judge", "human")
        with pytest.raises(dr.errors.GateError, match="cohen_kappa"):
            first.gate("cohen_kappa >= 0.6")
    asked = llm.calls
    with dr.Session("kept", offline=True):
        assert frame.agreement("judge", "human") == first
    assert llm.calls == asked == N


def test_what_is_no_rater_is_said(session: dr.Session):
    frame = dr.frame({"judge": ["a"], "human": ["b"], "third": ["a"]})
    with pytest.raises(ColumnNotFoundError, match="agreement: no column 'juge'"):
        frame.agreement("juge", "human")
    with pytest.raises(SettingError, match="give two different columns"):
        frame.agreement("judge")
    with pytest.raises(SettingError, match="labels have no order"):
        frame.agreement("judge", "human", weights="linear")
    with pytest.raises(SettingError, match="are of Cohen's kappa, of two raters"):
        frame.agreement("judge", "human", "third", weights="linear", order=["a", "b"])


def test_a_list_of_raters_is_taken_and_no_rows_have_no_figure(session: dr.Session) -> None:
    df = dr.frame({"j": ["a", "b"], "h": ["a", "b"]})
    assert df.agreement(["j", "h"])["raw_agreement"].value == 1.0
    none = df.head(0).agreement("j", "h")
    assert [f.value for f in none.figures] == [None, None, None]
