"""Fine-tuning of cross-encoders: models that read two texts together, such as rerankers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dreamframe.errors import SettingError, TrainingError, listed
from dreamframe.models.edges import Trained
from dreamframe.models.task_models.trained import CrossEncoder
from dreamframe.trainers import hf
from dreamframe.trainers.bases import config_here, config_in, sentences_here, sentences_in
from dreamframe.trainers.head_labels import in_heads_order, known_labels, order_of_head
from dreamframe.trainers.job import TrainJob, read_rows
from dreamframe.trainers.kinds import CROSS_ENCODER, Kind
from dreamframe.trainers.labels import need_two
from dreamframe.trainers.nothing_to_learn import note_one_value, refuse_beyond_one
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import Roles
from dreamframe.trainers.sentences import LABELLED, RANKED, SCORED, SentenceTrainer, as_numbers, without_card

if TYPE_CHECKING:
    from dreamframe.models.task_models.base import TaskModel


MOST_OUTPUTS = 100  # for each whole number that is a label: beyond it they are names and not outputs


@dataclass(frozen=True)
class CrossEncoderTrainer(SentenceTrainer):
    """Fine-tune a cross-encoder, or make one of an encoder.

    Columns and the usual loss: `sentence1, sentence2, score` with scores from 0 to 1 (BinaryCrossEntropyLoss); `sentence1, sentence2, label`, one
    of several classes (CrossEntropyLoss; for true and false, one score as above); `anchor, positive` or `anchor, positive, negative`
    (MultipleNegativesRankingLoss). With validation it reports correlation or accuracy beside the loss. Longer pairs are cut and counted.

    >>> dr.CrossEncoderTrainer("me/encoder").roles({"input": "q", "output": "doc"}, pl.Schema({"q": pl.String, "doc": pl.String}))
    {'anchor': 'q', 'positive': 'doc'}
    """

    config: ClassVar[str] = "sentence_transformers.cross_encoder.training_args:CrossEncoderTrainingArguments"
    family: ClassVar[str] = "cross_encoder"
    kind: ClassVar[Kind] = CROSS_ENCODER
    ways: ClassVar[tuple[Roles, ...]] = (*RANKED, *SCORED, *LABELLED)
    usual: ClassVar[Mapping[tuple[str, ...], str]] = {
        ("anchor", "positive", "negative"): "MultipleNegativesRankingLoss",
        ("anchor", "positive"): "MultipleNegativesRankingLoss",
        ("sentence1", "sentence2", "score"): "BinaryCrossEntropyLoss",
        ("sentence1", "sentence2", "label"): "CrossEntropyLoss",
    }
    cites: ClassVar[tuple[str, ...]] = ("Sentence-BERT (Reimers and Gurevych 2019) https://arxiv.org/abs/1908.10084",)

    def identity_fields(self) -> Mapping[str, object]:
        """With the order of the base's head, as `dr.Classifier` has it."""
        order = order_of_head(self.base, None) if self.init is None else None
        return {**super().identity_fields(), **({"head": order} if order is not None else {})}

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        super().check(columns, schema, has_validation=has_validation)
        if self.authority is None:
            refuse_writer(config_here(self.base), sentences_here(self.base))

    def as_classifier(self, model: Trained, **settings: Any) -> TaskModel:
        """`dr.CrossEncoder` over what was trained: it reads a column of lists of two texts."""
        return CrossEncoder(model, **settings)

    def fit(self, job: TrainJob) -> dict[str, Any]:
        assert job.base is not None
        refuse_writer(config_in(job.base), sentences_in(job.base))
        with alone():
            from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainingArguments
            from sentence_transformers.cross_encoder import CrossEncoderTrainer as Underlying

            given = read_rows(job.rows, job, who=self.label)
            labels = self._labels(given)
            is_named = bool(labels) and given is not None and not given["label"].dtype.is_integer()
            config: dict[str, Any] = {"num_labels": max(1, len(labels))}
            if is_named:
                labels = list(in_heads_order(labels, known_labels(job.base))) if self.init is None else labels
                config["config_kwargs"] = {"id2label": dict(enumerate(labels)), "label2id": {v: i for i, v in enumerate(labels)}}
            if not labels and (config_in(job.base) or {}).get("problem_type") == "single_label_classification":
                config["config_kwargs"] = {"problem_type": "regression"}  # the base told classes, and one score is learnt
            model = self.open_base(job, CrossEncoder, **config)
            if model.tokenizer.pad_token is None:
                model.tokenizer.pad_token = model.tokenizer.eos_token
            model[0].config.pad_token_id = model.tokenizer.pad_token_id
            rows, validation = (_numbered(self.texts(path, job, model), labels, self.label, is_named=is_named) for path in (job.rows, job.validation))
            assert rows is not None
            columns = tuple(rows.columns)
            if "score" in columns and self.loss_of(columns) == "BinaryCrossEntropyLoss":
                refuse_beyond_one(rows["score"], who=self.label, job=job)
                if validation is not None:
                    refuse_beyond_one(validation["score"], who=f"{self.label} validation", job=job)
            if columns[-1] in ("score", "label"):
                note_one_value(rows[columns[-1]], columns[-1], who=self.label, job=job)
            named = ("sentence1", "sentence2", "score") if "label" in columns and not labels else columns
            trainer = without_card(Underlying)(
                model=model,
                args=CrossEncoderTrainingArguments(**hf.arguments(self, job)),
                train_dataset=hf.dataset(rows),
                eval_dataset=hf.dataset(validation),
                loss=self.loss_over(model, named),
                evaluator=None if validation is None else _evaluator(validation, is_scored=not labels),
                callbacks=hf.callbacks(self, job),
            )
            return hf.run(trainer, self, job, n_rows=rows.height, labels=labels, keep=lambda trained: self.keep(trained, job, CrossEncoder, **config))

    def _labels(self, rows: pl.DataFrame | None) -> list[str]:
        """The classes, or none where one score is learnt."""
        if rows is None or "label" not in rows.columns or rows["label"].dtype == pl.Boolean:
            return []
        numbers = as_numbers(rows["label"])
        if not rows["label"].dtype.is_integer():
            names = list(rows["label"].cast(pl.String).unique().sort())
            need_two(names, who=self.label)
            return names
        low, top, different = numbers.min(), numbers.max(), numbers.n_unique()
        assert isinstance(low, int)
        assert isinstance(top, int)
        if low < 0 or top > MOST_OUTPUTS * different:
            seen = f"{different} different numbers from {low} to {top}"
            raise TrainingError(f"{self.label}: whole numbers as labels are the model's outputs 0, 1, 2 …, and the rows have {seen}; give such, or text.")
        return [str(i) for i in range(max(2, top + 1))]


def refuse_writer(config: Mapping[str, Any] | None, modules: str | None) -> None:
    """Raise where the library would compare the probabilities of the words "1" and "0" of a language model without saying so."""
    named = (config or {}).get("architectures") or []
    if any(n.endswith("ForCausalLM") for n in named) and modules is None:
        raise SettingError(f"CrossEncoderTrainer: the base must be an encoder or a cross-encoder; this one writes text ({named[0]}). For it: dr.Reward.")


def _numbered(rows: pl.DataFrame | None, labels: Sequence[str], who: str, *, is_named: bool) -> pl.DataFrame | None:
    """The rows with numbers as labels: those of the head's outputs, also where the validation rows lack a class."""
    if rows is None or "label" not in rows.columns:
        return rows
    if labels:
        names = rows["label"].cast(pl.String)
        if strange := sorted(set(names.to_list()) - set(labels)):
            raise TrainingError(f"{who}: the validation rows have labels outside the set: {listed(strange)}. The labels are {listed(labels)}.")
        if not is_named:
            return rows.with_columns(as_numbers(rows["label"]))
        return rows.with_columns(names.replace_strict({v: i for i, v in enumerate(labels)}, return_dtype=pl.Int64).alias("label"))
    is_score = rows["label"].dtype == pl.Boolean
    return rows.with_columns(rows["label"].cast(pl.Float32) if is_score else as_numbers(rows["label"]))


def _evaluator(rows: pl.DataFrame, *, is_scored: bool) -> Any:
    from sentence_transformers.cross_encoder import evaluation

    if "sentence1" not in rows.columns or rows.height < 2:  # one score correlates with nothing; the loss is told all the same
        return None
    pairs = [list(p) for p in rows.select("sentence1", "sentence2").iter_rows()]
    marks = rows[rows.columns[-1]].to_list()
    if not is_scored:
        return evaluation.CrossEncoderClassificationEvaluator(pairs, marks, write_csv=False, show_progress_bar=False)
    return evaluation.CrossEncoderCorrelationEvaluator(pairs, marks, write_csv=False, show_progress_bar=False)
