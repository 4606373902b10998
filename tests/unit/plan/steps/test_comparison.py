"""The best rows by comparisons: what is asked, what is kept, ties, failures, and what is told of it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.base import steering
from dreamframe.models.request import Completion, Request
from dreamframe.plan.steps.comparison import Comparison
from dreamframe.prompts.comparison import names_of, texts_of
from dreamframe.testing import Fake

ASK = "Which is larger? {text}"


def numbers(n: int = 60) -> list[str]:
    made = [f"n{i:03d}" for i in range(n)]
    random.Random(5).shuffle(made)
    return made


def larger(asked: str) -> str:
    """A judge who never errs: the text that sorts last comes first."""
    texts = texts_of(asked)
    order = sorted(range(len(texts)), key=texts.__getitem__, reverse=True)
    return f"Input {names_of(2)[order[0]]}" if len(texts) == 2 else json.dumps([i + 1 for i in order])


@dataclass(frozen=True)
class Sorting(Fake):
    """The judge who never errs, unless it fails, or says something else."""

    model: str = "sorting"
    fails: Callable[[str], bool] | None = steering()
    says: Callable[[str], str | None] | None = steering()
    provider: ClassVar[str] = "sorting"

    def reply(self, request: Request) -> Completion:
        asked = request.messages()[0]["content"]
        if self.fails is not None and self.fails(asked):
            raise dr.errors.BadRequestError("refused", status=400)
        return Completion((self.says(asked) if self.says else None) or larger(asked), n_in=1, n_out=1, model=self.model)


def judge(**settings: Any) -> dr.testing.Scripted:
    return dr.testing.Scripted(larger, **settings)


def best(llm: Any, texts: list[Any], k: int = 3, **settings: Any) -> dr.Frame:
    rows = pl.DataFrame({"i": range(len(texts)), "text": texts}, schema_overrides={"text": pl.String})
    return dr.frame(rows).top_k_by(llm, ASK, k, compare=True, **settings)


@pytest.mark.parametrize("window", [None, 2, 3, 10])
def test_the_best_rows_come_in_their_order_with_all_their_columns(session: dr.Session, window: int | None):
    made = best(judge(), numbers(), 4, window=window)
    assert made.schema == {"i": pl.Int64, "text": pl.String}
    assert made.collect()["text"].to_list() == ["n059", "n058", "n057", "n056"]
    assert made.collect()["i"].to_list() == [numbers().index(t) for t in ("n059", "n058", "n057", "n056")]


def test_into_is_the_rank_and_rows_that_are_tied_share_it_and_keep_their_order(session: dr.Session):
    texts = ["b", "a", "c", "b", "c", None]
    llm = judge()
    made = best(llm, texts, 4, into="place").collect()
    assert made.rows() == [(2, "c", 1), (4, "c", 1), (0, "b", 3), (3, "b", 3)]
    assert made.schema["place"] == pl.UInt32
    assert llm.calls <= 3  # three texts
    assert best(llm, ["same"] * 9, 4, into="place").collect()["place"].to_list() == [1] * 4
    assert llm.calls <= 3


def test_rows_without_a_text_come_after_all_that_have_one(session: dr.Session):
    assert best(judge(), [None, "a", None, "b"], 3, into="place").collect().rows() == [(3, "b", 1), (1, "a", 2), (0, None, None)]
    assert best(judge(), [None, None], 3).collect()["i"].to_list() == [0, 1]
    assert best(judge(), [], 3).collect().is_empty()


def test_a_pair_is_one_request_whichever_row_stands_first_and_what_is_shown_first_is_drawn(session: dr.Session):
    texts, llm = numbers(40), judge()
    one = best(llm, texts, 40).collect()
    asked = llm.calls
    assert best(llm, texts[::-1], 40).collect()["text"].to_list() == one["text"].to_list()
    assert llm.calls == asked
    shown_first = [texts_of(p)[0] > texts_of(p)[1] for p in llm.prompts]
    assert 0.35 < sum(shown_first) / len(shown_first) < 0.65
    best(llm, texts, 40, seed=1).collect()
    assert llm.calls > asked  # others are drawn


def test_the_same_again_asks_nothing_and_a_row_more_asks_its_own_pairs(tmp_path: Path):
    texts, llm = numbers(200), judge()
    with dr.Session(tmp_path):
        best(llm, texts, 5).collect()
    asked = llm.calls
    assert asked < 2 * 200 + 5 * 3
    with dr.Session(tmp_path):
        best(llm, texts, 5).collect()
        assert llm.calls == asked
        assert best(llm, [*texts, "n0995"], 5).collect()["text"].to_list() == [f"n{i}" for i in range(199, 194, -1)]
    assert llm.calls <= asked + 10
    new = {frozenset(texts_of(p)) for p in llm.prompts[asked:]}
    assert all("n0995" in pair for pair in new)


def test_a_run_that_stops_in_the_middle_goes_on_from_there(tmp_path: Path):
    texts, whole = numbers(80), Sorting()
    with dr.Session(None):
        wanted = best(whole, texts, 5, into="place").collect()
    stopping = Sorting(fails=lambda _: stopping.calls > 40, concurrency=1)
    with dr.Session(tmp_path), pytest.raises(dr.errors.RowsFailedError, match="top_k_by"):
        best(stopping, texts, 5, into="place").collect()
    again = Sorting()
    with dr.Session(tmp_path):
        assert best(again, texts, 5, into="place").collect().equals(wanted)
    assert again.calls == whole.calls - 40
    assert not set(again.prompts) & set(stopping.prompts[:40])


@pytest.mark.parametrize("window", [None, 10])
def test_a_failed_comparison_is_never_a_loss_unless_on_error_says_so(session: dr.Session, window: int | None):
    texts = [*numbers(30), "bad"]
    llm = Sorting(fails=lambda asked: "bad" in texts_of(asked))
    settings: dict[str, Any] = {"window": window, "into": "place"}
    with pytest.raises(dr.errors.RowsFailedError, match=r"top_k_by: \d+ of 31 rows failed") as raised:
        best(llm, texts, 3, **settings).collect()
    asked = llm.calls
    assert "bad" in str(raised.value)
    null, drop = best(llm, texts, 31, on_error="null", **settings), best(llm, texts, 31, on_error="drop", **settings)
    rows = null.collect()
    lost = rows.filter(pl.col("place").is_null())["text"].to_list()
    assert rows.height == 31
    assert "bad" in lost
    assert len(lost) <= (window or 2)
    assert rows["place"].to_list()[: 31 - len(lost)] == list(range(1, 32 - len(lost)))
    assert set(null.failures()["text"]) == set(lost)
    assert drop.collect()["text"].to_list() == rows["text"].to_list()[: 31 - len(lost)]
    assert llm.calls > asked


def test_an_answer_that_cannot_be_read_is_shown_its_error_and_then_fails(session: dr.Session):
    llm = Sorting(says=lambda asked: "both are fine" if "n001" in asked else None)
    with pytest.raises(dr.errors.RowsFailedError, match="a verdict about two texts"):
        best(llm, ["n001", "n000"], 1).collect()
    assert llm.calls == 2
    wrong = Sorting(says=lambda asked: "[1, 1, 2]")
    with pytest.raises(dr.errors.RowsFailedError, match="each of 1 to 3 once"):
        best(wrong, ["n001", "n000", "n002"], 1, window=5).collect()
    assert wrong.calls == 2


def test_answers_in_words_are_read_and_a_tie_is_a_tie(session: dr.Session):
    llm = dr.testing.Scripted(lambda asked: "tie" if "x" in "".join(texts_of(asked)) else f"I prefer {larger(asked)}!")
    assert best(llm, ["a", "b", "c"], 3).collect()["text"].to_list() == ["c", "b", "a"]
    assert best(llm, ["x", "b"], 2, into="place").collect()["place"].to_list() == [1, 1]


def test_offline_what_is_kept_is_enough(tmp_path: Path):
    texts, llm = numbers(20), Sorting()
    with dr.Session(tmp_path):
        wanted = best(llm, texts, 3).collect()
    with dr.Session(tmp_path, offline=True):
        assert best(llm, texts, 3).collect().equals(wanted)
        with pytest.raises(dr.errors.OfflineError, match="top_k_by"):
            best(llm, [*texts, "n9"], 3).collect()


def test_estimate_and_explain_say_about_how_many_calls(session: dr.Session):
    llm = Sorting()
    made = best(llm, numbers(200), 10).filter(pl.col("i") >= 0)
    assert "TOP 10 by comparing two at a time, about 256 calls for 200 rows ← sorting 'Which is larger? {text}'" in made.explain()
    told = made.estimate()
    made.collect()
    assert 0.7 < told.calls / llm.calls < 1.4
    assert made.estimate().calls == 0


def test_why_tells_what_a_row_was_compared_with(session: dr.Session):
    made = best(Sorting(), numbers(40), 3)
    made.collect()
    told = next(s for s in made.why(0).steps if s.kind == "asked")
    (row,) = told.rows
    assert row.calls
    assert all("n039" in texts_of(call.messages[0]["content"]) for call in row.calls)
    assert made.why(0).values == {"i": numbers(40).index("n039"), "text": "n039"}


@pytest.mark.parametrize("on_error", ["null", "drop"])
def test_why_finds_the_rows_that_a_row_was_made_of(session: dr.Session, on_error: str):
    texts = [*numbers(9), "bad"]
    made = best(Sorting(fails=lambda asked: "bad" in asked), texts, 2, on_error=on_error)
    assert made.collect()["text"].to_list() == ["n008", "n007"]
    assert made.why(1).values["text"] == made.collect()["text"][1]


def test_models_that_are_trained_in_the_plan_are_edges_of_it():
    model = dr.frame({"p": ["a"], "c": ["b"]}).train(dr.SFT("base", steps=1), prompt="p", completion="c")
    step = next(s for s in best(model.llm(), ["a", "b"]).step.walk() if isinstance(s, Comparison))
    assert step.inputs[1] is model.step


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"k": 0}, "top_k_by: k=0; compare=True finds one row or more"),
        ({"window": 1}, r"window=1 rows in one request; give 2 to 50"),
        ({"window": 51}, r"window=51 rows in one request"),
        ({"window": 2.5}, r"window=2.5 is not a number of rows"),
        ({"scale": (1, 5)}, "scale= is for scores, and compare=True asks for none"),
        ({"descending": False}, "descending= is for scores.*Which is worse written"),
        ({"on_error": "rasie"}, "on_error='rasie' is not one of"),
        ({"into": "text"}, "column 'text' exists already"),
        ({"temprature": 0}, "temprature.*temperature"),
    ],
)
def test_what_cannot_be_is_an_error_when_the_plan_is_built(settings: dict[str, Any], error: str):
    with pytest.raises(dr.errors.PlanError, match=error):
        dr.frame({"text": ["a"]}).top_k_by(Sorting(), ASK, compare=True, **{"k": 1, **settings})


def test_window_goes_with_compare_and_a_prompt_is_a_template():
    rows = dr.frame({"text": ["a"]})
    with pytest.raises(dr.errors.SettingError, match="window=10 is how many rows are compared at once; it goes with compare=True"):
        rows.top_k_by(Sorting(), "Rate {text}", 1, window=10)
    with pytest.raises(dr.errors.SettingError, match="compare='pairs' is True or False"):
        dr.frame({"t": ["a"]}).top_k_by(dr.testing.Echo(), "Which? {t}", 1, compare="pairs")  # type: ignore[arg-type]
    with pytest.raises(dr.errors.SettingError, match="compare=True takes a template"):
        rows.top_k_by(Sorting(), dr.Instruct("Which is larger?", input="text"), 1, compare=True)
    with pytest.raises(dr.errors.ColumnNotFoundError, match="txet"):
        rows.top_k_by(Sorting(), "Which is larger? {txet}", 1, compare=True)


def test_a_plan_comes_back_out_of_json_with_its_key():
    made = dr.frame({"text": ["a", "b"]}).top_k_by(dr.testing.Echo(), ASK, 1, compare=True, window=10, seed=3, temperature=0)
    assert dr.from_json(made.to_json()).step.key({}) == made.step.key({})
