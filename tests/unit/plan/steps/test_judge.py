"""Judging pairs: what is asked, who is shown first, what counts as a verdict, and preferences."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr

N = 1000
PAIRS = pl.DataFrame({"q": [f"question {i}" for i in range(N)], "x": [f"text {i}" for i in range(N)], "y": [f"other {i}" for i in range(N)]})


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def always(answer: str) -> dr.testing.Scripted:
    return dr.testing.Scripted(lambda _: answer, temperature=0)


def fair(shown: str) -> str:
    """Prefers the text that holds the word text, wherever it stands."""
    return "Input A" if shown.index("text") < shown.index("other") else "Input B"


def test_a_judge_that_always_says_a_is_split_within_chance_when_the_order_is_drawn():
    won = dr.frame(PAIRS).judge(always("Input A"), a="x", b="y").collect()["winner"]
    n_a = won.value_counts().filter(winner="a")["count"].item()
    assert won.n_unique() == 2
    assert abs(n_a - N / 2) < 4 * (N / 4) ** 0.5  # four standard deviations of a fair coin


def test_a_judge_that_always_says_a_gives_all_ties_when_asked_both_ways():
    llm = always("Input A")
    won = dr.frame(PAIRS).judge(llm, a="x", b="y", swap="both").collect()["winner"]
    assert won.to_list() == ["tie"] * N
    assert llm.calls == 2 * N


def test_a_judge_that_always_says_a_gives_all_a_when_never_swapped():
    won = dr.frame(PAIRS).judge(always("Input A"), a="x", b="y", swap="never").collect()["winner"]
    assert won.to_list() == ["a"] * N


@pytest.mark.parametrize("swap", ["random", "both", "never"])
def test_a_fair_judge_gives_the_same_winner_in_any_order(swap: str):
    judged = dr.frame(PAIRS).judge(dr.testing.Scripted(fair), a="x", b="y", swap=swap).collect()
    assert judged["winner"].to_list() == ["a"] * N
    assert judged.columns == ["q", "x", "y", "winner"]
    assert judged.schema["winner"] == pl.Enum(["a", "b", "tie"])


def orders(rows: pl.DataFrame, **settings: object) -> dict[str, str]:
    """Text → which side of the judge's prompt it was shown on."""
    won = dr.frame(rows).judge(always("Input A"), a="x", b="y", **settings).collect()
    return dict(won.select("x", pl.col("winner").cast(pl.String)).iter_rows())


def test_the_order_is_the_rows_own_whatever_batch_it_falls_into():
    whole = orders(PAIRS)
    assert orders(PAIRS.reverse()) == whole
    assert orders(PAIRS.sample(100, seed=1)).items() <= whole.items()
    assert orders(PAIRS.with_columns(more=pl.lit(1)).drop("q")) == whole
    with dr.Session(None, batch_rows=7):
        assert orders(PAIRS) == whole


def test_the_seed_draws_another_order():
    a, b = orders(PAIRS), orders(PAIRS, seed=1)
    assert 400 < sum(a[t] != b[t] for t in a) < 600


def test_the_strings_are_those_of_the_published_judges():
    llm = always("Input A")
    dr.frame({"x": ["tea"], "y": ["rain"]}).judge(llm, a="x", b="y", swap="never").collect()
    assert llm.prompts == ["Input A: tea\n\nInput B: rain\n\nInstruction: Which input is better? Respond with 'Input A' or 'Input B'."]


def test_the_strings_of_generation_pairs_show_the_prompt():
    llm = always("Response B")
    judged = dr.frame({"q": ["Drink?"], "x": ["tea"], "y": ["rain"]}).judge(llm, prompt="q", a="x", b="y", swap="both").collect()
    asked = "Instruction: Which response is better? Respond with 'Response A' or 'Response B'."
    assert sorted(llm.prompts) == [
        f"Prompt: Drink?\n\nResponse A: rain\n\nResponse B: tea\n\n{asked}",
        f"Prompt: Drink?\n\nResponse A: tea\n\nResponse B: rain\n\n{asked}",
    ]
    assert judged["winner"].to_list() == ["tie"]


def test_criteria_go_into_the_question_and_an_instruction_replaces_it():
    llm, rows = always("Input A"), dr.frame({"x": ["tea"], "y": ["rain"]})
    rows.judge(llm, a="x", b="y", swap="never", criteria=["clarity", "wit"]).collect()
    rows.judge(llm, a="x", b="y", swap="never", instruction="Which {one} is wet? Say Input A or Input B.").collect()
    assert [p.rpartition("Instruction: ")[2] for p in llm.prompts] == [
        "Which input is better, judged by clarity and wit? Respond with 'Input A' or 'Input B'.",
        "Which {one} is wet? Say Input A or Input B.",
    ]


@pytest.mark.parametrize("swap", ["random", "both", "never"])
def test_an_unreadable_verdict_is_a_failed_row_and_no_coin_toss(swap: str):
    llm = dr.testing.Scripted(lambda shown: "Hard to say." if "rain" in shown else "Input A")
    rows = dr.frame({"x": ["tea", "tea", None], "y": ["rain", "wind", "snow"]})
    with pytest.raises(dr.errors.RowsFailedError, match=r"1 of . rows failed|2 of . rows failed"):
        rows.judge(llm, a="x", b="y", swap=swap, repairs=0).collect()
    kept = rows.judge(llm, a="x", b="y", swap=swap, repairs=0, on_error="null")
    winners = kept.collect()["winner"].to_list()
    assert winners[0] is None
    assert winners[1] is not None
    assert winners[2] is None  # nothing was asked about a missing text
    assert set(kept.failures()["answer"]) == {"Hard to say."}


def test_one_verdict_of_two_is_not_enough():
    llm = dr.testing.Scripted(lambda shown: "Input A" if shown.startswith("Input A: tea") else "Hard to say.")
    rows = dr.frame({"x": ["tea"], "y": ["rain"]}).judge(llm, a="x", b="y", swap="both", repairs=0, on_error="null")
    assert rows.collect()["winner"].to_list() == [None]


def test_parse_says_which_of_those_shown_has_won():
    judged = dr.frame(PAIRS.head(20)).judge(always("left"), a="x", b="y", swap="both", parse={"left": "a", "right": "b"}.__getitem__)
    assert judged.collect()["winner"].to_list() == ["tie"] * 20


def test_a_second_run_asks_nothing(tmp_path: Path):
    llm = dr.testing.Scripted(fair)
    with dr.Session(tmp_path):
        first = dr.frame(PAIRS).judge(llm, a="x", b="y").collect()
    with dr.Session(tmp_path):
        assert dr.frame(PAIRS.with_columns(more=1)).judge(llm, a="x", b="y").collect().drop("more").equals(first)
    assert llm.calls == N


def test_head_over_a_judge_asks_about_those_rows_only():
    llm = dr.testing.Scripted(fair)
    assert dr.frame(PAIRS).judge(llm, a="x", b="y").head(3).collect().height == 3
    assert llm.calls == 3


def test_preferences_are_the_judged_columns_without_ties():
    def verdict(shown: str) -> str:
        return "Response A" if "text 1\n" in shown.partition("Response B")[0] else "tie" if "text 2\n" in shown else "Response B"

    llm = dr.testing.Scripted(verdict)
    judged = dr.frame(PAIRS.head(4)).judge(llm, prompt="q", a="x", b="y", swap="never", into="best")
    preferences = judged.to_preferences()
    assert preferences.schema == {"prompt": pl.String, "chosen": pl.String, "rejected": pl.String}
    assert preferences.collect().rows() == [
        ("question 0", "other 0", "text 0"),
        ("question 1", "text 1", "other 1"),
        ("question 3", "other 3", "text 3"),
    ]


def test_preferences_without_a_prompt_are_pairs_alone():
    judged = dr.frame(PAIRS.head(1)).judge(always("Input A"), a="x", b="y", swap="never")
    assert judged.to_preferences().to_dicts() == [{"chosen": "text 0", "rejected": "other 0"}]


def test_preferences_can_be_made_of_any_column_of_winners():
    rows = dr.frame({"w": ["b", None, "tie"], "l": ["1", "2", "3"], "r": ["4", "5", "6"]})
    assert rows.to_preferences(winner="w", a="l", b="r").to_dicts() == [{"chosen": "4", "rejected": "1"}]
    with pytest.raises(dr.errors.SettingError, match="no judge stands in the plan"):
        rows.to_preferences()
    with pytest.raises(dr.errors.ColumnNotFoundError, match="to_preferences: no column 'x'"):
        dr.frame(PAIRS).judge(always("A"), a="x", b="y").drop("x").to_preferences()


WRONG = {
    "swap": ({"swap": "sometimes"}, dr.errors.SettingError, "'random', 'both', 'never'"),
    "column": ({"a": "xx"}, dr.errors.ColumnNotFoundError, "judge: no column 'xx'"),
    "prompt": ({"prompt": "question"}, dr.errors.ColumnNotFoundError, "judge: no column 'question'"),
    "into": ({"into": "q"}, dr.errors.DuplicateColumnError, "judge: column 'q' exists already"),
    "question": ({"criteria": "wit", "instruction": "Which?"}, dr.errors.SettingError, "give one of them"),
    "setting": ({"temprature": 1}, dr.errors.SettingError, "Did you mean 'temperature'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_plan_is_checked_on_its_line(case: str):
    settings, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        dr.frame(PAIRS).judge(dr.testing.Echo(), **{"a": "x", "b": "y", **settings})
