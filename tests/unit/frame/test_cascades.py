"""`cascade=` on filter_by, classify and join_by: what is promised holds, nothing is paid twice, and all that can go wrong is said."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr

ROWS = 400
NOISE = random.Random(1)
TRUTH = {f"n{n}": (n > 250) != (NOISE.random() < 0.07) for n in range(ROWS + 50)}
ASK = "Is {t} large?"


def text_of(asked: str) -> str:
    return asked.partition("Is ")[2].partition(" large?")[0]


def yes_or_no(asked: str) -> str:
    return "yes" if TRUTH[text_of(asked)] else "no"


def shares(asked: str) -> dict[bool, float]:
    yes = 1 / (1 + math.exp(-(int(text_of(asked)[1:]) - 250) / 25))
    return {True: 0.07 + 0.86 * yes, False: 0.93 - 0.86 * yes}


def strong(**settings: Any) -> dr.testing.Scripted:
    return dr.testing.Scripted(yes_or_no, model="strong", **settings)


def small(script: Any = shares, **settings: Any) -> dr.testing.Scripted:
    return dr.testing.Scripted(script, model="small", **settings)


def rows(n: int = ROWS, first: int = 0) -> dr.Frame:
    return dr.frame({"t": [f"n{i}" for i in range(first, first + n)], "x": range(n)})


def kept(frame: dr.Frame) -> set[str]:
    return set(frame.collect()["t"])


def certificates(session: dr.Session) -> list[dict[str, Any]]:
    return [dict(step.told) for run in session.runs() for step in run.steps if step.told]


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


TARGETS: dict[str, dict[str, float]] = {
    "recall": {"recall": 0.8}, "precision": {"precision": 0.8}, "both": {"recall": 0.8, "precision": 0.8}, "accuracy": {"accuracy": 0.85},
}  # fmt: skip


@pytest.mark.parametrize("name", TARGETS)
def test_the_promise_is_kept_over_seeds_and_fewer_rows_are_asked_than_there_are(name: str, session: dr.Session):
    target = TARGETS[name]
    yes = {f"n{i}" for i in range(ROWS) if TRUTH[f"n{i}"]}
    missed, seeds = 0, 25
    for seed in range(seeds):
        found = kept(rows().filter_by(strong(), ASK, cascade=dr.Cascade(small(), **target, delta=0.2, seed=seed)))
        right = len(found & yes)
        reached = {"recall": right / len(yes), "precision": right / max(1, len(found)), "accuracy": 1 - len(found ^ yes) / ROWS}
        missed += any(reached[measure] < least for measure, least in target.items())
    asked = [told["by_strong"] for told in certificates(session)]
    assert missed <= 10, "at delta = 0.2, 11 or more of 25 misses would come once in 200 times"
    assert len(asked) == seeds
    assert sum(asked) < 0.9 * seeds * ROWS


@pytest.mark.parametrize("optimize", [True, False])
def test_columns_and_their_order_are_those_without_a_cascade(optimize: bool):
    both = [
        rows().filter_by(strong(), ASK, keep=["prompt", "answer"], **more)
        for more in ({}, {"cascade": dr.Cascade(small(), recall=0.8, precision=0.8)})
    ]
    assert both[0].schema == both[1].schema
    plain, cascaded = (frame.collect(optimize=optimize) for frame in both)
    assert plain.schema == cascaded.schema
    assert cascaded["x"].is_sorted()
    asked = cascaded.filter(pl.col("filter_by_answer").is_not_null())
    assert 0 < asked.height < cascaded.height
    assert asked.join(plain, on=plain.columns, how="semi").height == asked.height, "who was asked has what is kept without a cascade"


def test_labels_are_classified_in_a_cascade_by_a_language_model_or_a_task_model():
    texts = dr.frame({"t": [f"{'tea' if i % 3 else 'rain'} {i}" for i in range(200)]})
    llm = dr.testing.Scripted(lambda asked: "tea" if "tea" in asked.partition("Text: ")[2] else "rain", model="strong", temperature=0)
    likely = dr.testing.Scripted(lambda asked: {"tea": 0.9, "rain": 0.1} if "Text: tea" in asked else {"tea": 0.2, "rain": 0.8}, model="small")
    plain = texts.classify(llm, ["rain", "tea"], "t", into="kind")
    expected = plain.collect()
    for proxy in (likely, dr.testing.NamingClassifier()):
        before = llm.calls
        made = texts.classify(llm, ["rain", "tea"], "t", into="kind", cascade=dr.Cascade(proxy, accuracy=0.9))
        assert made.schema == plain.schema
        assert made.collect().equals(expected)
        assert llm.calls == before, "the answers of the prompt without a cascade are those of the prompt with one"


def test_pairs_are_joined_in_a_cascade():
    left, right = dr.frame({"a": range(30)}), dr.frame({"b": range(20)})
    llm = dr.testing.Scripted(lambda asked: "yes" if int(asked.split()[0]) > int(asked.split()[1]) else "no", model="strong", temperature=0)

    def near(asked: str) -> dict[bool, float]:
        yes = 1 / (1 + math.exp(-(int(asked.split(maxsplit=1)[0]) - int(asked.split()[1])) / 3))
        return {True: yes, False: 1 - yes}

    made = left.join_by(right, llm, "{a} {b}", cascade=dr.Cascade(small(near), recall=0.9, precision=0.9))
    found = made.collect()
    assert found.columns == ["a", "b"]
    assert llm.calls < 600
    right_ones = found.filter(pl.col("a") > pl.col("b")).height
    assert right_ones >= 0.9 * sum(a > b for a in range(30) for b in range(20))
    assert right_ones >= 0.9 * found.height
    assert found.equals(left.join_by(right, llm, "{a} {b}", cascade=dr.Cascade(small(near), recall=0.9, precision=0.9), symmetric=False).collect())


def test_nothing_is_asked_twice_by_a_cascade_without_one_offline_or_in_another_order(tmp_path: Path):
    llm, proxy = strong(), small()
    cascade = dr.Cascade(proxy, recall=0.9, precision=0.9)
    with dr.Session(tmp_path / "s") as session:
        found = kept(rows().filter_by(llm, ASK, cascade=cascade))
        asked = llm.calls
        assert (proxy.calls, asked < ROWS) == (ROWS, True)
        assert kept(rows().filter_by(llm, ASK, cascade=cascade)) == kept(rows().reverse().filter_by(llm, ASK, cascade=cascade)) == found
        assert (llm.calls, proxy.calls) == (asked, ROWS)
        rows().prompt(proxy, ASK, "yes", schema=bool, probability="p").collect()
        rows().filter_by(llm, ASK).collect()
        assert (llm.calls, proxy.calls) == (ROWS, ROWS), "each row once, whoever asks"
        session.close()
    with dr.Session(tmp_path / "s", offline=True):
        assert kept(rows().select("t").filter_by(llm, ASK, cascade=cascade)) == found
    assert (llm.calls, proxy.calls) == (ROWS, ROWS)


def test_an_edit_certifies_anew_with_the_labels_that_are_there():
    llm, proxy = strong(), small()
    cascade = dr.Cascade(proxy, recall=0.9, precision=0.9)
    kept(rows().filter_by(llm, ASK, cascade=cascade))
    asked = llm.calls
    edited = dr.concat([rows(20, first=ROWS), rows().slice(20)])
    kept(edited.filter_by(llm, ASK, cascade=cascade))
    assert proxy.calls == ROWS + 20
    assert llm.calls <= asked + 60, "the new rows, and those that are new in the sample"


def test_rows_that_the_proxy_fails_on_are_asked_of_the_strong_model():
    def at_times(asked: str) -> Any:
        return dr.errors.BadRequestError("refused", status=400) if text_of(asked).endswith("7") else shares(asked)

    llm = strong()
    made = rows().filter_by(llm, ASK, cascade=dr.Cascade(small(at_times), recall=0.8, precision=0.8))
    found = kept(made)
    sevens = {f"n{i}" for i in range(ROWS) if i % 10 == 7}
    assert {t for t in found if t in sevens} == {t for t in sevens if TRUTH[t]}
    assert sevens <= {text_of(asked) for asked in llm.prompts}
    failed = made.failures()
    assert set(failed["step"]) == {"filter_by proxy"}
    assert failed.height == len(sevens)


def test_a_proxy_that_answers_nothing_is_told_at_once_and_no_row_is_lost():
    llm, down = strong(), small(lambda _: dr.errors.BadRequestError("down", status=400))
    with pytest.warns(dr.RunWarning, match="filter_by sample: of 400 rows 0 have an answer of the proxy, and strong is asked about all others"):
        found = kept(rows().filter_by(llm, ASK, cascade=dr.Cascade(down, recall=0.8)))
    assert found == {f"n{i}" for i in range(ROWS) if TRUTH[f"n{i}"]}
    assert llm.calls == ROWS


@pytest.mark.parametrize("on_error", ["raise", "null", "drop"])
def test_rows_that_the_strong_model_fails_on_follow_on_error(on_error: Any):
    def at_times(asked: str) -> Any:
        return dr.errors.BadRequestError("refused", status=400) if text_of(asked).endswith("5") else yes_or_no(asked)

    llm = dr.testing.Scripted(at_times, model="strong")
    labels = rows().classify(llm, ["yes", "no"], "t", into="large", prompt=ASK, on_error=on_error, cascade=dr.Cascade(labelled(), accuracy=0.8))
    if on_error == "raise":
        with pytest.raises(dr.errors.RowsFailedError, match="classify: "):
            labels.collect()
        return
    made = labels.collect()
    asked = {text_of(asked) for asked in llm.prompts}
    refused = {t for t in asked if t.endswith("5")}
    assert refused
    left = set(made.filter(pl.col("large").is_not_null())["t"])
    assert left == set(rows().collect()["t"]) - refused
    assert made.height == ROWS - (len(refused) if on_error == "drop" else 0)
    assert "classify" in set(labels.failures()["step"])


def labelled() -> dr.testing.Scripted:
    return small(lambda asked: {"yes": shares(asked)[True], "no": shares(asked)[False]})


def test_a_certificate_that_calls_failed_for_is_made_anew(session: dr.Session):
    down = [True]

    def at_times(asked: str) -> Any:
        return dr.errors.BadRequestError("down", status=400) if down[0] else yes_or_no(asked)

    made = rows().filter_by(dr.testing.Scripted(at_times, model="strong"), ASK, on_error="null", cascade=dr.Cascade(small(), recall=0.9, precision=0.9))
    assert kept(made) == set()
    down[0] = False
    found = kept(made)
    assert [told["by_proxy"] > 0 for told in certificates(session)] == [False, True]
    assert found == kept(rows().filter_by(strong(), ASK, cascade=dr.Cascade(small(), recall=0.9, precision=0.9)))


def test_equal_questions_are_asked_once_however_warm_the_strong_model_is():
    llm = strong(temperature=1.0)
    twice = dr.concat([rows(), rows()])
    made = twice.filter_by(llm, ASK, cascade=dr.Cascade(small(), recall=0.9, precision=0.9)).collect()
    assert len(set(llm.prompts)) == llm.calls <= ROWS
    assert made["t"].n_unique() * 2 == made.height, "rows that ask the same are answered the same"


def test_what_an_offline_session_lacks_is_said_before_a_row_comes():
    llm, proxy = strong(), small()
    rows().prompt(proxy, ASK, "yes", schema=bool, probability="p").collect()
    made = rows().filter_by(llm, ASK, cascade=dr.Cascade(proxy, recall=0.9))
    with pytest.raises(dr.errors.OfflineError, match=r"filter_by sample: offline, and .* requests have no answer in the session"):
        made.collect(offline=True)
    assert llm.calls == 0


def test_explain_says_what_is_promised_and_then_what_happened(session: dr.Session):
    made = rows().filter_by(strong(), ASK, cascade=dr.Cascade(small(), recall=0.9, precision=0.9))
    promise = "CERTIFY recall ≥ 0.9 and precision ≥ 0.9 against strong, missed with probability 0.05 at most"
    before = made.explain()
    assert promise in before
    assert "decided by the proxy" not in before
    made.collect()
    (told,) = certificates(session)
    assert told["by_proxy"] + told["by_strong"] == told["rows"] == ROWS
    said = f"{told['rows']} rows, {told['sampled']} sampled, {told['by_proxy']} decided by the proxy"
    for text in (made.explain(), made.explain(cost=True), made.card()):
        assert promise in text
        assert said in text


def test_money_that_a_cascade_saved_is_told():
    with dr.Session(None, prices={"strong": (1000.0, 1000.0), "small": (10.0, 10.0)}):
        made = rows().filter_by(strong(), ASK, cascade=dr.Cascade(small(), recall=0.9, precision=0.9))
        made.collect()
        assert " saved" in made.card()
        assert " saved" in made.explain()


def test_an_estimate_says_from_where_to_where_the_calls_may_go():
    llm, proxy = strong(), small()
    made = rows().filter_by(llm, ASK, cascade=dr.Cascade(proxy, recall=0.9, precision=0.9))
    rows().prompt(proxy, ASK, "yes", schema=bool, probability="p").collect()
    found = made.estimate()
    assert found.calls == ROWS
    assert 0 < (found.least or 0) < ROWS
    assert f"{found.least}-{ROWS} calls" in repr(found)
    made.collect()
    assert (found.least or 0) <= llm.calls <= found.calls
    assert made.estimate().calls == 0


def test_a_story_of_a_row_tells_who_was_asked_about_it():
    made = rows().filter_by(strong(), ASK, cascade=dr.Cascade(small(), recall=0.9, precision=0.9), keep="answer")
    found = made.collect()
    by_proxy = found["filter_by_answer"].is_null().arg_max()
    by_strong = found["filter_by_answer"].is_not_null().arg_max()
    models = [{call.model for step in made.why(at).steps for row in step.rows for call in row.calls} for at in (by_proxy, by_strong)]
    assert models == [{"small"}, {"small", "strong"}]


REFUSED: dict[str, tuple[Any, str]] = {
    "a target of 1": (lambda: dr.Cascade(small(), recall=1.0), "recall=1.0 is not between 0 and 1: a sample cannot promise it"),
    "a target of 0": (lambda: dr.Cascade(small(), precision=0), "precision=0 is not between 0 and 1"),
    "no target": (lambda: dr.Cascade(small()), "needs a target"),
    "a seed that is none": (lambda: dr.Cascade(small(), recall=0.9, seed=0.5), "seed=0.5 is not a whole number"),  # type: ignore[arg-type]
    "no proxy": (lambda: rows().filter_by(strong(), ASK, cascade=dr.Cascade(recall=0.9)), "names no model that is asked first"),
    "no cascade": (lambda: rows().filter_by(strong(), ASK, cascade=small()), "give dr.Cascade"),  # type: ignore[arg-type]
    "no probabilities": (
        lambda: rows().filter_by(strong(), ASK, cascade=dr.Cascade(dr.testing.Echo(), recall=0.9)),
        "filter_by: cascade= asks echo how likely its answers are, and it gives no log-probabilities",
    ),
    "recall of labels": (lambda: rows().classify(strong(), ["a", "b"], "t", cascade=dr.Cascade(small(), recall=0.9)), "of labels, accuracy= can be promised"),
    "several answers": (lambda: rows().filter_by(strong(), ASK, cascade=dr.Cascade(small(), recall=0.9), n=2), "n=2 asks for several answers"),
    "a column that is not there": (lambda: rows().filter_by(strong(), ASK, cascade=dr.Cascade(pl.col("p"), recall=0.9)), "no column 'p'"),
    "a column for labels": (
        lambda: rows().classify(strong(), ["a", "b"], "t", cascade=dr.Cascade(pl.col("x"), accuracy=0.9)), "as the proxy of labels, give a model",
    ),
    "a model's column": (
        lambda: rows().filter_by(strong(), ASK, cascade=dr.Cascade(dr.prompt(small(), ASK, schema=float), recall=0.9)), "give pl.col",
    ),
    "a strong task model": (
        lambda: rows().classify(dr.testing.NamingClassifier(), ["a", "b"], "t", cascade=dr.Cascade(small(), accuracy=0.9)),
        "takes no cascade=",
    ),
    "a task model that decides yes or no": (
        lambda: rows().filter_by(strong(), ASK, cascade=dr.Cascade(dr.testing.NamingClassifier(), recall=0.9)),
        "as the proxy of yes or no, give a language model",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_promised_is_refused_when_the_plan_is_built(name: str):
    make, message = REFUSED[name]
    with pytest.raises(dr.errors.PlanError, match=message):
        make()


def test_a_run_that_runs_out_of_money_in_its_sample_goes_on_where_it_was(tmp_path: Path):
    prices = {"strong": (1000.0, 1000.0), "small": (0.0, 0.0)}  # US dollars for a million tokens
    llm, proxy = strong(max_tokens=1, concurrency=1), small()
    made = rows().filter_by(llm, ASK, cascade=dr.Cascade(proxy, recall=0.9, precision=0.9))
    with dr.Session(tmp_path / "s", prices=prices, budget=0.3), pytest.raises(dr.errors.BudgetExceededError, match="filter_by sample"):
        made.collect()
    assert 0 < llm.calls < ROWS / 2
    with dr.Session(tmp_path / "s", prices=prices):
        found = kept(made)
    with dr.Session(None):
        assert kept(made) == found
    assert len(set(llm.prompts)) == llm.calls / 2, "what was paid was not asked again; the session in memory asked all of it anew"


def test_a_session_tells_what_another_promise_changed(tmp_path: Path):
    sessions = [dr.Session(tmp_path / name) for name in ("one", "other")]
    for session, recall in zip(sessions, (0.9, 0.6), strict=True):
        with session:
            rows().filter_by(strong(), ASK, cascade=dr.Cascade(small(), recall=recall)).collect()
    found = sessions[0].diff(sessions[1])
    assert any("CERTIFY recall ≥ 0.9" in step and "(was: CERTIFY recall ≥ 0.6" in step for step in found.steps)
    by_proxy = found.metrics.filter(pl.col("metric") == "by_proxy").row(0, named=True)
    assert by_proxy["after"] < by_proxy["before"]


def test_the_page_tells_the_ledger_beside_the_certificate(tmp_path: Path):
    from dreamframe.session.page.folder import Held
    from dreamframe.session.page.tree import plans

    with dr.Session(tmp_path / "s") as session:
        rows().filter_by(strong(), ASK, cascade=dr.Cascade(small(), recall=0.9, precision=0.9)).collect()
        (told,) = certificates(session)
    held = Held("s", tmp_path / "s", opened=lambda: dr.Session.existing(tmp_path / "s"), events=session._events)
    lines = [line for plan in plans(held) for line in plan["steps"] if line.get("told")]
    assert [line["told"].partition(" sampled")[0] for line in lines] == [f"{ROWS} rows, {told['sampled']}"]


def test_a_symmetric_join_in_a_cascade_asks_a_pair_and_its_reverse_once():
    words = dr.frame({"w": [f"{i}" for i in range(24)]})
    llm = dr.testing.Scripted(lambda asked: "yes" if sum(map(int, asked.split())) > 30 else "no", model="strong")

    def near(asked: str) -> dict[bool, float]:
        yes = 1 / (1 + math.exp(-(sum(map(int, asked.split())) - 30) / 4))
        return {True: yes, False: 1 - yes}

    proxy = small(near)
    found = words.join_by(words, llm, "{w} {w_right}", symmetric=True, cascade=dr.Cascade(proxy, accuracy=0.9)).collect()
    assert proxy.calls == 24 * 25 / 2
    assert llm.calls < 24 * 25 / 2
    assert {(a, b) for a, b in found.rows()} == {(b, a) for a, b in found.rows()}


def test_how_likely_an_answer_is_comes_from_whoever_gave_it():
    llm = small(lambda asked: {True: 0.99, False: 0.01} if TRUTH[text_of(asked)] else {True: 0.01, False: 0.99})
    settings: dict[str, Any] = {"probability": "p", "keep": "answer"}
    both = [rows().filter_by(llm, ASK, **settings, **more) for more in ({}, {"cascade": dr.Cascade(labelling(), recall=0.8, precision=0.8)})]
    assert both[0].schema == both[1].schema
    made = both[1].collect()
    by_proxy = pl.col("filter_by_answer").is_null()
    assert set(made.filter(~by_proxy)["p"]) == {0.99}
    expected = [shares(ASK.replace("{t}", t))[True] for t in made.filter(by_proxy)["t"]]
    assert made.filter(by_proxy)["p"].to_list() == pytest.approx(expected)
    assert expected


def labelling() -> dr.testing.Scripted:
    return dr.testing.Scripted(shares, model="smaller")


def test_a_column_is_a_proxy_of_yes_or_no():
    llm = strong()
    scored = rows().with_columns(p=1 / (1 + (-(pl.col("x") - 250) / 25).exp())).with_columns(p=pl.when(pl.col("x") % 50 > 0).then("p"))
    found = scored.filter_by(llm, ASK, cascade=dr.Cascade(pl.col("p"), recall=0.8, precision=0.8)).collect()
    assert found.columns == ["t", "x", "p"]
    assert {f"n{i}" for i in range(0, ROWS, 50)} <= {text_of(asked) for asked in llm.prompts}, "without a score, the strong model is asked"
    assert llm.calls < ROWS
    assert len(set(found["t"]) & {t for t, yes in TRUTH.items() if yes}) >= 0.8 * found.height
    with pytest.raises(dr.errors.SettingError, match="filter_by proxy: the expression is String; as a proxy, it tells how likely a yes is"):
        rows().filter_by(llm, ASK, cascade=dr.Cascade(pl.col("t"), recall=0.8))
