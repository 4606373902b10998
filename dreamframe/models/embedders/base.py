"""Settings of an embedder: a model that turns a text into a vector. One provider a file beside this one."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from dreamframe.errors import NotAllowedError
from dreamframe.models.base import ModelSettings, steering
from dreamframe.models.local.embedded import MINILM
from dreamframe.models.request import Question


@dataclass(frozen=True)
class Embedder(ModelSettings):
    """A frozen value like an LLM. Its client answers a request of form "input" with `Completion.data`: `dim` float32, little-endian.

    An embedder of your own is a frozen dataclass over this one: docs/how/own-embedder.md.

    >>> isinstance(dr.OpenAIEmbedder("text-embedding-3-small"), dr.Embedder)
    True
    """

    model: str
    length: int | None = steering()  # of its vectors, as a plan that was read tells it: nothing is opened to find out

    provider: ClassVar[str] = "embedder"

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of its vectors. Known without loading the weights, since a plan's schema needs it."""

    def told(self) -> int | None:
        """The length that a plan told. Raises NotAllowedError for a plan that was read and does not tell: reading it opens no file to find out."""
        kept, name = getattr(self.model, "dim", None), str(self.model)
        if self.length is None and kept is None and self.authority is not None and name != MINILM and not self.authority.has_path(name):
            what = f"{self.label}: the plan does not say how long its vectors are, and reading it opens nothing to find out"
            raise NotAllowedError(f"{what}. If the weights may be opened: allow=[{name!r}].")
        return self.length

    def question(self) -> Question:
        """What is the same for every text."""
        return Question(llm=self, form="input")


@dataclass(frozen=True)
class Encoding:
    """How a loaded embedder reads texts, as plain values: it knows no settings."""

    label: str
    dim: int
    prompt: str | None
    prompt_name: str | None
    normalize: bool
    truncate: bool
    max_tokens: int | None
    dimensions: int | None
    threads: int | None  # None: the cores that are free when the model is loaded
    backend: str | None
