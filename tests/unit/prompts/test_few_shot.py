"""Few-shot prompts: the published strings, each row's own neighbours, the context, and rows that cannot be asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from tests.unit.prompts.asked import asked, failed

SHOTS = [{"en": "tea", "de": "Tee"}, {"en": "rain", "de": "Regen"}]
POOL = {"en": ["green tea", "heavy rain", "black tea", "mountain", "light rain"], "de": ["Grüntee", "Starkregen", "Schwarztee", "Berg", "Nieselregen"]}


def few(**settings: Any) -> dr.FewShot:
    return dr.FewShot("Translate.", **{"input": "en", "output": "de", "examples": SHOTS, **settings})


def test_the_string_is_the_published_one():
    assert asked({"en": ["wind"]}, few()) == ["Translate.\n\nInput: tea\nOutput: Tee\nInput: rain\nOutput: Regen\nInput: wind\nOutput:"]


def test_labels_and_separator_are_settings():
    ask = few(input_label="EN:", output_label="DE:", sep=" | ", max_examples=1)
    assert asked({"en": ["wind"]}, ask) == ["Translate.\n\nEN: tea | DE: Tee | EN: wind | DE:"]


def test_the_pool_may_be_a_frame_and_is_an_edge_of_the_plan():
    pool = dr.frame({"en": ["tea", None, "rain"], "n": [1, 2, 3]}).prompt(dr.testing.Echo(), "<{en}>", into="de")
    assert asked({"en": ["wind"]}, few(examples=pool)) == ["Translate.\n\nInput: tea\nOutput: <tea>\nInput: rain\nOutput: <rain>\nInput: wind\nOutput:"]


def test_a_changed_pool_asks_again_and_the_same_one_does_not(tmp_path: Path):
    llm = dr.testing.Echo()
    for pool in (SHOTS, SHOTS, [SHOTS[0]]):
        with dr.Session(tmp_path):
            dr.frame({"en": ["wind"]}).prompt(llm, few(examples=dr.frame(pool))).collect()
    assert llm.calls == 2


def neighbours(prompt: str) -> list[str]:
    """The inputs that a prompt shows before the row's own."""
    return [line.removeprefix("Input: ") for line in prompt.splitlines() if line.startswith("Input: ")][:-1]


@pytest.mark.parametrize("as_frame", [False, True], ids=["list", "frame"])
def test_each_row_is_shown_its_own_neighbours_nearest_first(as_frame: bool):
    pool = dr.frame(POOL) if as_frame else pl.DataFrame(POOL).to_dicts()
    rows = {"en": ["cold black tea", "very heavy rain", None, "the mountain"]}
    shown = [neighbours(p) for p in asked(rows, few(examples=pool, k=2, by=dr.testing.WordEmbedder()))]
    assert shown[0] == ["black tea", "green tea"]
    assert shown[1] == ["heavy rain", "light rain"]
    assert shown[2][0] == "mountain"


def test_the_nearest_are_those_of_the_whole_pool_whatever_the_batches():
    names = [f"word{i}" for i in range(60)]
    pool = [{"en": f"{n} here", "de": n} for n in names]
    llm = dr.testing.Echo()
    with dr.Session(None, batch_rows=7):
        dr.frame({"en": [f"{n} there" for n in names]}).prompt(llm, few(examples=pool, k=1, by=dr.testing.WordEmbedder(size=4096))).collect()
    found = {p.splitlines()[-2].split()[1]: neighbours(p)[0].split()[0] for p in llm.prompts}
    assert sum(word != near for word, near in found.items()) <= 2  # two words may share a place of the testing embedder
    assert len(found) == 60


def test_a_pool_smaller_than_k_is_shown_whole():
    assert [len(neighbours(p)) for p in asked({"en": ["tea"]}, few(k=5, by=dr.testing.WordEmbedder()))] == [2]


def test_examples_that_do_not_fit_the_context_are_left_out_from_the_end():
    shots = [{"en": f"a{i}" * 20, "de": f"b{i}" * 20} for i in range(9)]
    (whole,) = asked({"en": ["wind"]}, few(examples=shots))
    (cut,) = asked({"en": ["wind"]}, few(examples=shots, context=100))
    assert len(cut) <= 300 < len(whole)
    assert neighbours(cut) == neighbours(whole)[: len(neighbours(cut))]
    assert len(neighbours(cut)) >= 2


def test_a_long_row_is_shown_fewer_examples_than_a_short_one():
    shots = [{"en": f"a{i}" * 20, "de": f"b{i}" * 20} for i in range(9)]
    short, long = asked({"en": ["wind", "wind " * 30]}, few(examples=shots, context=120))
    assert len(neighbours(short)) > len(neighbours(long)) >= 1


@pytest.mark.parametrize("on_error", ["null", "drop"])
def test_a_row_that_leaves_no_room_for_the_examples_it_needs_is_a_failed_row(on_error: str):
    rows = {"en": ["wind", "wind " * 100, "rain"]}
    llm = dr.testing.Echo()
    with dr.Session(None):
        df = dr.frame(rows).prompt(llm, few(context=60, min_examples=2), on_error=on_error)
        answers = df.collect()["answer"].to_list()
        failures = df.failures()
    assert len(answers) == (3 if on_error == "null" else 2)
    assert [a is None for a in answers] == ([False, True, False] if on_error == "null" else [False, False])
    assert failures["row"].to_list() == [1]
    assert failures["error"].to_list() == ["ContextLengthError"]
    assert llm.calls == 2


def test_a_failed_row_raises_when_all_others_are_done():
    llm = dr.testing.Echo()
    with dr.Session(None), pytest.raises(dr.errors.RowsFailedError, match=r"1 of 2 rows failed.*ContextLengthError"):
        dr.frame({"en": ["wind " * 100, "rain"]}).prompt(llm, few(context=60)).collect()
    assert llm.calls == 1


def test_a_row_longer_than_the_context_without_any_example_is_a_failed_row():
    assert "ContextLengthError" in failed({"en": ["wind " * 100]}, few(context=60, min_examples=0))[0]


def test_too_small_a_pool_fails_the_rows_and_says_so():
    found = failed({"en": ["wind", None]}, few(min_examples=3))
    assert list(found) == [0]
    assert "there are 2 examples, and min_examples=3" in found[0]


def test_a_row_whose_neighbours_could_not_be_found_keeps_that_failure():
    class Deaf(dr.testing.WordEmbedder):
        def reply(self, request: Any) -> Any:
            if "wind" in request.prompt:
                raise dr.errors.BadRequestError("no wind, please", status=400)
            return super().reply(request)

    found = failed({"en": ["wind", "rain"]}, few(k=1, by=Deaf()))
    assert found == {0: "BadRequestError: no wind, please"}


def test_two_samples_of_a_failed_row_are_one_failure():
    with dr.Session(None):
        df = dr.frame({"en": ["wind " * 100, "rain"]}).prompt(dr.testing.Echo(), few(context=60), n=2, on_error="null")
        assert [a is None for a in df.collect()["answer"]] == [True, False]
        assert df.failures()["row"].to_list() == [0]


WRONG = {
    "k without by": ({"k": 2}, dr.errors.SettingError, "belong together"),
    "k below the least": ({"k": 1, "by": dr.testing.WordEmbedder(), "min_examples": 2}, dr.errors.SettingError, "do not go together"),
    "examples of a wrong kind": ({"examples": "tea"}, dr.errors.SettingError, "a frame or a list of dicts"),
    "an example without its output": ({"examples": [{"en": "tea"}]}, dr.errors.SettingError, "needs 'en' and 'de'"),
    "a pool without its output": ({"examples": dr.frame({"en": ["tea"]})}, dr.errors.ColumnNotFoundError, r"prompt \(examples\): no column 'de'"),
    "an input that is not there": ({"input": "fr", "source_input": "en"}, dr.errors.ColumnNotFoundError, "prompt: no column 'fr'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_plan_is_checked_on_its_line(case: str):
    settings, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        dr.frame({"en": ["wind"]}).prompt(dr.testing.Echo(), few(**settings))


def test_rows_may_call_the_input_by_another_name():
    assert asked({"text": ["wind"]}, few(input="text", source_input="en", max_examples=1)) == ["Translate.\n\nInput: tea\nOutput: Tee\nInput: wind\nOutput:"]


def test_half_an_example_shows_nothing_from_a_list_as_from_a_frame():
    shots = [SHOTS[0], {"en": "fog", "de": None}, {"en": None, "de": "Wind"}, SHOTS[1]]
    assert asked({"en": ["wind"]}, few(examples=shots)) == asked({"en": ["wind"]}, few(examples=dr.frame(shots))) == asked({"en": ["wind"]}, few())
