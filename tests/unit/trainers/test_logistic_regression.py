"""Linear classifiers over embeddings: trained in a plan, kept, asked, carded, exported, and refused where there is nothing to tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr

WORDS = dr.testing.WordEmbedder()
ROWS = {"text": ["good tea", "good jam", "bad rye", "bad oat", "odd fig", "odd pie", None], "mood": ["+", "+", "-", "-", "?", "?", "+"]}


def embedded(rows: dict[str, list[Any]] = ROWS) -> dr.Frame:
    return dr.frame(rows).embed(WORDS, "text", into="e")


def trained(rows: dr.Frame | None = None, **settings: Any) -> dr.Model:
    return (embedded() if rows is None else rows).train(dr.LogisticRegression(**settings), embedding="e", label="mood")


def test_a_head_is_trained_once_and_asked(tmp_path: Path):
    with dr.Session(tmp_path) as session:
        told = embedded().classify(trained().classifier(), None, "e", into="told", scores=True)
        rows = told.collect()
        assert rows["told"].to_list() == ["+", "+", "-", "-", "?", "?", None]
        assert all(sum(s["score"] for s in row) == pytest.approx(1) for row in rows["told_scores"].drop_nulls().to_list())
        assert (rows["told_score"].drop_nulls() > 1 / 3).all()
        assert trained().summary()["n_rows"] == 6
        assert "1 of 7 rows" in trained().summary()["notes"][0]
        assert [m.trainer for m in session.models()] == ["LogisticRegression"]
    with dr.Session(tmp_path) as session:
        assert embedded().classify(trained().classifier(), None, "e", into="told", scores=True).collect().equals(rows)
        assert session.runs()[-1].trained == 0
        assert session.runs()[-1].calls == 0
        trained(l2=2.0).fit()
        assert session.runs()[-1].trained == 1


def test_the_head_is_a_file_of_json_that_anybody_can_read(tmp_path: Path):
    with dr.Session(tmp_path / "session"):
        folder = trained().export(tmp_path / "head")
        held = json.loads((folder / "head.json").read_text())
        assert held["labels"] == ["+", "-", "?"]
        assert (len(held["weight"]), len(held["weight"][0]), len(held["bias"])) == (3, WORDS.dim, 3)
        again = embedded().classify(dr.LinearClassifier(str(folder)), None, "e", into="told").collect()
        assert again["told"].to_list()[:6] == ROWS["mood"][:6]
        assert "TRAIN LogisticRegression on embedding=e label=mood" in trained().explain()
        card = trained().card("me/moods")
    for line in ('dr.LinearClassifier("me/moods")', 'hf_hub_download("me/moods", "head.json")', "| `l2` | `1.0` |", "library_name: dreamframe"):
        assert line in card


def test_validation_rows_are_scored_and_labels_keep_their_order(tmp_path: Path):
    kinds = pl.Enum(["?", "unseen", "-", "+"])
    rows = embedded().with_columns(pl.col("mood").cast(kinds))
    with dr.Session(tmp_path):
        model = rows.train(dr.LogisticRegression(), embedding="e", label="mood", validation=rows.head(4))
        assert model.summary()["labels"] == ["?", "-", "+"]
        assert model.summary()["metrics"] == {"eval_accuracy": 1.0, "eval_f1": 1.0}
        with pytest.raises(dr.errors.TrainingError, match=r"the validation rows have labels outside the set: '\?'"):
            rows.head(4).train(dr.LogisticRegression(), embedding="e", label="mood", validation=rows).fit()


def test_yes_and_no_are_labels(tmp_path: Path):
    with dr.Session(tmp_path):
        rows = embedded().with_columns(mood=pl.col("mood") == "+")
        assert rows.classify(trained(rows).classifier(), ["true", "false"], "e", into="told").collect()["told"].to_list()[:2] == ["true", "true"]


def test_rows_of_one_label_are_refused_unless_it_may_abstain(tmp_path: Path):
    with dr.Session(tmp_path):
        rows = embedded().filter(mood="+")
        with pytest.raises(dr.errors.TrainingError, match=r"the rows have only one label \('\+'\); a classifier needs two or more"):
            trained(rows).fit()
        for few in (rows, rows.head(0), rows.filter(pl.col("text").is_null())):
            model = trained(few, may_abstain=True).fit()
            assert "label" in model.summary()["notes"][-1]
        told = rows.classify(trained(rows, may_abstain=True).classifier(), None, "e", on_error="null")
        assert told.collect()["label"].to_list() == [None] * 3
        assert "trained on rows of 1 labels, so it tells none" in told.failures()["message"][0]


def test_what_it_cannot_be_trained_on_or_asked_is_said(tmp_path: Path):
    with pytest.raises(dr.errors.SchemaError, match=r"embedding='text' has type String; it must be vectors, as df.embed\(embedder"):
        embedded().train(dr.LogisticRegression(), embedding="text", label="mood")
    with pytest.raises(dr.errors.SettingError, match=r"LogisticRegression: it starts from no model; embed the texts first"):
        dr.LogisticRegression(dr.MiniLM())
    with pytest.raises(dr.errors.SettingError, match="l2=0 must be above 0"):
        dr.LogisticRegression(l2=0)
    with pytest.raises(dr.errors.SettingError, match="no setting 'C'"):
        dr.LogisticRegression(C=1)  # type: ignore[call-arg]
    with dr.Session(tmp_path):
        other = dr.frame({"text": ["good"]}).embed(dr.testing.WordEmbedder(size=8), "text", into="e")
        told = other.classify(trained().classifier(), None, "e", on_error="null")
        told.collect()
        assert "reads vectors of 64 numbers, and this is 8 numbers" in told.failures()["message"][0]
        told = embedded().classify(trained().classifier(), ["+", "new"], "e", on_error="null")
        told.collect()
        assert "knows '+', '-', '?', and not 'new'" in told.failures()["message"][0]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "head.json").write_text('{"labels": ["a", "b"], "weight": [[1]], "bias": [0, 0]}')
    broken = dr.frame(ROWS).embed(WORDS, "text", into="e").classify(dr.LinearClassifier(str(tmp_path / "broken")), None, "e")
    with dr.Session(None), pytest.raises(dr.errors.DreamframeError, match=r"head.json is not a linear classifier: 2 labels, weights of \(1, 1\)"):
        broken.collect()


def test_a_plan_with_a_head_is_read_as_it_was_written():
    told = embedded().classify(trained().classifier(), None, "e", into="told")
    assert dr.from_json(told.to_json()).explain() == told.explain()
