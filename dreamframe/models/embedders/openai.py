"""Embedders behind OpenAI's API, and behind every server that speaks its protocol."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dreamframe.errors import BadReplyError, SettingError
from dreamframe.models.api.openai_format import count, encode, error_in, in_body, parsed, part, unreadable, word
from dreamframe.models.api.settings import ApiClient, ApiSettings
from dreamframe.models.api.wire import Dialect, Wire
from dreamframe.models.base import Client, setting, steering
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.request import Completion, Question, Request

DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
"""Length of the vectors of OpenAI's own models (https://platform.openai.com/docs/guides/embeddings)."""

MOST_CHARACTERS = 250_000  # of the texts of one request: OpenAI takes 300,000 tokens, and a character is a token at the most
MOST_TEXTS = 2048


@dataclass(frozen=True)
class OpenAIEmbedder(ApiSettings, Embedder):
    """An embedding model behind OpenAI's API, or behind any server that speaks it (`base_url=`: Together, vLLM, Ollama, llama.cpp, TEI and the rest).

    Up to `batch_size` texts travel in one request, and each text's vector is kept for itself: a text that was embedded once is never sent again,
    whatever stood beside it. A request that is refused for what is in it is asked again in halves, so that a bad text fails alone.

    `dimensions` is the length of the vectors; OpenAI's own models have theirs without it, and shorten them to it. A server that does not know the
    setting gets requests without it, and its vectors must have that length all the same. The key is `api_key` or the environment variable
    OPENAI_API_KEY, read when the first call is made; the address is `base_url` or OPENAI_BASE_URL.

    Raises SettingError for a model of unknown length without `dimensions`; when asked, AuthenticationError without a key. The tokens of a
    request are shared out over its texts by their lengths.

    >>> dr.OpenAIEmbedder("text-embedding-3-small").dim
    1536
    >>> dr.OpenAIEmbedder("bge-m3", base_url="http://localhost:8000/v1", dimensions=1024).dim
    1024
    """

    model: str
    dimensions: int | None = setting()
    batch_size: int = steering(128)
    concurrency: int = steering(16)

    provider: ClassVar[str] = "openai"
    address: ClassVar[str] = "https://api.openai.com/v1"
    address_variable: ClassVar[str] = "OPENAI_BASE_URL"
    key_variable: ClassVar[str] = "OPENAI_API_KEY"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dimensions is None and self.model not in DIMENSIONS:
            raise SettingError(f"OpenAIEmbedder: how long are the vectors of {self.model!r}? Say so: dimensions=1024. Known are {', '.join(DIMENSIONS)}.")
        for name, most in (("dimensions", 65_536), ("batch_size", MOST_TEXTS)):
            if (value := getattr(self, name)) is not None and (not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most):
                raise SettingError(f"OpenAIEmbedder: {name}={value!r}; give a whole number from 1 to {most:,}.")

    @property
    def dim(self) -> int:
        return self.dimensions or DIMENSIONS[self.model]

    def identity_fields(self) -> Mapping[str, object]:
        """The length that the model has anyway is the same as that length asked for."""
        return {**super().identity_fields(), "dimensions": self.dim}

    def pool_key(self) -> str:
        return f"embedder {super().pool_key()} {self.batch_size}"

    def wire(self, question: Question, dialect: Dialect) -> Wire:
        asked = self.dimensions is not None and self.dimensions != DIMENSIONS.get(self.model)
        more: dict[str, Any] = {"encoding_format": "base64"} | ({"dimensions": self.dim} if asked else {})
        return Embeddings(question, dialect, model=self.model, dim=self.dim, more={k: v for k, v in more.items() if k not in dialect.refused})

    def open(self) -> Client:
        return EmbedderClient(self)


class EmbedderClient(ApiClient):
    """A client whose requests hold the texts of many rows: `dreamframe.run.calls.embedding_batches` puts them together."""

    def __init__(self, embedder: OpenAIEmbedder) -> None:
        super().__init__(embedder)
        self.most_texts, self.most_characters = embedder.batch_size, MOST_CHARACTERS
        self.n_bytes = 4 * embedder.dim  # of a vector

    async def complete(self, request: Request) -> Completion:
        done = await super().complete(request)
        n_texts = len(request.rows) if isinstance(request, Pack) else 1
        if (found := len(done.data or b"") // self.n_bytes) != n_texts:
            raise BadReplyError(f"{self.place}: {found} vectors came for {n_texts} texts", status=200)
        return done


class Pack(Request):
    """The texts of several rows in one call: its prompt is a JSON list."""

    __slots__ = ("completions", "rows")

    def __init__(self, rows: Sequence[Request]) -> None:
        texts = json.dumps([row.prompt for row in rows], ensure_ascii=False)
        super().__init__(rows[0].question, texts, 0, hashlib.sha256(b"".join(row.key for row in rows)).digest()[:16], rows[0].owner)
        self.rows = rows
        self.completions: list[Completion] = []  # of the rows, once they are there


class Embeddings:
    """The bytes around a JSON list of texts, and how the vectors of a reply are read: their float32 bytes, one after the other, in the order of the texts."""

    path = "/embeddings"
    has_system = False

    def __init__(self, question: Question, dialect: Dialect, *, model: str, dim: int, more: Mapping[str, Any]) -> None:
        self.question, self.dialect, self._dim = question, dialect, dim
        self._head = encode({"model": model, **more})[:-1] + ',"input":'

    def body(self, request: Request) -> bytes:
        return f"{self._head}{request.prompt}}}".encode()

    def read(self, body: bytes, *, place: str) -> Completion:
        found = parsed(body, place=place)
        if (error := error_in(found)) is not None:
            raise in_body(error, body, place=place)
        try:
            listed = found["data"]
            vectors = [self._vector(listed[i]["embedding"]) for i in _in_order([item.get("index") for item in listed])]
        except (KeyError, IndexError, TypeError, AttributeError, ValueError, OverflowError, struct.error) as exc:
            raise unreadable(exc, found, body, place=place, what="vectors") from exc
        return Completion(None, data=b"".join(vectors), n_in=count(part(found, "usage").get("prompt_tokens")), model=word(found.get("model")))

    def _vector(self, given: Any) -> bytes:
        data = base64.b64decode(given, validate=True) if isinstance(given, str) else struct.pack(f"<{len(given)}f", *given)
        if len(data) != 4 * self._dim:
            raise ValueError(f"a vector of {len(data) // 4} numbers, where {self._dim} were promised (dimensions=)")
        if not math.isfinite(math.fsum(array("f", data))):
            raise ValueError("a vector with NaN or infinity in it")
        return data


def _in_order(named: Sequence[Any]) -> list[int]:
    """The places of the vectors, by the indices that they are named with. Where none is named it is the place in the list; a sole missing one may be the 0
    that some leave out. Raises KeyError where two claim one place."""
    indices = [i if index is None else index for i, index in enumerate(named)]
    if named.count(None) == 1 and 0 not in named:
        indices[named.index(None)] = 0
    at = {index: i for i, index in enumerate(indices)}
    return [at[i] for i in range(len(named))]
