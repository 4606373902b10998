"""Embedding models in GGUF files, run in this process by llama.cpp through xllamacpp."""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from dreamframe.errors import BadReplyError, ContextLengthError, SettingError
from dreamframe.models.base import Client, setting, steering
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.llms.llamacpp import InGguf, context_of, need_xllamacpp, parameters, refused
from dreamframe.models.local.gguf import gguf_header
from dreamframe.models.local.memory import Resident, n_bytes_of
from dreamframe.models.request import Completion, Request

POOLINGS = {"mean": 1, "cls": 2, "last": 3}  # llama.cpp's numbers, which files hold as well


@dataclass(frozen=True)
class LlamaCppEmbedder(InGguf, Embedder):
    """An embedding model in a GGUF file, run in this process. Needs `pip install 'dreamframe[llamacpp]'`.

    `pooling` makes one vector of those of the tokens: "mean", "cls" (the first) or "last"; None is what the file says, and an error where it says
    nothing. `prompt` is put before each text, once, as it is. Vectors have length one unless `normalize=False`. `n_ctx` is the longest text, in
    tokens (default: what the model reads, at most 4096); a longer one is a failed row.

    One text is read at a time: llama.cpp parts texts of unequal length that it reads together, and the vector of such a text is that of its last part.

    Raises SettingError for impossible settings, and, when a plan needs the length of its vectors, for a file that is not a GGUF file.

    >>> dr.LlamaCppEmbedder("nomic-embed-text-v1.5.Q8_0.gguf", prompt="search_document: ").label
    'nomic-embed-text-v1.5.Q8_0.gguf'
    """

    model: Any
    pooling: str | None = setting()
    prompt: str = setting("")
    normalize: bool = setting(True)
    n_ctx: int | None = setting()
    threads: int | None = steering()
    gpu_layers: int | None = steering()

    provider: ClassVar[str] = "llamacpp-embedder"
    concurrency: ClassVar[int] = 64  # texts that wait in line here, so that the engine never does

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.model, Path):
            object.__setattr__(self, "model", str(self.model))
        for name in ("n_ctx", "threads"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise SettingError(f"{type(self).__name__}: {name}={value!r}; give a whole number of 1 or more.")
        if self.pooling not in (None, *POOLINGS):
            raise SettingError(f"{type(self).__name__}: pooling={self.pooling!r} is not one of {', '.join(map(repr, POOLINGS))}.")

    @property
    def dim(self) -> int:
        if (told := self.told()) is not None:
            return told
        header = gguf_header(self.gguf)
        found = header.get(f"{header.get('general.architecture')}.embedding_length")
        if not isinstance(found, int):
            raise SettingError(f"{type(self).__name__}: {self.label} does not say how long its vectors are.")
        return found

    @property
    def pooled(self) -> int:
        """The pooling as llama.cpp numbers it. Raises SettingError where neither the user nor the file says which."""
        header = gguf_header(self.gguf)
        own = header.get(f"{header.get('general.architecture')}.pooling_type")
        found = POOLINGS[self.pooling] if self.pooling is not None else own
        if found not in POOLINGS.values():
            raise SettingError(f"{type(self).__name__}: {self.label} does not say how its vectors are pooled; give pooling='mean', 'cls' or 'last'.")
        return int(found)  # type: ignore[call-overload, no-any-return]

    def identity_fields(self) -> Mapping[str, object]:
        return {**super().identity_fields(), "model": self.content, "pooling": self.pooled}

    def pool_key(self) -> str:
        return f"llamacpp-embedder {self.weights_key()} {self.pooled} {self.prompt!r} {self.normalize} {self.n_ctx} {self.threads} {self.gpu_layers}"

    def open(self) -> Client:
        need_xllamacpp(type(self).__name__)
        if (error := self.no_device()) is not None:
            raise error
        return LlamaCppEmbedderClient(self)


class LlamaCppEmbedderClient(Resident[tuple[Any, ThreadPoolExecutor]]):
    """The loaded model, and the thread that asks it."""

    settings: LlamaCppEmbedder

    def __init__(self, settings: LlamaCppEmbedder) -> None:
        super().__init__(settings)
        self._working: set[Future[Completion]] = set()

    async def answer(self, engine: tuple[Any, ThreadPoolExecutor], request: Request) -> Completion:
        server, thread = engine
        working = thread.submit(self._ask, server, self.settings.prompt + request.prompt)
        self._working.add(working)
        working.add_done_callback(self._working.discard)
        return await asyncio.wrap_future(working)

    async def release(self, engine: tuple[Any, ThreadPoolExecutor]) -> None:
        engine[1].shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(*map(asyncio.wrap_future, tuple(self._working)), return_exceptions=True)  # what is being read is read to its end

    @property
    def n_bytes(self) -> int:
        return n_bytes_of(self.settings.gguf)

    # On the worker thread

    def _ask(self, server: Any, text: str) -> Completion:
        embedder = self.settings
        found = server.handle_embeddings({"input": [text], "encoding_format": "float"})
        if (error := found.get("error")) is not None:
            if "too large to process" in str(error.get("message")):
                raise ContextLengthError(f"{embedder.label}: {error['message']} (n_ctx= of the embedder)", status=400)
            raise refused(error, embedder.label)
        vector = found["data"][0]["embedding"]
        if not all(map(math.isfinite, vector)):
            raise BadReplyError(f"{embedder.label}: the vector holds something that is not a number")
        return Completion(None, data=struct.pack(f"<{len(vector)}f", *vector), n_in=int(found["usage"]["prompt_tokens"]), model=embedder.label)

    def load(self) -> tuple[Any, ThreadPoolExecutor]:
        import xllamacpp

        embedder = self.settings
        context = context_of(embedder.gguf, embedder.n_ctx)
        params = parameters(embedder.gguf, context=context, slots=1, threads=embedder.threads, gpu_layers=embedder.gpu_layers)
        params.embedding = True
        params.n_batch = params.n_ubatch = context  # a text is read whole: pooling needs all of its tokens at once
        params.pooling_type = xllamacpp.llama_pooling_type(embedder.pooled)
        params.embd_normalize = 2 if embedder.normalize else -1
        return xllamacpp.Server(params), ThreadPoolExecutor(1, thread_name_prefix="dreamframe-llamacpp")
