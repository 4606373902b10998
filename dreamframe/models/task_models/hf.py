"""Text classifiers in this process through transformers: their own labels, or any labels by an entailment model (zero-shot)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dreamframe.errors import SettingError
from dreamframe.models.base import Client, setting, steering
from dreamframe.models.local.batching import Batcher
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.settings import LocalSettings, shown
from dreamframe.models.request import Completion, Request
from dreamframe.models.task_models.base import Reading, TaskModel

if TYPE_CHECKING:
    from dreamframe.models.local.batching import Batcher
    from dreamframe.models.task_models.hf_engine import Reader, Text


@dataclass(frozen=True)
class HFClassifier(LocalSettings, TaskModel):
    """A text classifier in this process. Needs `pip install 'dreamframe[local]'`.

    `model` is a folder, a Hub id (its `revision` resolved to a commit), or a model that the plan trains; `adapter` likewise. Labels that the verb names
    must be labels of the model; a model that was trained on entailment takes any labels (zero-shot, https://arxiv.org/abs/1909.00161), each put into
    `hypothesis`. With `multi_label=True` a row gets every label whose score is at least `threshold`, each scored by itself; else the best one, whose
    score is its share among the labels asked about.

    A text longer than the model reads is a failed row; with `truncate=True` its beginning is classified.

    >>> dr.HFClassifier("me/moods", threshold=0.4).label
    'moods'
    """

    model: Any
    adapter: Any = setting()
    multi_label: bool = setting(False)
    threshold: float = setting(0.5)
    hypothesis: str = setting("This text is about {}.")
    truncate: bool = setting(False)
    dtype: str | None = setting()
    revision: str | None = setting()
    trust_remote_code: bool = setting(False)
    device: Any = steering()  # "cuda:0"; a list: a process for each; None: the best there is
    replicas: int | None = steering()  # processes, each with the whole model; None: one for each device
    threads: int | None = steering()  # on a CPU; None: the cores that are free when the model is loaded
    batch_tokens: int | None = steering()
    concurrency: int = steering(256)

    provider: ClassVar[str] = "hf-classifier"
    tells_scores: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_local()
        if not 0 <= self.threshold <= 1:
            raise SettingError(f"{type(self).__name__}: threshold={self.threshold!r}; a score is between 0 and 1.")
        if self.hypothesis.count("{}") != 1:
            raise SettingError(f"{type(self).__name__}: hypothesis={self.hypothesis!r} needs one {{}}, where the label goes.")

    @property
    def label(self) -> str:
        return shown(self.adapter if self.adapter is not None else self.model)

    def client(self) -> Client:
        return HFClassifierClient(self)

    @property
    def reading(self) -> Reading:
        """How texts are read and answered about."""
        return Reading(self.label, self.hypothesis, self.multi_label, self.threshold, self.truncate, self.threads)


class HFClassifierClient(Resident[Any]):
    """The loaded model and the texts that wait for it."""

    settings: HFClassifier

    async def answer(self, engine: tuple[Reader, Batcher[Text, Completion]], request: Request) -> Completion:
        reader, batcher = engine
        text = reader.prepare(request)
        return await batcher.submit(text, text.n_tokens)

    async def release(self, engine: tuple[Reader, Batcher[Text, Completion]]) -> None:
        reader, batcher = engine
        await batcher.close()
        reader.release()

    @property
    def n_bytes(self) -> int:
        return self.settings.n_bytes

    def load(self) -> tuple[Reader, Batcher[Text, Completion]]:
        from dreamframe.models.task_models.hf_engine import Reader

        return self.batched(Reader.of(self.settings.to_load(), self.settings.reading))

    def batched(self, reader: Reader) -> tuple[Reader, Batcher[Text, Completion]]:
        """A loaded model with what feeds it batches."""
        budget = self.settings.batch_tokens or reader.default_budget
        return reader, Batcher(reader.answer, budget=budget, is_out_of_memory=reader.is_out_of_memory, name=self.settings.label)
