"""Rating rows: what counts as a score, the order, the cut, rubrics."""

from __future__ import annotations

import json

import polars as pl
import pytest

import dreamframe as dr

ESSAYS = ["tea", "rain", "wind", "snow"]


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def rated(answers: list[str], **settings: object) -> dr.Frame:
    llm = dr.testing.Scripted(dict(zip((f"Rate {e}" for e in ESSAYS), answers, strict=False)))
    return dr.frame({"essay": ESSAYS[: len(answers)]}).rank_by(llm, "Rate {essay}", **settings)


def test_rows_are_ordered_by_score_and_equal_scores_keep_their_order():
    assert rated(["5", "9", "5", "1"]).collect().rows() == [("rain", 9.0), ("tea", 5.0), ("wind", 5.0), ("snow", 1.0)]


def test_the_lowest_come_first_when_asked_for():
    assert rated(["5", "9", "5", "1"], descending=False).collect()["essay"].to_list() == ["snow", "tea", "wind", "rain"]


@pytest.mark.parametrize("descending", [True, False])
def test_rows_below_the_threshold_are_left_out(descending: bool):
    assert set(rated(["5", "9", "4.9", "1"], threshold=5, descending=descending).collect()["essay"]) == {"tea", "rain"}


def test_a_row_without_a_text_has_no_score_and_comes_last():
    llm = dr.testing.Scripted({"Rate a": "1", "Rate b": "2"})
    rows = dr.frame({"t": ["a", None, "b"]})
    assert rows.rank_by(llm, "Rate {t}").collect().rows() == [("b", 2.0), ("a", 1.0), (None, None)]
    assert rows.rank_by(llm, "Rate {t}", descending=False).collect().rows() == [("a", 1.0), ("b", 2.0), (None, None)]
    assert rows.rank_by(llm, "Rate {t}", threshold=0).collect().height == 2


def test_an_answer_without_a_number_is_a_failed_row_and_no_default():
    with pytest.raises(dr.errors.RowsFailedError, match=r"1 of 3 rows failed.*ParseError"):
        rated(["5", "superb", "4"], repairs=0).collect()
    kept = rated(["5", "superb", "4"], repairs=0, on_error="null")
    assert kept.collect().rows() == [("tea", 5.0), ("wind", 4.0), ("rain", None)]
    assert kept.failures()["answer"].to_list() == ["superb"]
    assert rated(["5", "superb", "4"], repairs=0, on_error="drop").collect()["essay"].to_list() == ["tea", "wind"]


def test_parse_reads_the_score_otherwise():
    grades = {"A": 3.0, "B": 2.0}
    assert rated(["B", "A"], parse=grades.__getitem__).collect()["score"].to_list() == [3.0, 2.0]
    with pytest.raises(dr.errors.RowsFailedError, match="KeyError"):
        rated(["B", "F"], parse=grades.__getitem__).collect()


def test_the_plan_is_checked_on_its_line():
    llm, rows = dr.testing.Echo(), dr.frame({"essay": ESSAYS, "score": [1, 2, 3, 4]})
    with pytest.raises(dr.errors.ColumnNotFoundError, match=r"rank_by: no column 'esay'.*Did you mean 'essay'"):
        rows.rank_by(llm, "Rate {esay}")
    with pytest.raises(dr.errors.DuplicateColumnError, match="rank_by: column 'score' exists already"):
        rows.rank_by(llm, "Rate {essay}")
    with pytest.raises(dr.errors.SettingError, match="k=-1"):
        rows.top_k_by(llm, "Rate {essay}", -1)
    assert rows.rank_by(llm, "Rate {essay}", into="points").schema == {"essay": pl.String, "score": pl.Int64, "points": pl.Float64}


def test_with_a_scale_only_its_numbers_are_scores():
    llm = dr.testing.Scripted(["3", '{"answer": 9}', "12", "Overall 8/10", "5.805545e6"])
    ranked = dr.frame({"e": ["a", "b", "c", "d", "f"]}).rank_by(llm, "Rate {e}", scale=(1, 10), repairs=0, on_error="null")
    assert ranked.collect().rows() == [("b", 9), ("a", 3), ("c", None), ("d", None), ("f", None)]
    assert ranked.failures()["error"].to_list() == ["ParseError"] * 3
    assert ranked.schema["score"] == pl.Int64


def test_the_model_is_held_to_the_scale_as_in_score():
    held, free = rated(["1"], scale=(0, 3)), dr.frame({"essay": ["a"]}).rank_by("openai/m", "{essay}")
    schemas = [json.loads(ranked.step.walk()[-2].schema_.json_schema) for ranked in (held, free)]
    assert schemas[0]["properties"]["answer"] == {"type": "integer", "enum": [0, 1, 2, 3]}
    assert "enum" not in schemas[1]["properties"]["answer"]


def test_what_parse_gives_must_be_within_the_scale():
    ranked = rated(["I say 7", "8.0", "99"], scale=(1, 10), parse=lambda text: float(text.split()[-1]), on_error="null")
    assert ranked.collect().rows() == [("rain", 8), ("tea", 7), ("wind", None)]


def test_the_best_by_a_scale():
    llm = dr.testing.Scripted({f"Rate {e}": str(n) for n, e in enumerate(ESSAYS)})
    assert dr.frame({"e": ESSAYS}).top_k_by(llm, "Rate {e}", 2, scale=(0, 3)).collect().rows() == [("snow", 3), ("wind", 2)]


@pytest.mark.parametrize("scale", [(5, 1), (1, 2.5), (0, 1000), (1, 2, 3), 5, "15"], ids=repr)
def test_a_scale_to_rank_by_that_is_none_is_refused(scale: object):
    with pytest.raises(dr.errors.SettingError, match="rank_by: scale="):
        rated(["1"], scale=scale)
    with pytest.raises(dr.errors.SettingError, match="top_k_by: scale="):
        dr.frame({"e": ESSAYS}).top_k_by(dr.testing.Echo(), "{e}", 1, scale=scale)
    with pytest.raises(dr.errors.SettingError, match="rank_by: threshold=11 keeps no row"):
        rated(["1"], scale=(1, 10), threshold=11)


def test_top_k_keeps_the_best_and_asks_nothing_twice(tmp_path):
    llm = dr.testing.Scripted({f"Rate {e}": str(n) for n, e in enumerate(ESSAYS)})
    with dr.Session(tmp_path):
        assert dr.frame({"e": ESSAYS}).top_k_by(llm, "Rate {e}", 2).collect()["e"].to_list() == ["snow", "wind"]
        assert dr.frame({"e": ESSAYS}).top_k_by(llm, "Rate {e}", 3).collect()["e"].to_list() == ["snow", "wind", "rain"]
    assert llm.calls == 4


RUBRIC = {"clarity": "easy to follow", "depth": "goes {beyond} the obvious"}


def test_a_rubric_asks_one_question_for_all_criteria():
    llm = dr.testing.Scripted(['{"clarity": 5, "depth": 1}'])
    scored = dr.frame({"essay": ["On tea"]}).score(llm, RUBRIC, "essay")
    assert scored.schema["scores"] == pl.Struct({"clarity": pl.Int64, "depth": pl.Int64})
    assert scored.unnest("scores").collect().rows() == [("On tea", 5, 1)]
    assert llm.prompts == [
        "Score the text by each criterion with a whole number from 1 (worst) to 5 (best).\n\n"
        "- clarity: easy to follow\n- depth: goes {beyond} the obvious\n\nText: On tea"
    ]


@pytest.mark.parametrize("answer", ['{"clarity": 6, "depth": 1}', '{"clarity": 5}', '{"clarity": 5, "depth": 1.5}', "5 and 1"], ids=repr)
def test_a_score_outside_the_scale_is_asked_again_and_then_a_failed_row(answer: str):
    llm = dr.testing.Scripted([answer])
    scored = dr.frame({"essay": ["On tea"]}).score(llm, RUBRIC, "essay", on_error="null")
    assert scored.collect()["scores"].to_list() == [None]
    assert llm.calls == 2
    assert scored.failures()["error"].to_list() == ["ParseError"]


def test_another_scale_and_another_question_keep_the_shape():
    llm = dr.testing.Scripted(['{"clarity": 0, "depth": 10}'])
    scored = dr.frame({"e": ["On tea"]}).score(llm, RUBRIC, "e", scale=(0, 10), prompt="Points for {e}?", into="points")
    assert scored.collect()["points"].to_list() == [{"clarity": 0, "depth": 10}]
    assert llm.prompts == ["Points for On tea?"]


@pytest.mark.parametrize("scale", [(5, 1), (1, 1), (1, 2.5), (0, 1000), (1, 2, 3)], ids=repr)
def test_a_scale_that_is_none_is_refused(scale: tuple[int, int]):
    with pytest.raises(dr.errors.SettingError, match="scale="):
        dr.frame({"e": ["On tea"]}).score(dr.testing.Echo(), RUBRIC, "e", scale=scale)


@pytest.mark.parametrize("rubric", [{}, ["clarity"], None], ids=repr)
def test_a_rubric_that_is_none_is_refused(rubric: dict[str, str]):
    with pytest.raises(dr.errors.SettingError, match="rubric="):
        dr.frame({"e": ["On tea"]}).score(dr.testing.Echo(), rubric, "e")


def test_the_verbs_name_the_papers_they_go_back_to():
    rows, llm = dr.frame({"e": ["On tea"], "f": ["On rain"]}), dr.testing.Echo()
    plans = [rows.rank_by(llm, "Rate {e}"), rows.score(llm, RUBRIC, "e"), rows.judge(llm, a="e", b="f"), rows.group_by("e").reduce_by(llm, "{f}")]
    cited = [{paper.rpartition("/")[2] for s in df.step.walk() for paper in s.citations()} for df in plans]
    assert cited == [{"2306.05685"}, {"2306.05685", "2303.16634"}, {"2306.05685", "2305.17926"}, {"2109.10862"}]


def test_an_example_pool_is_cited_too():
    shots = dr.FewShot("Rate.", input="e", output="n", examples=[{"e": "x", "n": 1}])
    step = dr.frame({"e": ["On tea"]}).prompt(dr.testing.Echo(), shots).step
    assert step.citations() == shots.cites


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"scale": 10, "threshold": 5}, "scale=10; give the lowest and the highest"),
        ({"scale": (1, 10), "threshold": "5"}, "threshold='5' is not a number"),
        ({"threshold": "5"}, "threshold='5' is not a number"),
        ({"scale": (1, 10), "schema": int}, "scale= and schema= both say"),
        ({"scale": (1, 10), "parse": float, "free_text": True}, "free_text=True reads the answers as"),
        ({"scale": (1, 10), "free_text": "yes"}, "free_text='yes' is True or False"),
    ],
)
def test_settings_of_a_rank_that_do_not_go_together_are_refused(settings: dict[str, object], said: str):
    with pytest.raises(dr.errors.SettingError, match=f"^rank_by: {said}"):
        rated(["5"], **settings)


def test_a_scale_of_whole_numbers_of_any_kind():
    low, high = pl.Series([1, 10]).to_numpy()
    assert rated(["5", "9"], scale=(low, high)).collect().rows() == [("rain", 9), ("tea", 5)]
