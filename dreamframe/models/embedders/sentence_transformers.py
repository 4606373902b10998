"""Embedders in this process through sentence-transformers: folders, Hub ids, and models that the plan trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from dreamframe.errors import MissingWeightsError, SettingError
from dreamframe.models.base import Client, setting, steering
from dreamframe.models.embedders.base import Embedder, Encoding
from dreamframe.models.embedders.dimensions import vector_length
from dreamframe.models.lacking import together
from dreamframe.models.local.batching import Batcher
from dreamframe.models.local.memory import Resident
from dreamframe.models.local.settings import LocalSettings
from dreamframe.models.request import Completion, Request

if TYPE_CHECKING:
    from dreamframe.models.embedders.sentence_engine import Encoder, Text
    from dreamframe.models.local.batching import Batcher


@dataclass(frozen=True)
class SentenceTransformer(LocalSettings, Embedder):
    """An embedding model in this process. Needs `pip install 'dreamframe[embed]'`.

    `model` is a folder, a Hub id (its `revision` resolved to a commit), or a model that the plan trains. `prompt` is put before each text, once, as it
    is; `prompt_name` names one of the model's own; with neither, the model's default. `dimensions` keeps the first so many numbers of each vector, for
    models that were trained to be cut (https://arxiv.org/abs/2205.13147). Vectors have length one unless `normalize=False`.

    A text longer than the model reads is a failed row; with `truncate=True` its beginning is embedded. `max_tokens` lets it read less than it can.

    Up to `concurrency` texts are gathered, sorted by length, and encoded in batches of at most `batch_tokens` tokens, padding included; small sorted
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
    replicas: int | None = steering()  # processes, each with the whole model; None: one for each device
    threads: int | None = steering()  # on a CPU; None: the cores that are free when the model is loaded
    batch_tokens: int | None = steering()
    backend: str | None = steering()  # "torch" or "onnx"; None: onnxruntime where it is installed and knows the model, on a CPU in float32
    concurrency: int = steering(256)

    provider: ClassVar[str] = "sentence-transformers"
    counts: ClassVar[tuple[str, ...]] = ("max_tokens", "dimensions", "batch_tokens", "concurrency", "threads")
    needs: ClassVar[tuple[str, ...]] = ("torch", "sentence_transformers")
    pip_extra: ClassVar[str] = "embed"
    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/1908.10084",)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_local()
        who = type(self).__name__
        if self.backend not in (None, "torch", "onnx"):
            raise SettingError(f"{who}: backend={self.backend!r} is not 'torch' or 'onnx'.")
        if self.prompt is not None and self.prompt_name is not None:
            raise SettingError(f"{who}: prompt= is a text of your own, prompt_name= one of the model's; give one of them.")

    @property
    def dim(self) -> int:
        if self.dimensions is not None:
            return self.dimensions
        if (told := self.told()) is not None:
            return told
        try:
            return vector_length(self.model, revision=self.revision, who=type(self).__name__)
        except MissingWeightsError as exc:
            raise together(self.missing()) from exc  # with the libraries, which would be asked for next

    def client(self) -> Client:
        return SentenceTransformerClient(self)

    @property
    def encoding(self) -> Encoding:
        """How texts are read."""
        names = ("prompt", "prompt_name", "normalize", "truncate", "max_tokens", "dimensions", "threads", "backend")
        return Encoding(label=self.label, dim=self.dim, **{name: getattr(self, name) for name in names})


class SentenceTransformerClient(Resident[Any]):
    """The loaded model and the texts that wait for it."""

    settings: SentenceTransformer

    async def answer(self, engine: tuple[Encoder, Batcher[Text, Completion]], request: Request) -> Completion:
        encoder, batcher = engine
        text = encoder.prepare(request.prompt)
        return await batcher.submit(text, text.n_tokens)

    async def release(self, engine: tuple[Encoder, Batcher[Text, Completion]]) -> None:
        encoder, batcher = engine
        await batcher.close()
        encoder.release()

    @property
    def n_bytes(self) -> int:
        return self.settings.n_bytes

    def load(self) -> tuple[Encoder, Batcher[Text, Completion]]:
        from dreamframe.models.embedders.sentence_engine import Encoder

        encoder = Encoder.of(self.settings.to_load(), self.settings.encoding)
        budget = self.settings.batch_tokens or encoder.default_budget
        return encoder, Batcher(encoder.answer, budget=budget, is_out_of_memory=encoder.is_out_of_memory, name=self.settings.label)
