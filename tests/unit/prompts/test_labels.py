"""Labels out of a frame: the requests of a list given by hand, labels that a model writes, and frames that give none, or too many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.prompts.labels import MOST

MOODS = ["calm", "angry"]


def moods() -> dr.Frame:
    return dr.frame({"label": ["calm", None, "angry", "calm"], "n": [1, 2, 3, 4]})


def rows() -> dr.Frame:
    return dr.frame({"t": ["tea", "rain!", None]})


def teller() -> dr.testing.Scripted:
    return dr.testing.Scripted(lambda asked: "angry" if "!" in asked else "calm")


ASKED: dict[str, Callable[[Any, Any], dr.Frame]] = {
    "prompt": lambda llm, labels: rows().prompt(llm, "Mood of {t}", schema=labels, into="m"),
    "classify": lambda llm, labels: rows().classify(llm, labels, "t", into="m"),
    "classify with a prompt": lambda llm, labels: rows().classify(llm, labels, "t", prompt="Mood: {t}", into="m"),
    "samples": lambda llm, labels: rows().prompt(llm, "Mood of {t}", schema=labels, into="m", n=2),
    "parse": lambda llm, labels: rows().prompt(llm, "Mood of {t}", schema=labels, into="m", parse=str.strip),
    "an expression": lambda llm, labels: rows().with_columns(m=dr.prompt(llm, "Mood of {t}", schema=labels)),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_rows_and_requests_are_those_of_the_same_list_given_by_hand(name: str, session: dr.Session):
    llm = teller()
    by_hand = ASKED[name](llm, MOODS).collect()
    asked = llm.calls
    made = ASKED[name](llm, moods()["label"])
    assert made.collect().equals(by_hand.with_columns(pl.col("m").cast(made.schema["m"])))
    assert llm.calls == asked
    assert made.schema == made.collect().schema
    assert made.schema["m"] == (pl.List(pl.String) if name == "samples" else pl.String)


def test_an_answer_that_is_no_label_is_shown_its_error_and_then_fails(session: dr.Session):
    llm = dr.testing.Scripted(lambda asked: "sad")
    with pytest.raises(dr.errors.RowsFailedError, match=r"2 of 3 rows failed.*ParseError"):
        rows().classify(llm, moods()["label"], "t").collect()
    assert llm.calls == 4


def test_labels_may_be_written_by_a_model_and_what_else_the_frame_holds_is_not_asked_for(tmp_path: Path):
    naming, llm = dr.testing.Scripted(lambda asked: {"1": "calm", "3": "angry"}[asked]), teller()
    other = dr.frame({"n": [1, 3]}).prompt(naming, "{n}", into="mood").prompt(naming, "{n} again", into="unread")
    made = rows().classify(llm, other["mood"], "t", into="m")
    for _ in range(2):
        with dr.Session(tmp_path):
            assert made.collect()["m"].to_list() == ["calm", "angry", None]
        assert (naming.calls, llm.calls) == (2, 2)
    with dr.Session(None):
        assert made.estimate().calls == 4


def test_another_label_is_another_request_and_a_row_more_without_one_is_not(session: dr.Session):
    llm = teller()
    rows().classify(llm, moods()["label"], "t").collect()
    rows().classify(llm, dr.concat([moods(), moods()])["label"], "t").collect()
    assert llm.calls == 2
    rows().classify(llm, dr.concat([moods(), moods().with_columns(label=pl.lit("sad"))])["label"], "t").collect()
    assert llm.calls == 4


def test_two_frames_with_a_column_of_one_name_are_two_schemas(session: dr.Session):
    llm = dr.testing.Scripted(lambda asked: "calm")
    other = dr.frame({"label": ["calm", "sad"]})
    one, two = (dr.prompt(llm, "Mood of {t}", schema=frame["label"], into=into) for frame, into in ((moods(), "x"), (other, "y")))
    assert rows().with_columns(one, two).collect().row(0) == ("tea", "calm", "calm")
    assert llm.calls == 4


@pytest.mark.parametrize("label", [pl.Enum(["angry", "calm"]), pl.Categorical()])
def test_labels_come_in_the_order_in_which_the_frame_has_them(label: Any, session: dr.Session):
    llm = teller()
    rows().classify(llm, moods().cast({"label": label})["label"], "t").collect()
    assert "calm, angry?" in llm.prompts[0]


def test_why_and_json_know_the_labels(session: dr.Session):
    made = rows().classify(dr.testing.Echo(), moods()["label"], "t", prompt="{t}", on_error="null", repairs=0)
    made.collect()
    again = dr.from_json(made.to_json())
    assert again.step.key({}) == made.step.key({})
    assert again.collect().equals(made.collect())
    told = next(s for s in made.why(0).steps if s.kind == "asked")
    assert told.rows[0].calls[0].json_schema["properties"]["answer"]["enum"] == MOODS


def test_explain_says_where_the_labels_come_from():
    assert "classify: PROMPT m → one of 'label' ←" in rows().classify(teller(), moods()["label"], "t", into="m").explain()


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        (lambda: moods().filter(pl.col("n") == 2)["label"], "mood: the labels are those in 'label' of a frame, and it has none: 1 rows without a value"),
        (lambda: moods().head(0)["label"], "and it has none"),
        (lambda: dr.frame({"l": [str(i) for i in range(MOST + 1)]})["l"], "which are 1,001; an answer can be one of 1,000 at most"),
    ],
)
def test_no_label_or_too_many_is_an_error_that_names_the_step(labels: Any, error: str, session: dr.Session):
    llm = teller()
    with pytest.raises(dr.errors.SchemaError, match=error):
        rows().classify(llm, labels(), "t", name="mood").collect()
    assert llm.calls == 0


def test_what_cannot_be_labels_is_an_error_when_the_plan_is_built():
    with pytest.raises(dr.errors.SchemaError, match=r"classify: the labels in 'n' are Int64, and labels are texts\. Cast"):
        rows().classify(teller(), moods()["n"], "t")
    with pytest.raises(dr.errors.SettingError, match="naming is given its labels when the plan is built"):
        rows().classify(dr.testing.NamingClassifier(), moods()["label"], "t")
    with pytest.raises(TypeError, match=r"a frame is a plan, and has no values.*schema=df\['label'\]"):
        assert moods()["label"] == "calm"
    with pytest.raises(AttributeError, match=r"a frame is a plan, and has no values.*schema=df\['label'\]"):
        moods()["label"].unique()
    with pytest.raises(dr.errors.SchemaError, match=r"labels= is a frame; .*: labels=other\['label'\]"):
        rows().classify(teller(), moods(), "t")
    with pytest.raises(dr.errors.SettingError, match=r"cascade= needs the labels when the plan is built; give them as they are: other.collect\(\)\['label'\]"):
        rows().classify(teller(), moods()["label"], "t", cascade=dr.Cascade(teller(), accuracy=0.9))


def test_a_column_of_polars_or_pandas_is_a_list_of_its_labels():
    import pandas as pd

    for labels in (pl.Series(["calm", "cross", None, "calm"]), pd.Series(["calm", "cross", None, "calm"])):
        assert rows().classify(teller(), labels, "t", into="m").schema["m"] == pl.Enum(["calm", "cross"])
