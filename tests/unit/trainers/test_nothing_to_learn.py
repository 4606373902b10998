"""Rows that teach nothing, seen before the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError, TrainingError
from dreamframe.trainers.classifier import _counted
from dreamframe.trainers.cross_encoder import _numbered
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.nothing_to_learn import (
    look_for_ties,
    note_one_value,
    of_labels_with_company,
    refuse_alone,
    refuse_beyond_one,
    same_and_different,
)
from dreamframe.trainers.setfit import refuse_everywhere
from tests.micro import micro_tokenizer

PAIRS = pl.Schema({"anchor": pl.String, "positive": pl.String})
TEXTS = pl.Schema({"text": pl.String, "label": pl.String})


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    return TrainJob(rows=tmp_path / "rows.arrow", workdir=tmp_path, out=tmp_path / "out")


def test_equal_pairs_are_noted_with_what_they_still_teach(job: TrainJob) -> None:
    rows = pl.DataFrame({"chosen": ["a", "b"], "rejected": ["a", "c"]})
    look_for_ties(rows, who="DPO", job=job, prefers_only=True)
    look_for_ties(rows, who="ORPO", job=job, prefers_only=False)
    assert job.notes == [
        "DPO: 1 of 2 rows have the same chosen and rejected: they teach nothing (rows 0).",
        "ORPO: 1 of 2 rows have the same chosen and rejected: they teach to write, and to prefer nothing (rows 0).",
    ]


def test_one_value_in_all_rows_is_noted(job: TrainJob) -> None:
    note_one_value(pl.Series([True, False]), "label", who="KTO", job=job)
    note_one_value(pl.Series([True, True]), "label", who="KTO", job=job)
    assert job.notes == ["KTO: all 2 rows have the label True, so there is nothing that it is told from."]


@pytest.mark.parametrize(
    ("loss", "rows", "said"),
    [
        ("MultipleNegativesRankingLoss", {"anchor": ["a", "b"], "positive": ["x", "x"]}, "the 2 rows have 1 different one alone"),
        ("CachedMultipleNegativesRankingLoss", {"anchor": ["a"], "positive": ["x"]}, "give more pairs, or a negative= column"),
        ("SparseCoSENTLoss", {"sentence1": ["a", "b"], "sentence2": ["a", "b"], "score": [0.5, 0.5]}, "all 2 rows have one score"),
        ("MultipleNegativesRankingLoss", {"anchor": ["a"], "positive": ["x"], "negative": ["y"]}, None),
        ("CosineSimilarityLoss", {"sentence1": ["a"], "sentence2": ["b"], "score": [0.5]}, None),
    ],
)
def test_a_loss_that_compares_rows_needs_others(loss: str, rows: dict[str, list[Any]], said: str | None) -> None:
    if said is None:
        refuse_alone(loss, pl.DataFrame(rows), who="T")
        return
    with pytest.raises(TrainingError, match=said):
        refuse_alone(loss, pl.DataFrame(rows), who="T")


@pytest.mark.parametrize(
    ("trainer", "settings", "schema", "said"),
    [
        (dr.SentenceTransformerTrainer, {"batch_size": 1}, PAIRS, "leaves each row alone in its batch"),
        (dr.SparseEncoderTrainer, {"batch_size": 4, "args": {"gradient_accumulation_steps": 4}}, PAIRS, "leaves each row alone in its batch"),
        (dr.CrossEncoderTrainer, {"batch_size": 1}, PAIRS, "leaves each row alone in its batch"),
        (dr.SentenceTransformerTrainer, {"batch_size": 6, "args": {"gradient_accumulation_steps": 2}}, TEXTS, "drawn in twos"),
        (dr.SentenceTransformerTrainer, {"batch_size": 8, "args": {"gradient_accumulation_steps": 3}}, PAIRS, "give a multiple of 3"),
    ],
)
def test_batches_too_small_to_compare_in_are_refused_in_the_plan(trainer: Any, settings: dict[str, Any], schema: pl.Schema, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        trainer("me/encoder", **settings).check({}, schema)


def test_scores_that_are_no_probabilities_are_named(job: TrainJob) -> None:
    refuse_beyond_one(pl.Series([0.0, 1.0]), who="CrossEncoderTrainer", job=job)
    with pytest.raises(TrainingError, match=r"2 of 3 rows have others \(rows 0, 2; such as 5\)"):
        refuse_beyond_one(pl.Series([5.0, 1.0, -1.0]), who="CrossEncoderTrainer", job=job)


def test_which_label_of_pairs_means_same_is_told(job: TrainJob) -> None:
    assert same_and_different(pl.Series([True, False]), who="T", job=job) is None
    assert same_and_different(pl.Series([1, 0]), who="T", job=job) is None
    assert same_and_different(pl.Series(["duplicate", "unrelated"]), who="T", job=job) == {"duplicate": 0, "unrelated": 1}
    assert job.notes == ["T: the label 'unrelated' was read as same and 'duplicate' as different; to say otherwise, give true and false."]
    with pytest.raises(TrainingError, match=r"the rows have '2'; loss= can name one"):
        same_and_different(pl.Series([0, 1, 2]), who="T", job=job)
    with pytest.raises(TrainingError, match="the rows have the labels 'same'; give true and false"):
        same_and_different(pl.Series(["same", "same"]), who="T", job=job)


def test_texts_alone_of_their_label_are_left_out(job: TrainJob) -> None:
    rows = pl.DataFrame({"text": list("abcdef"), "label": ["x", "y", "x", "y", "z", "x"]})
    assert of_labels_with_company(rows, who="T", job=job)["text"].to_list() == ["a", "b", "c", "d", "f"]
    assert job.notes == ["T: 1 of 6 rows are the only ones of their label, and were left out (rows 4)."]
    with pytest.raises(TrainingError, match="two labels or more, of two texts or more each"):
        of_labels_with_company(rows.head(3), who="T", job=job)


@pytest.mark.parametrize(
    ("labels", "said"),
    [([-1, 0, 1], "3 different numbers from -1 to 1; give such, or text"), ([0, 10**6], "2 different numbers from 0 to 1000000"), ([1, 5], None)],
)
def test_numbers_that_are_no_outputs_are_no_labels_of_a_cross_encoder(labels: list[int], said: str | None) -> None:
    rows = pl.DataFrame({"sentence1": "a", "sentence2": "b", "label": labels})
    if said is None:
        assert dr.CrossEncoderTrainer("x")._labels(rows) == ["0", "1", "2", "3", "4", "5"]
        return
    with pytest.raises(TrainingError, match=said):
        dr.CrossEncoderTrainer("x")._labels(rows)


def test_validation_rows_have_the_labels_of_the_training_also_as_numbers() -> None:
    rows = pl.DataFrame({"sentence1": "a", "sentence2": "b", "label": [0, 5]})
    with pytest.raises(TrainingError, match=r"validation rows have labels outside the set: '5'\. The labels are '0', '1'"):
        _numbered(rows, ["0", "1"], "C", is_named=False)


def test_a_set_of_labels_that_is_in_every_row_is_named_before_the_training() -> None:
    with pytest.raises(TrainingError, match="all 2 rows have the label 'b'"):
        refuse_everywhere(pl.Series([["a", "b"], ["b"]]), ["a", "b"])
    refuse_everywhere(pl.Series([["a"], ["b"]]), ["a", "b"])
    refuse_everywhere(pl.Series(["a", "a"]), ["a"])


def test_words_tagged_as_not_counted_teach_no_label_and_words_without_a_token_are_left_out(job: TrainJob) -> None:
    rows = pl.DataFrame({"tokens": [["tea", "is"], ["", ""], ["a", "b"]], "tags": [[1, -100], [0, 1], [-100, 0]]})
    trainer = dr.Classifier("x")
    labels = trainer._labels(_counted(rows["tags"]))
    assert labels == ("0", "1")
    made = trainer._encoded(rows, micro_tokenizer(), labels, 64, job, "")
    assert [[n for n in row if n != -100] for row in made["labels"].to_list()] == [[1], [0]]
    assert job.notes == ["Classifier: 1 of 3 rows hold no word that is a token and has a tag, and were left out (rows 1)."]
