"""Linear classifiers over vectors, as `dr.LogisticRegression` trains them: a file of JSON, and a product of matrices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dreamframe.errors import BadRequestError, CorruptFileError, SettingError, listed
from dreamframe.measure.logistic import Fitted, probabilities
from dreamframe.models.base import Client, setting, steering
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.settings import LocalSettings, shown
from dreamframe.models.request import Completion, Request
from dreamframe.models.task_models.base import TaskModel, labels_of, prediction, wants_scores, with_scores

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

HEAD_FILE = "head.json"


@dataclass(frozen=True)
class LinearClassifier(LocalSettings, TaskModel):
    """A linear classifier over a column of vectors, in this process, as `dr.LogisticRegression` trains it.

    `model` is a folder, a Hub id (its `revision` resolved to a commit), or a model that the plan trains. The column that it reads holds vectors of the
    embedder that it was trained on: `df.embed(embedder, "text", into="e").classify(model, None, "e")`. The score is the label's probability, among the
    labels asked about. A vector of another length is a failed row.

    >>> dr.LinearClassifier("me/moods").label
    'moods'
    """

    model: Any
    revision: str | None = setting()
    concurrency: int = steering(256)

    dtype = None  # it has no weights of another precision
    trust_remote_code = False
    provider: ClassVar[str] = "linear-classifier"
    tells_scores: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ()
    counts: ClassVar[tuple[str, ...]] = ("concurrency",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_local()

    @property
    def label(self) -> str:
        return shown(self.model)

    def client(self) -> Client:
        return LinearClient(self)


class LinearClient(Resident["Head"]):
    """The loaded head."""

    settings: LinearClassifier

    async def answer(self, engine: Head, request: Request) -> Completion:
        labels = labels_of(request.question)
        return Completion(engine.said(request.prompt, labels, has_scores=wants_scores(request.question)), model=self.settings.label)

    async def release(self, engine: Head) -> None:
        """Nothing but a few numbers."""

    @property
    def n_bytes(self) -> int:
        return 0

    def load(self) -> Head:
        return Head.of(self.settings.to_load().folder())


@dataclass(frozen=True)
class Head:
    """A loaded head: its labels, in the order of its outputs, and the weights. One of fewer than two labels tells none."""

    labels: tuple[str, ...]
    fitted: Fitted | None

    @classmethod
    def of(cls, folder: Path) -> Head:
        """The head in a folder. Raises SettingError where there is none, CorruptFileError where it cannot be read."""
        import numpy as np

        if not (folder / HEAD_FILE).is_file():
            raise SettingError(f"LinearClassifier: {folder} holds no linear classifier: it has no {HEAD_FILE}.")
        try:
            held = json.loads((folder / HEAD_FILE).read_text(encoding="utf-8"))
            labels = tuple(str(label) for label in held["labels"])
            if len(labels) < 2:
                return cls(labels, None)
            weight, bias = np.array(held["weight"], np.float64), np.array(held["bias"], np.float64)
        except (ValueError, KeyError, TypeError) as exc:
            raise CorruptFileError(f"{folder / HEAD_FILE} is not a linear classifier: {type(exc).__name__}: {exc}") from exc
        if weight.ndim != 2 or bias.shape != (len(labels),) or len(weight) != len(labels) or not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise CorruptFileError(f"{folder / HEAD_FILE} is not a linear classifier: {len(labels)} labels, weights of {weight.shape}, biases of {bias.shape}.")
        return cls(labels, Fitted(weight, bias, 0.0, 0))

    def write(self, folder: Path) -> None:
        """Keep it in a folder."""
        made: Mapping[str, Any] = {"labels": list(self.labels)}
        if self.fitted is not None:
            made = {**made, "bias": self.fitted.bias.tolist(), "weight": self.fitted.weight.tolist()}
        (folder / HEAD_FILE).write_text(json.dumps(made, ensure_ascii=False) + "\n", encoding="utf-8")

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return 0 if self.fitted is None else int(self.fitted.weight.shape[1])

    def chances(self, vectors: NDArray[np.float64]) -> NDArray[np.float64]:
        """The probability of each label (rows, labels)."""
        assert self.fitted is not None
        return probabilities(self.fitted, vectors)

    def said(self, text: str, labels: Sequence[str] | None, *, has_scores: bool) -> str:
        """The answer about a vector, which is written as JSON. Raises BadRequestError for anything else."""
        import numpy as np

        try:
            vector = np.array(json.loads(text), np.float64)
        except (ValueError, TypeError):
            vector = np.zeros(0)
        if self.fitted is None:
            raise BadRequestError(f"the model was trained on rows of {len(self.labels)} labels, so it tells none")
        if vector.shape != (self.dim,) or not np.isfinite(vector).all():
            what = f"{vector.size} numbers" if vector.ndim == 1 and vector.size else "no list of numbers"
            raise BadRequestError(f"the model reads vectors of {self.dim} numbers, and this is {what}; give the column of embeddings that it was trained on")
        if labels is not None and not set(labels) <= set(self.labels):
            raise BadRequestError(f"the model knows {listed(self.labels)}, and not {listed([one for one in labels if one not in self.labels])}")
        found = dict(zip(self.labels, self.chances(vector[None, :])[0].tolist(), strict=True))
        among = {label: found[label] for label in (self.labels if labels is None else labels)}
        whole = sum(among.values()) or 1.0
        scores = sorted(((label, p / whole) for label, p in among.items()), key=lambda pair: -pair[1])
        answer = prediction(*scores[0])
        return with_scores(answer, scores) if has_scores else answer
