"""Task models that only trainings make: reward models, cross-encoders, and few-shot classifiers over an embedder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from dreamframe.models.base import Client
from dreamframe.models.request import Completion
from dreamframe.models.task_models.hf import HFClassifier, HFClassifierClient

if TYPE_CHECKING:
    from dreamframe.models.local.batching import Batcher
    from dreamframe.models.task_models.hf_engine import Reader, Text


@dataclass(frozen=True)
class RewardModel(HFClassifier):
    """A reward model in this process, as `dr.Reward` trains it. `df.classify(reward, None, "text", into="r")` puts the reward into `r_score`.

    A text that is a JSON list of role and content is read as a chat (prompt and answer), any other as it is: as the model was trained, with or without
    prompts.

    >>> dr.RewardModel("me/judge").label
    'judge'
    """

    provider: ClassVar[str] = "reward-model"
    tells_scores: ClassVar[bool] = False

    def client(self) -> Client:
        return RewardClient(self)


@dataclass(frozen=True)
class CrossEncoder(HFClassifier):
    """A cross-encoder in this process, as `dr.CrossEncoderTrainer` trains it: it reads two texts together.

    The column it reads holds lists of two texts: `df.with_columns(pair=pl.concat_list("query", "doc")).classify(model, None, "pair", into="fit")` puts the
    score, from 0 to 1, into `fit_score`; of one that tells classes, the class into `fit`. With `truncate=True` the longer text of a pair is cut.

    >>> dr.CrossEncoder("me/reranker").label
    'reranker'
    """

    provider: ClassVar[str] = "cross-encoder"

    def client(self) -> Client:
        return PairClient(self)


@dataclass(frozen=True)
class SentenceClassifier(HFClassifier):
    """A few-shot classifier in this process, as `dr.SetFit` trains it. Needs `pip install 'dreamframe[embed]'`.

    >>> dr.SentenceClassifier("me/moods").label
    'moods'
    """

    provider: ClassVar[str] = "sentence-classifier"
    needs: ClassVar[tuple[str, ...]] = ("torch", "sentence_transformers")
    pip_extra: ClassVar[str] = "embed"

    def client(self) -> Client:
        return SentenceClient(self)


class TrainedClient(HFClassifierClient):
    """The loaded model; `reader` is the class that reads for it."""

    reader: ClassVar[str]

    def load(self) -> tuple[Reader, Batcher[Text, Completion]]:
        from dreamframe.models.task_models import trained_engine

        return self.batched(getattr(trained_engine, self.reader).of(self.settings.to_load(), self.settings.reading))


class RewardClient(TrainedClient):
    """The loaded reward model."""

    reader = "RewardReader"


class PairClient(TrainedClient):
    """The loaded cross-encoder."""

    reader = "PairReader"


class SentenceClient(TrainedClient):
    """The loaded embedder with its head."""

    reader = "SentenceReader"
