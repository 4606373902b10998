"""A head that learns from the strong model: it decides where that is certified, and nothing about the rows changes but who was asked."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest

import dreamframe as dr
from dreamframe.frame.distilled import L2
from dreamframe.measure import logistic
from dreamframe.measure.certify import Certifier
from dreamframe.measure.promise import Promise

GOOD, BAD, ODD = ["tasty", "lovely", "great"], ["awful", "stale", "poor"], ["purple", "square", "loud"]
FILLED = ["tea", "jam", "rye", "pie", "oat", "fig", "with", "and", "the", "of", "very", "today"]
WORDS = dr.testing.WordEmbedder(size=96)
QUESTION = "Is it fine: {text}"


def review(i: int, moods: list[list[str]]) -> str:
    draw = Random(i)
    mood = moods[draw.randrange(len(moods))]
    return " ".join([*(draw.choice(mood) for _ in range(2)), *(draw.choice(FILLED) for _ in range(6)), f"n{i}"])


TEXTS = [review(i, [GOOD, BAD]) for i in range(600)]


def judged(asked: str) -> str:
    words = set(asked.partition(": ")[2].split())
    return "yes" if words & set(GOOD) else "no"


def kind_of(asked: str) -> str:
    words = set(asked.split("Text: ")[1].split())
    return next(name for name, known in (("good", GOOD), ("bad", BAD), ("odd", ODD)) if words & set(known))


def strong(script: Any = judged) -> dr.testing.Scripted:
    return dr.testing.Scripted(script, temperature=0)


def kept(llm: dr.testing.Scripted, texts: list[Any] = TEXTS, *, distil: dr.Distil | None = None, **settings: Any) -> dr.Frame:
    given = distil or dr.Distil(WORDS, labels=160, accuracy=0.9)
    return dr.frame({"text": texts, "i": range(len(texts))}, schema={"text": pl.String, "i": pl.Int64}).filter_by(llm, QUESTION, distil=given, **settings)


def plain(llm: dr.testing.Scripted, texts: list[Any] = TEXTS) -> dr.Frame:
    return dr.frame({"text": texts, "i": range(len(texts))}, schema={"text": pl.String, "i": pl.Int64}).filter_by(llm, QUESTION)


def test_a_head_decides_most_rows_and_is_kept(tmp_path: Path):
    llm = strong()
    with dr.Session(tmp_path) as session:
        plan = kept(llm)
        rows = plan.collect()
        n_calls = llm.calls
        assert n_calls <= 160
        truth = {i for i, text in enumerate(TEXTS) if judged(f": {text}") == "yes"}
        assert len(truth ^ set(rows["i"])) <= 0.1 * 600
        assert rows["i"].is_sorted()
        assert (rows.schema, plan.schema) == (plain(llm).schema, rows.schema)
        assert re.search(r"600 rows, 520 scored, \d+ sampled, \d+ decided by the proxy \(its own answer from 0\.\d+\), \d+ by the strong model", plan.explain())
        assert "decided by the proxy" in plan.card()
        assert [(m.trainer, m.label, m.rows) for m in session.models()] == [("LogisticRegression", "filter_by head", 80)]
        assert "→ likely" in str(plan.why(0))
        plain(llm).collect()
        assert llm.calls == 600  # what it was asked are kept answers of the plain verb
    again = strong()
    with dr.Session(tmp_path) as session:
        assert kept(again).collect().equals(rows)
        assert (again.calls, session.runs()[-1].trained) == (0, 0)
    with dr.Session(None):
        assert kept(again).collect(optimize=False).equals(rows)
        assert again.calls == n_calls


def test_of_a_row_it_is_told_who_decided_it_and_by_which_threshold_and_nothing_of_other_rows(tmp_path: Path):
    with dr.Session(tmp_path):
        plan = kept(strong())
        plan.collect()
        stories = [plan.why(row) for row in range(0, 60, 4)]
    for story in stories:
        assert all(len(step.rows) <= 1 for step in story.steps)
        (certificate,) = (step for step in story.steps if step.label == "filter_by sample")
        assert re.search(r"^600 rows, 520 scored, \d+ sampled, \d+ decided by the proxy \(its own answer from 0\.\d+\), \d+ by", certificate.note or "")
        (decided,) = (step for step in story.steps if step.describe.startswith("CASCADE"))
        if decided.rows[0].calls:
            assert re.search("^asked( as one of the sample)?: the proxy (finds its answer|says nothing of this row)", decided.note or "")
        else:
            assert re.search(r"^not asked: the proxy finds its answer [\d.]+ likely, and decides from 0\.\d+ on$", decided.note or "")
    said = {(step.note or "").partition(":")[0] for story in stories for step in story.steps if step.describe.startswith("CASCADE")}
    assert {"asked as one of the sample", "asked", "not asked"} <= said


def test_an_edit_certifies_anew_with_the_labels_that_are_kept(tmp_path: Path):
    llm = strong()
    with dr.Session(tmp_path):
        kept(llm).collect()
        before = llm.calls
        edited = [review(1_000 + i, [GOOD, BAD]) if i % 30 == 0 else text for i, text in enumerate(TEXTS)]
        kept(llm, edited).collect()
        assert 0 < llm.calls - before <= 20
        before = llm.calls
        kept(llm, edited[::-1]).collect()  # another order is the same rows
        assert llm.calls == before


def asked(rows: Any, vectors: Any, answers: Any, hashes: Any, l2: float) -> tuple[set[int], set[int]]:
    """Which rows the strong model answers, as `distilled` has it with 200 labels: those of the sample, and all others."""
    learnt = rows[np.argsort(hashes[0, rows])[:100]]
    made = logistic.fit(vectors[learnt], answers[learnt], 2, l2=l2)
    chances = logistic.probabilities(made, vectors[rows])
    scores = [None if row in learnt else float(chance) for row, chance in zip(rows, chances.max(axis=1), strict=True)]
    is_right = chances.argmax(axis=1) == answers[rows]
    certifier = Certifier(scores, np.argsort(hashes[1, rows]).tolist(), Promise(accuracy=0.9, budget=100))
    while wanted := certifier.wanted():
        certifier.tell({position: bool(is_right[position]) for position in wanted})
    found = certifier.outcome()
    return set(rows[found.labelled].tolist()), {*learnt.tolist(), *rows[found.left].tolist()}


def test_where_labels_are_a_small_part_of_vectors_the_penalty_spares_calls_in_a_first_run_and_after_an_edit():
    first: dict[float, list[int]] = {L2: [], 1.0: []}
    again: dict[float, list[int]] = {L2: [], 1.0: []}
    for seed in range(12):
        draw = np.random.default_rng(seed)
        answers = draw.integers(0, 2, 700)
        vectors = np.pad(draw.normal(size=(700, 30)), ((0, 0), (1, 0)))  # 30 directions of topics, and one that tells the labels
        vectors[:, 0] = np.where(answers, 0.5, -0.5) * abs(draw.normal(1, 0.5, size=700))
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        answers = np.where(draw.random(700) < 0.05, 1 - answers, answers)
        hashes, rows = draw.random((2, 700)), np.arange(600)
        edited = rows.copy()
        edited[draw.choice(600, 20, replace=False)] = np.arange(600, 620)
        for l2, n_first in first.items():
            known = set[int]().union(*asked(rows, vectors, answers, hashes, l2))
            sample, others = asked(edited, vectors, answers, hashes, l2)
            n_first.append(len(known))
            again[l2].append(len(others - sample - known))
    assert sum(first[L2]) < 0.95 * sum(first[1.0])
    assert sum(again[L2]) < 0.95 * sum(again[1.0])


def test_labels_of_three_kinds_are_told():
    texts = [review(i, [GOOD, BAD, ODD]) for i in range(600)]
    llm = strong(kind_of)
    with dr.Session(None):
        plan = dr.frame({"text": texts}).classify(llm, ["odd", "good", "bad"], "text", distil=dr.Distil(WORDS, labels=200, accuracy=0.9))
        rows = plan.collect()
    assert rows.schema == {"text": pl.String, "label": pl.Enum(["odd", "good", "bad"])}
    right = [kind_of(f"Text: {text}") for text in texts]
    assert sum(a == b for a, b in zip(rows["label"], right, strict=True)) >= 540
    assert llm.calls <= 250


@pytest.mark.parametrize("texts", [TEXTS[:100], [], [None] * 3, ["tasty"] * 5, TEXTS[:30]], ids=["one label", "no row", "nulls", "one text", "few"])
def test_where_there_is_nothing_to_learn_the_strong_model_answers_all(texts: list[Any]):
    def yes(asked: str) -> str:
        return "yes"

    llm = strong(yes)
    with dr.Session(None):
        assert kept(llm, texts).collect().equals(plain(strong(yes), texts).collect())
    assert llm.calls == len(set(texts) - {None})


def test_rows_that_fail_are_the_strong_models_and_fail_there():
    def sometimes(asked: str) -> str:
        if asked.endswith(("n7", "n11", "n400")):
            raise dr.errors.BadRequestError("no", status=400)
        return judged(asked)

    llm = strong(sometimes)
    lacking = dr.testing.WordEmbedder(size=96)
    with dr.Session(None):
        plan = kept(llm, distil=dr.Distil(lacking, labels=160, accuracy=0.9), on_error="drop")
        rows = plan.collect()
        failed = set(plan.failures()["request"])
    assert failed <= {f"Is it fine: {TEXTS[i]}" for i in (7, 11, 400)}
    assert rows.height > 200


def test_the_head_can_be_looked_at_and_published(tmp_path: Path):
    with dr.Session(tmp_path / "session"):
        plan = kept(strong())
        plan.collect()
        (head,) = plan.models()
        assert head.summary()["labels"] == ["false", "true"]
        assert "vector" in head.summary()["describe"]
        assert "__" not in head.summary()["describe"]
        folder = head.export(tmp_path / "head")
        new = dr.frame({"text": ["tasty lovely great", "awful stale poor"]}).embed(WORDS, "text", into="e")
        told = new.classify(dr.LinearClassifier(str(folder)), None, "e")
        assert told.collect()["label"].to_list() == ["true", "false"]
        assert 'dr.LinearClassifier("me/taste")' in head.card("me/taste")


def test_columns_of_all_kinds_that_a_prompt_reads_are_embedded():
    llm = strong(lambda asked: "yes" if int(asked.split()[0]) % 2 else "no")
    rows = dr.frame({"n": range(200), "word": ["odd" if i % 2 else "even" for i in range(200)]})
    with dr.Session(None):
        made = rows.filter_by(llm, "{n} is {word}", distil=dr.Distil(WORDS, labels=80, accuracy=0.9)).collect()
    assert made["n"].to_list() == list(range(1, 200, 2))
    assert llm.calls < 100


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no embedder": ({"embedder": 3}, "Distil"),
    "few labels": ({"labels": 10}, "Distil: labels=10 are too few to learn from and to certify with; give 40 or more"),
    "a part of a label": ({"labels": 99.5}, "Distil: labels=99.5 is not a whole number"),
    "certainty": ({"accuracy": 1.0}, "Distil: accuracy=1.0 is not between 0 and 1"),
    "no risk": ({"delta": 0}, "Distil: delta=0 is not between 0 and 1"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_settings_are_refused(kind: str):
    settings, message = WRONG[kind]
    with pytest.raises(dr.errors.SettingError, match=re.escape(message)):
        dr.Distil(**{"embedder": WORDS, **settings})


def test_what_cannot_be_distilled_is_refused():
    df, llm = dr.frame({"text": ["a"], "l": [["x"]]}), strong()
    with pytest.raises(dr.errors.SettingError, match=r"filter_by: distil= is an embedder; give dr.Distil\(embedder\)"):
        df.filter_by(llm, "{text}", distil=WORDS)  # type: ignore[arg-type]
    with pytest.raises(dr.errors.SettingError, match=r"filter_by: cascade= and distil= each name who decides in the place of scripted"):
        df.filter_by(llm, "{text}", distil=dr.Distil(WORDS), cascade=dr.Cascade(llm, accuracy=0.9))
    with pytest.raises(dr.errors.SettingError, match=r"distil= embeds what the prompt reads, and column 'l' is List\(String\), not a text"):
        df.filter_by(llm, "{l}", distil=dr.Distil(WORDS))
    with pytest.raises(dr.errors.SettingError, match="distil= is for yes and no, or for labels that are texts; the answers are Int64"):
        df.classify(llm, [1, 2], "text", distil=dr.Distil(WORDS))
    with pytest.raises(dr.errors.SettingError, match="naming is not a language model: it reads the text, and takes no distil="):
        df.classify(dr.testing.NamingClassifier(), ["a", "b"], "text", distil=dr.Distil(WORDS))


def test_a_plan_with_a_head_is_read_as_it_was_written():
    plan = dr.frame({"text": ["a"]}).filter_by(dr.testing.Echo(), "{text}", distil=dr.Distil(WORDS))
    assert dr.from_json(plan.to_json()).explain() == plan.explain()
