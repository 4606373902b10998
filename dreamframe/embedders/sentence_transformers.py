"""Embedders in this process through sentence-transformers: folders, Hub ids, and models that the plan trains."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dreamframe.call import Completion, Request
from dreamframe.embedders.base import Embedder
from dreamframe.embedders.dimensions import vector_length
from dreamframe.errors import DreamframeError, MissingExtraError, PermanentCallError, SettingError
from dreamframe.llms.base import Artefact, Client, Limits, setting, steering
from dreamframe.llms.weights import weights_identity

if TYPE_CHECKING:
    from dreamframe.embedders.sentence_engine import Encoder, Text
    from dreamframe.llms.pooling import Pool

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class SentenceTransformer(Embedder):
    """An embedding model in this process. Needs `pip install 'dreamframe[embed]'`.

    `model` is a folder, a Hub id (its `revision` resolved to a commit), or a model that the plan trains. `prompt` is put before each text, once, as it
    is; `prompt_name` names one of the model's own; with neither, the model's default. `dimensions` keeps the first so many numbers of each vector, for
    models that were trained to be cut (https://arxiv.org/abs/2205.13147). Vectors have length one unless `normalize=False`.

    A text longer than the model reads is a failed row; with `truncate=True` its beginning is embedded. `max_tokens` lets it read less than it can.

    Up to `concurrency` texts are pooled, sorted by length, and encoded in batches of at most `batch_tokens` tokens, padding included; small sorted
    batches are the fastest on a CPU. After Reimers and Gurevych 2019 (https://arxiv.org/abs/1908.10084).

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
    device: str | None = steering()
    threads: int | None = steering()  # on a CPU; None: the cores that are free when the model is loaded
    batch_tokens: int | None = steering()
    concurrency: int = steering(256)

    provider: ClassVar[str] = "sentence-transformers"
    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/1908.10084",)

    def __post_init__(self) -> None:
        who = type(self).__name__
        if isinstance(self.model, Path):
            object.__setattr__(self, "model", str(self.model))
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
        return vector_length(self.model, revision=self.revision, who=type(self).__name__)

    @property
    def label(self) -> str:
        if isinstance(self.model, Artefact):
            return Path(self.model.path).name
        return self.model.rstrip("/").rpartition("/")[2] if isinstance(self.model, str) else str(self.model.step.label)

    def identity(self) -> Mapping[str, object]:
        seen = dict(super().identity())
        revision = seen.pop("revision")
        if isinstance(self.model, str):
            seen["model"] = weights_identity(self.model, revision)  # type: ignore[arg-type]
        return seen

    def pool_key(self) -> str:
        own = [self.prompt, self.prompt_name, self.normalize, self.truncate, self.max_tokens, self.dimensions, self.dtype, self.revision]
        steered = [self.trust_remote_code, self.device, self.threads, self.batch_tokens, self.concurrency]
        return f"sentence-transformers {self.place} {own} {steered}"

    @property
    def place(self) -> str:
        """The folder or the Hub id of the weights."""
        return str(self.model.path if isinstance(self.model, Artefact) else self.model)

    def open(self) -> Client:
        for library in ("torch", "sentence_transformers"):
            if importlib.util.find_spec(library) is None:
                raise MissingExtraError(library.replace("_", "-"), extra="embed", needed_for=f"dr.{type(self).__name__}")
        return SentenceTransformerClient(self)


class SentenceTransformerClient:
    """The loaded model and the pool of texts that wait for it. It is loaded at the first text."""

    limits = Limits(timeout_s=None)  # a slow machine is no failure

    def __init__(self, embedder: SentenceTransformer) -> None:
        self._embedder = embedder
        self._ready: asyncio.Future[tuple[Encoder, Pool[Text, Completion]]] | None = None

    @property
    def concurrency(self) -> int:
        return self._embedder.concurrency

    async def complete(self, request: Request) -> Completion:
        if self._ready is None:
            self._ready = asyncio.ensure_future(asyncio.to_thread(self._load))
        encoder, pool = await asyncio.shield(self._ready)
        text = encoder.prepare(request.prompt)
        return await pool.submit(text, text.n_tokens)

    async def close(self) -> None:
        ready, self._ready = self._ready, None
        if ready is None:
            return
        (made,) = await asyncio.gather(ready, return_exceptions=True)
        if isinstance(made, tuple):
            encoder, pool = made
            await pool.close()
            encoder.release()

    def _load(self) -> tuple[Encoder, Pool[Text, Completion]]:
        from dreamframe.embedders.sentence_engine import Encoder
        from dreamframe.llms.pooling import Pool

        embedder = self._embedder
        try:
            encoder = Encoder.of(embedder)
        except DreamframeError:
            raise
        except Exception as exc:  # whatever a library says about weights it cannot load: nothing can be asked
            error = PermanentCallError(f"{embedder.label}: the model could not be loaded: {type(exc).__name__}: {exc}")
            error.stops_run = True
            raise error from exc
        budget = embedder.batch_tokens or encoder.default_budget
        return encoder, Pool(encoder.answer, budget=budget, is_out_of_memory=encoder.is_out_of_memory, name=embedder.label)
