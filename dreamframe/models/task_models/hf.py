"""Text classifiers in this process through transformers: their own labels, or any labels by an entailment model (zero-shot)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.models.base import Artefact, Client, setting, steering
from dreamframe.models.llms.transformers import DTYPES, adapter_identity
from dreamframe.models.local.memory import Resident, n_bytes_of, unload
from dreamframe.models.local.replicas import Replicas, devices_of
from dreamframe.models.local.weights import weights_identity, weights_path
from dreamframe.models.pinned import OfWeights
from dreamframe.models.request import Completion, Request
from dreamframe.models.task_models.base import TaskModel

if TYPE_CHECKING:
    from dreamframe.models.local.batching import Pool
    from dreamframe.models.task_models.hf_engine import Reader, Text


@dataclass(frozen=True)
class HFClassifier(OfWeights, TaskModel):
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
    threads: int | None = steering()  # on a CPU; None: the cores that are free when the model is loaded
    batch_tokens: int | None = steering()
    concurrency: int = steering(256)

    provider: ClassVar[str] = "hf-classifier"

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", devices_of(self.device, who="HFClassifier"))
        for name in ("model", "adapter"):
            if isinstance(value := getattr(self, name), Path):
                object.__setattr__(self, name, str(value))
        if self.dtype not in (None, *DTYPES):
            raise SettingError(f"HFClassifier: dtype={self.dtype!r} is not one of {', '.join(map(repr, DTYPES))}.")
        if not 0 <= self.threshold <= 1:
            raise SettingError(f"HFClassifier: threshold={self.threshold!r}; a score is between 0 and 1.")
        if self.hypothesis.count("{}") != 1:
            raise SettingError(f"HFClassifier: hypothesis={self.hypothesis!r} needs one {{}}, where the label goes.")
        for name in ("batch_tokens", "concurrency", "threads"):
            if (value := getattr(self, name)) is not None and (not isinstance(value, int) or value < 1):
                raise SettingError(f"HFClassifier: {name}={value!r}; give a whole number of 1 or more.")

    @property
    def label(self) -> str:
        shown = self.adapter if self.adapter is not None else self.model
        if isinstance(shown, Artefact):
            return Path(shown.path).name
        return shown.rstrip("/").rpartition("/")[2] if isinstance(shown, str) else str(shown.step.label)

    def identity_fields(self) -> Mapping[str, object]:
        seen = dict(super().identity_fields())
        revision = seen.pop("revision")
        if isinstance(self.model, str):
            seen["model"] = weights_identity(self.model, revision, token=self.hub_token)  # type: ignore[arg-type]
        if isinstance(self.adapter, str):
            seen["adapter"] = adapter_identity(self.adapter, self.hub_token)
        return seen

    def pool_key(self) -> str:
        own = [self.multi_label, self.threshold, self.hypothesis, self.truncate, self.dtype, self.revision, self.trust_remote_code]
        steered = [self.device, self.threads, self.batch_tokens, self.concurrency]
        return f"{self.provider} {self.weights_key()} {own} {steered}"

    def unload(self) -> bool:
        """Give back the memory of the loaded model; the next text loads it again. False where it was not loaded."""
        return unload(self)

    def open(self) -> Client:
        for library in ("torch", "transformers"):
            if importlib.util.find_spec(library) is None:
                raise MissingExtraError(library, extra="local", needed_for="dr.HFClassifier")
        return Replicas(self, self.device) if isinstance(self.device, tuple) else HFClassifierClient(self)


def place(model: Any) -> str:
    """The folder or the Hub id of weights; empty for none."""
    found: str = model.path if isinstance(model, Artefact) else model or ""  # as it is: kept weights know what they are
    return found


class HFClassifierClient(Resident[Any]):
    """The loaded model and the pool of texts that wait for it."""

    settings: HFClassifier

    async def answer(self, engine: tuple[Reader, Pool[Text, Completion]], request: Request) -> Completion:
        reader, pool = engine
        text = reader.prepare(request)
        return await pool.submit(text, text.n_tokens)

    async def release(self, engine: tuple[Reader, Pool[Text, Completion]]) -> None:
        reader, pool = engine
        await pool.close()
        reader.release()

    @property
    def n_bytes(self) -> int:
        found = weights_path(place(self.settings.model))
        return 0 if found is None else n_bytes_of(found)

    def load(self) -> tuple[Reader, Pool[Text, Completion]]:
        from dreamframe.models.task_models.hf_engine import Reader

        return self.pooled(Reader.of(self.settings))

    def pooled(self, reader: Reader) -> tuple[Reader, Pool[Text, Completion]]:
        """A loaded model with the pool that feeds it."""
        from dreamframe.models.local.batching import Pool

        budget = self.settings.batch_tokens or reader.default_budget
        return reader, Pool(reader.answer, budget=budget, is_out_of_memory=reader.is_out_of_memory, name=self.settings.label)
