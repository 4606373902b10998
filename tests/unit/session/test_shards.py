"""A shard: what it asks, what it leaves and to whom, and what it tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.session.shards import Sharded
from dreamframe.testing import Echo, Failing
from tests.laws.ordinal import Ordinal

ROWS = dr.frame({"t": [f"text {i}" for i in range(40)], "k": ["a", "b"] * 20})


def shards(session: dr.Session, df: dr.Frame, n: int) -> list[Sharded]:
    return [session.run_shard(df, i, n) for i in range(n)]


def total(done: Sequence[Sharded]) -> int:
    return sum(one.asked for one in done)


def test_rows_and_calls_are_told():
    with dr.Session(None) as session:
        done = shards(session, ROWS.prompt(Echo(), "{t}", into="a"), 4)
        assert sum(one.rows for one in done) == total(done) == 40
        again = session.run_shard(ROWS.prompt(Echo(), "{t}", into="a"), 0, 4)
    assert (again.rows, again.asked, again.kept, again.left) == (done[0].rows, 0, done[0].rows, ())
    assert repr(again) == f"shard 0/4 · {again.rows} rows · 0 asked, {again.kept} kept, 0 failed"


def test_another_number_of_shards_asks_nothing_again():
    df = ROWS.prompt(Echo(), "{t}", into="a").prompt(Echo(), "Sum up {a}", into="b")
    with dr.Session(None) as session:
        first = [session.run_shard(df, i, 4).asked for i in range(2)]
        rest = total(shards(session, df, 5))
    assert sum(first) + rest == 80
    assert sum(first) > 0 < rest


def test_samples_of_one_prompt_are_spread_over_the_shards():
    llm = Ordinal()
    with dr.Session(None) as session:
        done = shards(session, dr.generate(llm, "Write", n=60, into="a"), 3)
        made = dr.generate(llm, "Write", n=60, into="a").collect()
        assert session.usage()["calls"] == 60
    assert min(one.asked for one in done) > 8
    assert made["a"].n_unique() == 60


def test_equal_requests_of_a_later_step_wait_and_a_later_round_asks_them():
    df = ROWS.prompt(Ordinal(), "Say {t}", into="a").prompt(Ordinal(), "Name {k}", into="b")
    with dr.Session(None) as session:
        first = shards(session, df, 2)
        assert all(one.left and one.left[0].step == "b" and one.left[0].rows for one in first)
        second = shards(session, df, 2)
        assert total(first) + total(second) == 80
        assert all(not one.left for one in second)
        whole = df.collect()
        assert session.usage()["calls"] == 80
    with dr.Session(None):
        assert df.collect().equals(whole)


def test_a_shard_that_died_asks_the_rest_of_its_own_rows_though_all_others_are_done():
    def stage(llm: Echo) -> dr.Frame:
        return ROWS.prompt(Echo(), "Say {t}", into="a").prompt(llm, "Sum up {a}", into="b")

    fresh, again = Echo(), Echo()
    with dr.Session(None) as session:
        session.run_shard(stage(fresh), 1, 2)
    with dr.Session(None) as session:
        ROWS.prompt(Echo(), "Say {t}", into="a").collect()
        session.run_shard(stage(again), 1, 2)
    asked = {request.prompt for request in fresh.log.requests}
    assert 10 < len(asked) < 30
    assert asked <= {request.prompt for request in again.log.requests}


def test_steps_that_need_all_rows_are_named_and_what_stands_above_them_waits():
    df = ROWS.prompt(Echo(), "{t}", into="a").sort("a", descending=True).with_row_index("n").prompt(Echo(), "{n} {a}", into="b")
    with dr.Session(None) as session:
        first = shards(session, df, 2)
        assert [(left.step, left.why.split(".")[0]) for left in first[0].left if "all rows" in left.why] == [
            ("with_row_index", "needs all rows"), ("sort", "needs all rows"),
        ]  # fmt: skip
        assert [left.step for left in first[0].left if "waits for" in left.why] == ["b"]
        assert (total(first), total(shards(session, df, 2))) == (40, 40)
        df.collect()
        assert session.usage()["calls"] == 80


def test_a_limit_above_a_condition_of_a_model_is_left_to_the_whole_run():
    df = ROWS.filter(dr.prompt(Ordinal(), "Is {t}").str.len_chars() > 3).head(2)
    with dr.Session(None) as session:
        done = shards(session, df, 2)
        assert (total(done), [left.step for left in done[0].left]) == (0, ["head"])
        assert df.collect().height == 2


def test_no_shard_trains(tmp_path: Path):
    model = ROWS.prompt(Echo(), "{t}", into="a").embed(dr.testing.WordEmbedder(), "a", into="e").train(dr.LogisticRegression(), embedding="e", label="k")
    df = ROWS.embed(dr.testing.WordEmbedder(), "t", into="e").classify(model.classifier(), None, "e", into="guess")
    with dr.Session(tmp_path / "s", progress=False) as session:
        done = shards(session, df, 2)
        assert total(done) >= 40
        assert session.models() == []
        assert any("trains a model" in left.why for left in done[0].left)


def test_failed_rows_are_told_and_are_on_record(tmp_path: Path):
    with dr.Session(tmp_path / "s", progress=False) as session:
        done = session.run_shard(ROWS.head(3).prompt(Failing(), "{t}", into="a"), 0, 1)
        assert (done.rows, done.asked, done.failed, {f["error"] for f in done.failures}) == (3, 0, 3, {"BadRequestError"})
        assert session.runs()[-1].failed == 3
        assert session.plans() == [] == session.steps()


def test_what_a_budget_does_not_allow_is_raised():
    llm = Echo(max_tokens=1000)
    with dr.Session(None, budget=0.01, prices={"echo": (1000.0, 1000.0)}) as session, pytest.raises(dr.errors.BudgetExceededError):
        session.run_shard(ROWS.prompt(llm, "{t}"), 0, 1)


def test_a_merge_takes_rows_models_plans_and_logs(tmp_path: Path):
    df = ROWS.prompt(Echo(), "{t}", into="a")
    model = df.embed(dr.testing.WordEmbedder(), "a", into="e").train(dr.LogisticRegression(), embedding="e", label="k")
    with dr.Session(tmp_path / "one", progress=False):
        df.collect()
        model.fit()
    with dr.Session(tmp_path / "all", progress=False) as session:
        made = session.merge(tmp_path / "one")
        assert (made.answers, made.steps, made.models, made.problems) == (len(session.stores.answers), len(session.steps()), 1, [])
        assert min(made.answers - 39, made.steps, made.plans, made.runs) > 0
        assert not any(n for name, n in session.merge(tmp_path / "one").as_dict().items())
        model.fit()
        df.collect()
        assert (session.runs()[-1].calls, session.runs()[-2].calls, len(session.models()), session.verify()) == (0, 0, 1, [])


def test_damage_is_left_out_and_named_and_the_rest_is_taken(tmp_path: Path):
    with dr.Session(tmp_path / "one", progress=False):
        pl_rows = ROWS.prompt(Echo(), "{t}", into="a").collect()
    (data,) = (tmp_path / "one").glob("steps/*/data.arrow")
    data.write_bytes(data.read_bytes()[:-9] + b"\0" * 9)
    with dr.Session(tmp_path / "all", progress=False) as session:
        made = session.merge(tmp_path / "one")
        assert (made.answers, made.steps, len(made.problems)) == (40, 0, 1)
        assert "checksum" in made.problems[0].what
        assert ROWS.prompt(Echo(), "{t}", into="a").collect().equals(pl_rows)
        assert session.runs()[-1].calls == 0


def test_what_cannot_be_merged_is_said(tmp_path: Path):
    with dr.Session(tmp_path / "all", progress=False) as session:
        for folder, said in ((tmp_path / "all", "is this session itself"), (tmp_path / "none", "there is no session")):
            with pytest.raises(dr.errors.SettingError, match=said):
                session.merge(folder)
    with pytest.raises(dr.errors.SettingError, match="in memory"):
        dr.Session(None).merge(tmp_path / "all")


def test_an_answer_that_is_here_stays(tmp_path: Path):
    df = dr.frame({"t": ["x"]}).prompt(dr.testing.Scripted(["first"]), "{t}", into="a")
    other = dr.frame({"t": ["x"]}).prompt(dr.testing.Scripted(["second"]), "{t}", into="a")
    for name, one in (("one", df), ("two", other)):
        with dr.Session(tmp_path / name, progress=False) as session:
            session.run_shard(one, 0, 1)
    with dr.Session(tmp_path / "one", progress=False) as session:
        assert session.merge(tmp_path / "two").answers in (0, 1)
        assert df.collect()["a"].to_list() == ["first"]
