"""Few-shot classifiers: an embedder learns on pairs of texts which belong together, then a linear head learns the labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import polars as pl

from dreamframe.errors import MissingExtraError, SettingError, TrainingError, listed
from dreamframe.models.base import setting
from dreamframe.models.edges import Trained
from dreamframe.models.task_models.trained import SentenceClassifier
from dreamframe.trainers import hf
from dreamframe.trainers.config_fields import package_folder
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.kinds import CLASSIFIER, Kind
from dreamframe.trainers.labels import named, need_two, plain
from dreamframe.trainers.quiet import alone
from dreamframe.trainers.roles import LABELS, TEXT, Roles
from dreamframe.trainers.scores import Seen, class_scores, label_set_scores
from dreamframe.trainers.sentences import SentenceTrainer, without_card

if TYPE_CHECKING:
    from dreamframe.models.task_models.base import TaskModel

SAMPLING = ("oversampling", "undersampling", "unique")
LABELS_FILE = "labels.json"


def use(repo: str, base: str | None) -> str:  # noqa: ARG001  it is always whole
    """How a model card shows the use of a trained one."""
    return f'from setfit import SetFitModel\n\nmodel = SetFitModel.from_pretrained("{repo}")\nprint(model.predict(["…"]))'


@dataclass(frozen=True)
class SetFit(SentenceTrainer):
    """Make a classifier of a few rows a label (https://arxiv.org/abs/2209.11055).

    Columns: `text, label`; a list column as `label` means any number of labels a row. `iterations` pairs of equal and of different label are drawn
    for each row; without it `sampling` decides: each pair ("unique"), or as many equal as different ones. With neither `epochs` nor `steps` it goes
    once through the pairs. The artefact is one sentence-transformers model whose last layer gives a logit for each label of `labels.json` (no pickle).

    >>> dr.SetFit("me/embedder", iterations=20).roles({"input": "review"}, pl.Schema({"review": pl.String, "label": pl.Boolean}))
    {'text': 'review', 'label': 'label'}
    """

    iterations: int | None = setting()  # pairs of equal and of different label drawn for each row; None: `sampling` decides
    sampling: Literal["oversampling", "undersampling", "unique"] = setting("oversampling")  # which pairs are drawn; "unique": each once

    config: ClassVar[str] = "sentence_transformers.sentence_transformer.training_args:SentenceTransformerTrainingArguments"
    kind: ClassVar[Kind] = replace(CLASSIFIER, library="setfit", library_of_adapter="setfit", use=use)
    aliases: ClassVar[Mapping[str, str]] = {"input": "text", "output": "label"}
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"text": TEXT, "label": LABELS}),)
    usual: ClassVar[Mapping[tuple[str, ...], str]] = {("sentence_1", "sentence_2", "label"): "CosineSimilarityLoss"}
    cites: ClassVar[tuple[str, ...]] = ("SetFit (Tunstall et al. 2022) https://arxiv.org/abs/2209.11055",)

    def _refuse_impossible(self) -> None:
        super()._refuse_impossible()
        if self.sampling not in SAMPLING:
            raise SettingError(f"SetFit: sampling={self.sampling!r} is not one of {listed(SAMPLING)}.")
        if self.iterations is not None and self.iterations < 1:
            raise SettingError(f"SetFit: iterations={self.iterations} must be 1 or more.")

    def check(self, columns: Mapping[str, str], schema: pl.Schema, *, has_validation: bool = True) -> None:
        if package_folder("setfit") is None or package_folder("sklearn") is None:
            raise MissingExtraError("setfit", extra="setfit", needed_for="dr.SetFit")
        super().check(columns, schema, has_validation=has_validation)

    def as_classifier(self, model: Trained, **settings: Any) -> TaskModel:
        """`dr.SentenceClassifier` over what was trained; rows that had lists of labels get any number of them."""
        several = isinstance(model.step.inputs[0].schema[dict(model.step.columns)["label"]], pl.List)
        return SentenceClassifier(model, **{"multi_label": several, **settings})

    def fit(self, job: TrainJob) -> dict[str, Any]:
        with alone():
            from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments

            model = self.open_base(job, SentenceTransformer)
            rows, validation = self.texts(job.rows, job, model), self.texts(job.validation, job, model)
            assert rows is not None
            labels = self._labels(rows["label"])
            refuse_everywhere(rows["label"], labels)
            made = self._pairs(rows, labels, who=self.label)
            own = {} if self.steps or self.epochs else {"num_train_epochs": 1.0}
            trainer = without_card(SentenceTransformerTrainer)(
                model=model,
                args=SentenceTransformerTrainingArguments(**hf.arguments(self, job, **own)),
                train_dataset=hf.dataset(made),
                eval_dataset=None if validation is None else hf.dataset(self._pairs(validation, labels, who=f"{self.label} validation")),
                loss=self.loss_over(model, tuple(made.columns)),
                callbacks=hf.callbacks(self, job),
            )
            scores: dict[str, float] = {}

            def keep(trained: Any) -> None:
                self.keep(trained, job, SentenceTransformer)
                scores.update(self._add_head(job, rows, validation, labels))

            summary = hf.run(trainer, self, job, n_rows=rows.height, row_by_row=False, keep=keep, labels=labels, n_pairs=made.height)
            return {**summary, "metrics": {**summary["metrics"], **scores}}

    def _labels(self, given: pl.Series) -> list[str]:
        values = plain(given.explode().drop_nulls() if isinstance(given.dtype, pl.List) else given).unique().sort()
        names = [named(v) for v in values]
        need_two(names, who="SetFit")
        return names

    def _marks(self, given: pl.Series, labels: list[str]) -> Any:
        """Numbers of the labels (rows,), or for lists of labels 0 and 1 for each label (rows, labels)."""
        import numpy as np

        number = {v: i for i, v in enumerate(labels)}
        held = [[named(v) for v in (row if isinstance(row, list) else [row])] for row in plain(given).to_list()]
        if strange := {v for row in held for v in row} - set(number):
            raise TrainingError(f"SetFit: the validation rows have labels outside the set: {listed(sorted(strange))}. The labels are {listed(labels)}.")
        if not isinstance(given.dtype, pl.List):
            return np.array([number[row[0]] for row in held])
        return np.array([[int(label in row) for label in labels] for row in held])

    def _pairs(self, rows: pl.DataFrame, labels: list[str], *, who: str) -> pl.DataFrame:
        """Pairs of texts with 1 for a common label and 0 for none, as SetFit draws them."""
        from setfit.sampler import ContrastiveDataset

        rows = rows.sample(fraction=1.0, shuffle=True, seed=self.seed)  # the library draws pairs by position, in one order for all seeds
        marks = self._marks(rows["label"], labels)
        drawn = ContrastiveDataset(
            rows["text"].to_list(), list(marks), multilabel=marks.ndim == 2, num_iterations=self.iterations, sampling_strategy=self.sampling,
            max_pairs=self.steps * self.batch_size if self.steps else -1,
        )  # fmt: skip
        if not drawn.pos_pairs or not drawn.neg_pairs:
            raise TrainingError(f"{who}: it makes pairs of rows: at least two rows must have the same label, and two another one.")
        return pl.DataFrame(list(drawn), schema={"sentence_1": pl.String, "sentence_2": pl.String, "label": pl.Float32})

    def _add_head(self, job: TrainJob, rows: pl.DataFrame, validation: pl.DataFrame | None, labels: list[str]) -> dict[str, float]:
        """Fit the linear head on the trained embeddings and make it the model's last layer. Gives the validation scores."""
        import torch
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Dense

        body = SentenceTransformer(str(job.out), device="cpu", local_files_only=True)
        weight, bias = _linear(body.encode(rows["text"].to_list(), show_progress_bar=False), self._marks(rows["label"], labels))
        head = Dense(weight.shape[1], weight.shape[0], activation_function=torch.nn.Identity(), init_weight=weight, init_bias=bias)
        whole = SentenceTransformer(modules=[*body, head], device="cpu")
        whole.save_pretrained(str(job.out), create_model_card=False)
        several = isinstance(rows.schema["label"], pl.List)
        (Path(job.out) / LABELS_FILE).write_text(json.dumps({"labels": labels, "several": several}, ensure_ascii=False) + "\n")
        if validation is None:
            return {}

        logits = whole.encode(validation["text"].to_list(), show_progress_bar=False)
        seen = Seen(logits if several else logits.argmax(-1), self._marks(validation["label"], labels))
        return {f"eval_{k}": v for k, v in (label_set_scores if several else class_scores)(seen).items()}


def refuse_everywhere(given: pl.Series, labels: list[str]) -> None:
    """Raise TrainingError where every row has a label among its own, so that there is nothing to learn about it.

    >>> refuse_everywhere(pl.Series([["a", "b"], ["b"]]), ["a", "b"])
    Traceback (most recent call last):
    dreamframe.errors.TrainingError: SetFit: all 2 rows have the label 'b', so there is nothing that it is told from.
    """
    if isinstance(given.dtype, pl.List):
        held = [{named(v) for v in row} for row in plain(given).to_list()]
        if always := [label for label in labels if all(label in row for row in held)]:
            raise TrainingError(f"SetFit: all {len(held)} rows have the label {listed(always)}, so there is nothing that it is told from.")


def _linear(vectors: Any, marks: Any) -> tuple[Any, Any]:
    """Weights (labels, dim) and biases (labels,) of a logistic regression: softmax of the logits for one label a row, a sigmoid each for several."""
    import numpy as np
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    if marks.ndim == 2:
        each = OneVsRestClassifier(LogisticRegression()).fit(vectors, marks).estimators_
        weight, bias = np.concatenate([e.coef_ for e in each]), np.concatenate([e.intercept_ for e in each])
    else:
        head = LogisticRegression().fit(vectors, marks)
        weight, bias = head.coef_, head.intercept_
        if weight.shape[0] == 1:  # of two labels, only the second one has a logit of its own
            weight, bias = np.concatenate([0 * weight, weight]), np.concatenate([0 * bias, bias])
    return torch.tensor(weight, dtype=torch.float32), torch.tensor(bias, dtype=torch.float32)
