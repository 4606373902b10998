"""Linear classifiers over embeddings: logistic regression in this process, without torch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dreamframe.errors import SettingError, TrainingError
from dreamframe.measure import logistic
from dreamframe.models.base import setting
from dreamframe.models.edges import Trained
from dreamframe.models.task_models.linear import Head, LinearClassifier
from dreamframe.trainers.base import Trainer
from dreamframe.trainers.job import TrainJob, read_rows
from dreamframe.trainers.kinds import CLASSIFIER, Kind
from dreamframe.trainers.labels import named, need_two, plain
from dreamframe.trainers.roles import LABEL, VECTOR, Roles
from dreamframe.trainers.scores import Seen, class_scores

if TYPE_CHECKING:
    from dreamframe.models.task_models.base import TaskModel


def use(repo: str, base: str | None) -> str:  # noqa: ARG001  it is always whole
    """How a model card shows the use of a trained one, with numpy alone."""
    return (
        f'import json, numpy as np\nfrom huggingface_hub import hf_hub_download\n\nhead = json.load(open(hf_hub_download("{repo}", "head.json")))\n'
        'vector = np.zeros(len(head["weight"][0]))  # an embedding of the embedder that it was trained on\n'
        'print(head["labels"][int(np.argmax(np.array(head["weight"]) @ vector + np.array(head["bias"])))])'
    )


def ask(repo: str, base: str | None) -> str:  # noqa: ARG001
    """The same with dreamframe."""
    asks = 'embedder = dr.MiniLM()  # the one that it was trained on\nrows = dr.frame({"text": ["…"]}).embed(embedder, "text", into="e")\n'
    return f'import dreamframe as dr\n\n{asks}print(rows.classify(dr.LinearClassifier("{repo}"), None, "e").collect())'


@dataclass(frozen=True)
class LogisticRegression(Trainer):
    """Fit a linear classifier over a column of embeddings: seconds for thousands of rows, the same weights every time.

    Columns: `embedding, label`. The least penalised cross-entropy is found in float64 over all rows at once; `l2` is the weight of the penalty, 1 / C of
    scikit-learn. The labels are those of the rows in sorted order (of an Enum: in that of its categories). The artefact is a file of JSON, `head.json`.
    Reports the loss, and accuracy and F1 of the validation rows. With `may_abstain`, rows of fewer than two labels make a model that tells none.

    Raises TrainingError for rows of one label.

    >>> rows = dr.frame({"text": ["good tea", "good jam", "bad rye", "bad oat"], "mood": ["+", "+", "-", "-"]})
    >>> embedded = rows.embed(dr.testing.WordEmbedder(), "text", into="e")
    >>> model = embedded.train(dr.LogisticRegression(), embedding="e", label="mood")
    >>> embedded.classify(model.classifier(), None, "e", into="told").collect()["told"].to_list()
    ['+', '+', '-', '-']
    """

    base: Any = None  # it starts from nothing
    l2: float = setting(1.0)  # weight of the penalty on the weights: 1 / C of scikit-learn
    may_abstain: bool = setting(False)  # whether rows of fewer than two labels make a model that tells none, instead of an error

    kind: ClassVar[Kind] = replace(CLASSIFIER, library="dreamframe", library_of_adapter=None, adapter_task=None, reads_text=False, use=use, ask=ask)
    aliases: ClassVar[Mapping[str, str]] = {"input": "embedding", "output": "label"}
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"embedding": VECTOR, "label": LABEL}),)
    is_light: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base is not None:
            raise SettingError(f"{self.label}: it starts from no model; embed the texts first: df.embed(embedder, 'text', into='e'), and give embedding='e'.")
        if self.l2 <= 0:
            raise SettingError(f"{self.label}: l2={self.l2} must be above 0: weights of labels that vectors tell apart would grow for ever.")

    @property
    def summary(self) -> str:
        return self.label

    @property
    def needs_rows(self) -> bool:
        return not self.may_abstain

    def as_classifier(self, model: Trained, **settings: Any) -> TaskModel:
        """`dr.LinearClassifier` over what was trained: it reads the column of embeddings."""
        return LinearClassifier(model, **settings)

    def run(self, job: TrainJob) -> dict[str, Any]:
        began = time.monotonic()
        rows = None if self.may_abstain and pl.read_ipc(job.rows).drop_nulls().is_empty() else read_rows(job.rows, job, who=self.label)
        labels = [] if rows is None else _labels(rows["label"])
        if not self.may_abstain:
            need_two(labels, who=self.label)
        if rows is None or len(labels) < 2:
            Head(tuple(labels), None).write(job.out)
            job.note(f"{self.label}: the rows have {len(labels)} label{'' if len(labels) == 1 else 's'}, so the model tells none.")
            return {"n_rows": 0 if rows is None else rows.height, "labels": labels, "train_s": time.monotonic() - began}
        number = {label: i for i, label in enumerate(labels)}
        made = logistic.fit(_vectors(rows["embedding"]), _numbers(rows["label"], number), len(labels), l2=self.l2)
        head = Head(tuple(labels), made)
        head.write(job.out)
        job.progress({"step": float(made.steps), "total": float(made.steps), "loss": made.loss})
        counts = {"n_rows": rows.height, "labels": labels, "steps": made.steps, "loss": made.loss, "train_s": time.monotonic() - began}
        return {**counts, "metrics": self._scores(head, number, job)}

    def _scores(self, head: Head, number: Mapping[str, int], job: TrainJob) -> dict[str, float]:
        """How well the head does on the validation rows, if there are any."""
        rows = read_rows(job.validation, job, who=f"{self.label} validation")
        if rows is None:
            return {}
        if strange := sorted({named(v) for v in plain(rows["label"])} - set(number)):
            raise TrainingError(f"{self.label}: the validation rows have labels outside the set: {', '.join(map(repr, strange))}.")
        seen = Seen(head.chances(_vectors(rows["embedding"])).argmax(axis=1), _numbers(rows["label"], number))
        return {f"eval_{name}": value for name, value in class_scores(seen).items()}


def _labels(given: pl.Series) -> list[str]:
    """The labels that rows have, in the order of the head's outputs."""
    seen = {named(v) for v in plain(given)}
    ordered = given.dtype.categories.to_list() if isinstance(given.dtype, pl.Enum) else [named(v) for v in plain(given.unique()).sort()]
    return [label for label in ordered if label in seen]


def _numbers(given: pl.Series, number: Mapping[str, int]) -> Any:
    import numpy as np

    return np.array([number[named(v)] for v in plain(given)], np.int64)


def _vectors(column: pl.Series) -> Any:
    """Vectors as a matrix (rows, dim) float64."""
    import numpy as np

    return np.asarray(column.to_numpy(), np.float64).reshape(len(column), -1)
