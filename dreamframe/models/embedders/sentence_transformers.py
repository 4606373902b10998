"""Embedders in this process through sentence-transformers: folders, Hub ids, and models that the plan trains."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.models.base import Artefact, Client, setting, steering
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.embedders.dimensions import vector_length
from dreamframe.models.local.memory import Resident, n_bytes_of, unload
from dreamframe.models.local.replicas import Replicas, devices_of
from dreamframe.models.local.weights import weights_identity, weights_path
from dreamframe.models.pinned import OfWeights
from dreamframe.models.request import Completion, Request

if TYPE_CHECKING:
    from dreamframe.models.embedders.sentence_engine import Encoder, Text
    from dreamframe.models.local.batching import Pool

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class SentenceTransformer(OfWeights, Embedder):
    """An embedding model in this process. Needs `pip install 'dreamframe[embed]'`.

    `model` is a folder, a Hub id (its `revision` resolved to a commit), or a model that the plan trains. `prompt` is put before each text, once, as it
    is; `prompt_name` names one of the model's own; with neither, the model's default. `dimensions` keeps the first so many numbers of each vector, for
    models that were trained to be cut (https://arxiv.org/abs/2205.13147). Vectors have length one unless `normalize=False`.

    A text longer than the model reads is a failed row; with `truncate=True` its beginning is embedded. `max_tokens` lets it read less than it can.

    Up to `concurrency` texts are pooled, sorted by length, and encoded in batches of at most `batch_tokens` tokens, padding included; small sorted
    batches are the fastest on a CPU. Where `pip install onnxruntime onnx` was run, encoders are computed there by onnxruntime, a third faster and with the
    same vectors (a trial at loading compares them, to 1e-4). After Reimers and Gurevych 2019 (https://arxiv.org/abs/1908.10084).

    >>> dr.SentenceTransformer("intfloat/e5-small-v2", prompt="query: ", dimensions=128).dim
    128
    """

    model: Any
    prompt: str | None = setting()
    prompt_name: str | None = setting()
    normalize: bool = setting(True)
    truncate: bool = setting(False)
    max_tokens: int | None = setting()
    dimensions: int | None = setting()
    dtype: str | None = setting()
    revision: str | None = setting()
    trust_remote_code: bool = setting(False)
    device: Any = steering()  # "cuda:0"; a list: a process for each; None: the best there is
    threads: int | None = steering()  # on a CPU; None: the cores that are free when the model is loaded
    batch_tokens: int | None = steering()
    backend: str | None = steering()  # "torch" or "onnx"; None: onnxruntime where it is installed and knows the model, on a CPU in float32
    concurrency: int = steering(256)

    provider: ClassVar[str] = "sentence-transformers"
    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/1908.10084",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "device", devices_of(self.device, who=type(self).__name__))
        who = type(self).__name__
        if isinstance(self.model, Path):
            object.__setattr__(self, "model", str(self.model))
        if self.backend not in (None, "torch", "onnx"):
            raise SettingError(f"{who}: backend={self.backend!r} is not 'torch' or 'onnx'.")
        if self.dtype not in (None, *DTYPES):
            raise SettingError(f"{who}: dtype={self.dtype!r} is not one of {', '.join(map(repr, DTYPES))}.")
        if self.prompt is not None and self.prompt_name is not None:
            raise SettingError(f"{who}: prompt= is a text of your own, prompt_name= one of the model's; give one of them.")
        for name in ("max_tokens", "dimensions", "batch_tokens", "concurrency", "threads"):
            if (value := getattr(self, name)) is not None and (not isinstance(value, int) or value < 1):
                raise SettingError(f"{who}: {name}={value!r}; give a whole number of 1 or more.")

    @property
    def dim(self) -> int:
        if self.dimensions is not None:
            return self.dimensions
        if (told := self.told()) is not None:
            return told
        return vector_length(self.model, revision=self.revision, who=type(self).__name__)

    @property
    def label(self) -> str:
        if isinstance(self.model, Artefact):
            return Path(self.model.path).name
        return self.model.rstrip("/").rpartition("/")[2] if isinstance(self.model, str) else str(self.model.step.label)

    def identity_fields(self) -> Mapping[str, object]:
        seen = dict(super().identity_fields())
        revision = seen.pop("revision")
        if isinstance(self.model, str):
            seen["model"] = weights_identity(self.model, revision, token=self.hub_token)  # type: ignore[arg-type]
        return seen

    def pool_key(self) -> str:
        own = [self.prompt, self.prompt_name, self.normalize, self.truncate, self.max_tokens, self.dimensions, self.dtype, self.revision]
        steered = [self.trust_remote_code, self.device, self.threads, self.batch_tokens, self.backend, self.concurrency]
        return f"sentence-transformers {self.weights_key()} {own} {steered}"

    @property
    def place(self) -> str:
        """The folder or the Hub id of the weights."""
        place: str = self.model.path if isinstance(self.model, Artefact) else self.model
        return place

    def unload(self) -> bool:
        """Give back the memory of the loaded model; the next text loads it again. False where it was not loaded."""
        return unload(self)

    def open(self) -> Client:
        for library in ("torch", "sentence_transformers"):
            if importlib.util.find_spec(library) is None:
                raise MissingExtraError(library.replace("_", "-"), extra="embed", needed_for=f"dr.{type(self).__name__}")
        return Replicas(self, self.device) if isinstance(self.device, tuple) else SentenceTransformerClient(self)


class SentenceTransformerClient(Resident[Any]):
    """The loaded model and the pool of texts that wait for it."""

    settings: SentenceTransformer

    async def answer(self, engine: tuple[Encoder, Pool[Text, Completion]], request: Request) -> Completion:
        encoder, pool = engine
        text = encoder.prepare(request.prompt)
        return await pool.submit(text, text.n_tokens)

    async def release(self, engine: tuple[Encoder, Pool[Text, Completion]]) -> None:
        encoder, pool = engine
        await pool.close()
        encoder.release()

    @property
    def n_bytes(self) -> int:
        found = weights_path(self.settings.place)
        return 0 if found is None else n_bytes_of(found)

    def load(self) -> tuple[Encoder, Pool[Text, Completion]]:
        from dreamframe.models.embedders.sentence_engine import Encoder
        from dreamframe.models.local.batching import Pool

        encoder = Encoder.of(self.settings)
        budget = self.settings.batch_tokens or encoder.default_budget
        return encoder, Pool(encoder.answer, budget=budget, is_out_of_memory=encoder.is_out_of_memory, name=self.settings.label)
