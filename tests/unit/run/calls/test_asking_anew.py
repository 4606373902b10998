"""Asking anew what was answered: only when somebody says so, each request once, and the new answer counts from then on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import CallError, RowsFailedError, SettingError
from dreamframe.store.files import Files
from dreamframe.store.layout import Layout
from dreamframe.store.renewals import Renewals
from tests.storing import key_of

FRAME = dr.frame({"t": ["tea", "jam", "rain"]})


class Turning(dr.testing.Scripted):
    """Gives another answer at every call of a prompt."""

    def identity_fields(self) -> Mapping[str, object]:
        return {"model": self.model}


def scripted(**answers: list[str | CallError]) -> dr.testing.Scripted:
    turns = {prompt: iter(said) for prompt, said in answers.items()}
    return Turning(lambda prompt: next(turns[prompt]))


def rated(llm: dr.testing.Scripted, **settings: Any) -> dr.Frame:
    return FRAME.prompt(llm, "{t}", parse=_number, schema=int, into="n", **settings)


def _number(text: str) -> int:
    return int(text)


def test_a_retry_asks_about_the_rows_that_could_not_be_read_and_about_no_others(tmp_path: Path) -> None:
    llm = scripted(tea=["1"], jam=["many", "2"], rain=["some", "3"])
    with dr.Session(tmp_path):
        with pytest.raises(RowsFailedError, match=r"2 of 3 rows failed") as failed:
            rated(llm).collect()
        assert "finds the same answers to the 2 that were answered and cannot be read: df.retry() asks these anew" in str(failed.value)
        assert "answered: 'many'" in str(failed.value)
        with pytest.raises(RowsFailedError):
            rated(llm).collect()
        assert llm.calls == 3, "running again asks nothing"
        assert rated(llm).retry()["n"].to_list() == [1, 2, 3]
        assert llm.calls == 5
    with dr.Session(tmp_path, offline=True):
        assert rated(llm).collect()["n"].to_list() == [1, 2, 3], "the new answers count in every later run"


def test_a_retry_asks_about_all_samples_of_a_row_that_could_not_be_read() -> None:
    llm = Turning(lambda _: "many")
    plan = FRAME.prompt(llm, "{t}", parse=_number, schema=int, into="n", n=3, temperature=1, on_error="null")
    with dr.Session(None):
        plan.collect()
        assert llm.calls == 9
        plan.retry()
        assert llm.calls == 18


def test_a_retry_leaves_the_answers_of_its_own_run_alone() -> None:
    llm = scripted(tea=["1"], jam=["many"], rain=["some"])
    with dr.Session(None):
        assert rated(llm, on_error="null").retry()["n"].to_list() == [1, None, None]
    assert llm.calls == 3


def test_a_retry_that_fails_keeps_the_answer_of_before(tmp_path: Path) -> None:
    llm = scripted(tea=["1"], jam=["2"], rain=["some", dr.errors.BadRequestError("no", status=400), "3"])
    with dr.Session(tmp_path):
        assert rated(llm, on_error="null").collect()["n"].to_list() == [1, 2, None]
        plan = rated(llm, on_error="null")
        assert plan.retry()["n"].to_list() == [1, 2, None]
        assert plan.failures()["error"].to_list() == ["BadRequestError"]
        assert plan.collect()["n"].to_list() == [1, 2, None]
        assert plan.failures()["answer"].to_list() == ["some"], "what was answered first"
        assert plan.retry()["n"].to_list() == [1, 2, 3]


def test_a_refresh_asks_all_of_a_step_anew_and_makes_stored_rows_again(tmp_path: Path) -> None:
    llm = scripted(tea=["a", "b"], jam=["c", "d"], rain=["e", "f"])
    plan = FRAME.prompt(llm, "{t}", into="said")
    over = plan.prompt(dr.testing.Echo(), "{said}!", into="loud")
    with dr.Session(tmp_path):
        assert over.collect()["loud"].to_list() == ["a!", "c!", "e!"]
        assert plan.collect()["said"].to_list() == ["a", "c", "e"]
        assert plan.collect(refresh=["said"])["said"].to_list() == ["b", "d", "f"]
        assert llm.calls == 6
    with dr.Session(tmp_path):
        assert over.collect()["loud"].to_list() == ["b!", "d!", "f!"], "also what was stored over the old answers"
        assert plan.head(2).collect()["said"].to_list() == ["b", "d"]
    assert llm.calls == 6


def test_a_refresh_asks_equal_requests_of_two_steps_once() -> None:
    llm = scripted(tea=["a", "b"], jam=["a", "b"], rain=["a", "b"])
    twice = FRAME.prompt(llm, "{t}", into="x", temperature=0).prompt(llm, "{t}", into="y", temperature=0)
    with dr.Session(None):
        twice.collect()
        assert twice.collect(refresh=["x", "y"]).select("x", "y").rows() == [("b", "b")] * 3
    assert llm.calls == 6


def test_a_refresh_whose_call_fails_keeps_the_answer_of_before() -> None:
    llm = scripted(tea=["a", dr.errors.BadRequestError("no", status=400)], jam=["b", "c"], rain=["d", "e"])
    plan = FRAME.prompt(llm, "{t}", into="said", on_error="null")
    with dr.Session(None):
        plan.collect()
        assert plan.collect(refresh=["said"])["said"].to_list() == [None, "c", "e"]
        assert plan.collect()["said"].to_list() == ["a", "c", "e"]


def counted(row: dict[str, Any]) -> dict[str, Any]:
    counts["calls"] += 1
    return {"n": counts["calls"]}


counts = {"calls": 0}


def test_a_refresh_of_a_function_runs_it_again(tmp_path: Path) -> None:
    counts["calls"] = 0
    plan = FRAME.map(dr.versioned(counted, version=1), schema={"n": int})
    with dr.Session(tmp_path):
        assert plan.collect()["n"].to_list() == plan.collect()["n"].to_list() == [1, 2, 3]
        assert plan.collect(refresh="map")["n"].to_list() == plan.collect()["n"].to_list() == [4, 5, 6]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"refresh": ["sad"]}, r"there is no step 'sad' that asks a model or runs a function of yours. Did you mean 'said'\? There are: 'said'"),
        ({"retry": "parsing"}, r"retry='parsing' is not one of 'parse', 'all'"),
    ],
    ids=["an unknown step", "an unknown kind"],
)
def test_what_cannot_be_asked_anew_is_said_before_anything_runs(settings: dict[str, Any], message: str) -> None:
    llm = dr.testing.Echo()
    with dr.Session(None), pytest.raises(SettingError, match=message):
        FRAME.prompt(llm, "{t}", into="said").collect(**settings)
    assert llm.calls == 0


def test_renewals_of_several_processes_are_put_together(tmp_path: Path) -> None:
    files, layout = Files(tmp_path), Layout(tmp_path)
    one, two = Renewals(files, layout), Renewals(files, layout)
    one.add({key_of(1): 1, key_of(2): 1})
    two.add({key_of(2): 1, key_of(3): 1})
    one.add({key_of(1): 2})
    one.refresh()
    two.refresh()
    fresh = Renewals(files, layout)
    assert one.now([key_of(n) for n in range(4)]) == two.now([key_of(n) for n in range(4)]) == fresh.now([key_of(n) for n in range(4)])
    assert fresh.of(key_of(0)) == key_of(0)
    assert len({fresh.of(key_of(1)), fresh.next(key_of(1))[0], one.of(key_of(2)), key_of(1), key_of(2)}) == 5


@pytest.mark.parametrize("settings", [{"refresh": ["n"]}, {"retry": "parse"}], ids=["refresh", "retry"])
def test_two_runs_that_ask_the_same_anew_at_once_pay_once_and_share_the_new_answer(tmp_path: Path, settings: dict[str, Any]) -> None:
    said = itertools.count()
    llm = Turning(lambda _: "many" if (n := next(said)) < 3 else str(n), latency_s=0.2)
    with dr.Session(tmp_path, progress=False), ThreadPoolExecutor(2) as threads:
        rated(llm, on_error="null").collect()
        new = [list(rows["n"]) for rows in threads.map(lambda _: rated(llm, on_error="null").collect(**settings), range(2))]
        assert new[0] == new[1] == list(rated(llm).collect()["n"])
    with dr.Session(tmp_path, offline=True, progress=False):
        assert list(rated(llm).collect()["n"]) == new[0]
    assert llm.calls == 6


def test_a_damaged_renewal_lets_the_old_answers_count_and_says_so(tmp_path: Path) -> None:
    files, layout = Files(tmp_path), Layout(tmp_path)
    Renewals(files, layout).add({key_of(1): 1})
    (path,) = layout.renewals.iterdir()
    path.write_bytes(path.read_bytes().replace(b"1", b"2", 1))
    with pytest.warns(UserWarning, match="the answers of before count again"):
        assert Renewals(files, layout).of(key_of(1)) == key_of(1)
