"""Never pay twice: what was answered once is found again, whatever changed around it."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.testing import Echo

ROWS = [{"id": i, "text": f"row {i}"} for i in range(300)]


def two_steps(rows: list[dict[str, object]], first: Echo, second: Echo) -> dr.Frame:
    return dr.frame(rows).prompt(first, "Say {text}", into="said").prompt(second, "Again: {said}", into="again")


def asked(folder: Path, plan: Callable[[Echo, Echo], dr.Frame]) -> tuple[int, int, pl.DataFrame]:
    """Calls at each of two models, and the rows, of a run in a session opened for it alone."""
    first, second = Echo(), Echo(model="other")
    with dr.Session(folder):
        rows = plan(first, second).collect()
    return first.calls, second.calls, rows


def test_editing_three_rows_asks_for_three_rows_in_every_prompt_downstream(tmp_path: Path):
    asked(tmp_path, lambda a, b: two_steps(ROWS, a, b))
    edited = [{**r, "text": f"new {r['id']}"} if r["id"] in (0, 77, 299) else r for r in ROWS]
    *calls, rows = asked(tmp_path, lambda a, b: two_steps(edited, a, b))
    assert calls == [3, 3]
    assert rows["again"].to_list() == [f"Again: Say {r['text']}" for r in edited]


def test_the_same_plan_again_asks_nothing_and_gives_the_same_rows(tmp_path: Path):
    *_, before = asked(tmp_path, lambda a, b: two_steps(ROWS, a, b))
    *calls, after = asked(tmp_path, lambda a, b: two_steps(ROWS, a, b))
    assert calls == [0, 0]
    assert after.equals(before)


REARRANGED: dict[str, Callable[[dr.Frame], dr.Frame]] = {
    "reversed": lambda df: df.reverse(),
    "filtered before": lambda df: df.filter(pl.col("id") % 2 == 0),
    "another column": lambda df: df.with_columns(x=pl.col("id") * 2),
    "sorted": lambda df: df.sort("text"),
    "shuffled": lambda df: df.shuffle(seed=3),
    "joined": lambda df: df.join(dr.frame({"id": [1, 2], "more": ["x", "y"]}), on="id"),
    "sample": lambda df: df.sample(20, seed=1),
    "renamed and back": lambda df: df.rename({"id": "key"}).rename({"key": "id"}),
}


@pytest.mark.parametrize("change", REARRANGED)
def test_a_plan_over_rearranged_rows_asks_nothing(change: str, tmp_path: Path):
    asked(tmp_path, lambda a, b: two_steps(ROWS, a, b))

    def plan(first: Echo, second: Echo) -> dr.Frame:
        over = REARRANGED[change](dr.frame(ROWS))
        return over.prompt(first, "Say {text}", into="said").prompt(second, "Again: {said}", into="again")

    *calls, rows = asked(tmp_path, plan)
    assert calls == [0, 0]
    assert rows["again"].to_list() == [f"Again: Say {t}" for t in rows["text"]]


def test_a_changed_second_prompt_keeps_the_first(tmp_path: Path):
    asked(tmp_path, lambda a, b: two_steps(ROWS, a, b))
    *calls, _ = asked(tmp_path, lambda a, b: dr.frame(ROWS).prompt(a, "Say {text}", into="said").prompt(b, "Once more: {said}", into="again"))
    assert calls == [0, 300]


DIFFERENT: dict[str, Callable[[Echo], dr.Frame]] = {
    "system prompt": lambda llm: dr.frame(ROWS).prompt(llm, "Say {text}", system="Be brief."),
    "temperature": lambda llm: dr.frame(ROWS).prompt(llm, "Say {text}", temperature=0.5),
    "seed": lambda llm: dr.frame(ROWS).prompt(llm, "Say {text}", seed=1),
    "max_tokens": lambda llm: dr.frame(ROWS).prompt(llm, "Say {text}", max_tokens=5),
    "schema": lambda llm: dr.frame(ROWS).prompt(llm, "Say {text}", schema={"type": "string"}, on_error="null"),
}


@pytest.mark.parametrize("change", DIFFERENT)
def test_what_changes_the_question_asks_again(change: str, tmp_path: Path):
    asked(tmp_path, lambda a, b: dr.frame(ROWS).prompt(a, "Say {text}"))
    llm = Echo()
    with dr.Session(tmp_path):
        DIFFERENT[change](llm).collect()
    assert llm.calls >= 300


SAME: dict[str, Callable[[Echo], dr.Frame]] = {
    "name and label": lambda llm: dr.frame(ROWS).prompt(llm, "Say {text}", into="other", name="told"),
    "failure policy": lambda llm: dr.frame(ROWS).prompt(llm, "Say {text}", on_error="drop"),
    "an expression": lambda llm: dr.frame(ROWS).with_columns(dr.prompt(llm, "Say {text}", into="x").str.to_uppercase()),
    "parse": lambda llm: dr.frame(ROWS).prompt(llm, "Say {text}", parse=str.upper),
    "keyword expression": lambda llm: dr.frame(ROWS).select(dr.prompt(llm, "Say {t}", t=pl.col("text"))),
}


@pytest.mark.parametrize("change", SAME)
def test_what_does_not_change_the_question_asks_nothing(change: str, tmp_path: Path):
    asked(tmp_path, lambda a, b: dr.frame(ROWS).prompt(a, "Say {text}"))
    llm = Echo()
    with dr.Session(tmp_path):
        SAME[change](llm).collect()
    assert llm.calls == 0


def test_more_samples_keep_those_there_are(tmp_path: Path):
    llm = Echo()
    with dr.Session(tmp_path):
        dr.generate(llm, "A haiku.", n=5).collect()
        assert llm.calls == 5
        dr.generate(llm, "A haiku.", n=8).collect()
        assert llm.calls == 8


def test_equal_rows_are_asked_once_at_temperature_zero_and_sampled_apart_otherwise(tmp_path: Path):
    same = dr.frame({"t": ["x"] * 10})
    greedy, sampled = Echo(temperature=0), Echo(model="sampled")
    with dr.Session(tmp_path):
        same.prompt(greedy, "{t}").collect()
        same.prompt(sampled, "{t}").collect()
    assert (greedy.calls, sampled.calls) == (1, 10)


def test_head_over_a_prompt_asks_for_those_rows_only(tmp_path: Path):
    llm = Echo()
    with dr.Session(tmp_path):
        df = dr.frame(ROWS).prompt(llm, "Say {text}", into="said")
        assert df.head(4).collect().height == 4
        assert llm.calls == 4
        df.preview(6)
        assert llm.calls == 6


def test_rows_come_back_in_input_order_whatever_finished_first(tmp_path: Path):
    slow = dr.testing.Scripted(lambda p: p, latency_s=0.0)
    with dr.Session(tmp_path, batch_rows=7):
        rows = dr.frame(ROWS).prompt(slow, "{text}").collect()
    assert rows["answer"].to_list() == [r["text"] for r in ROWS]


def test_a_session_in_memory_keeps_its_answers_while_it_lives():
    llm = Echo()
    with dr.Session(None) as session:
        plan = two_steps(ROWS[:10], llm, llm)
        plan.collect()
        plan.collect()
        assert llm.calls == 20
        assert session.usage()["from_cache"] == 20


def test_failed_rows_alone_are_asked_again(tmp_path: Path):
    rows = dr.frame(ROWS)
    with dr.Session(tmp_path):
        bad = dr.testing.Failing(model="m", when=lambda p: p in ("row 3", "row 200"))
        with pytest.raises(dr.errors.RowsFailedError, match="2 of 300 rows failed"):
            rows.prompt(bad, "{text}").collect()
        good = dr.testing.Failing(model="m", when=lambda p: False)
        assert rows.prompt(good, "{text}").collect().height == 300
    assert bad.calls == 300
    assert good.calls == 2
