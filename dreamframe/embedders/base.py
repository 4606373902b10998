"""Settings of an embedder: a model that turns a text into a vector. One provider a file beside this one."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from dreamframe.call import Question
from dreamframe.llms.base import ModelSettings


@dataclass(frozen=True)
class Embedder(ModelSettings):
    """A frozen value like an LLM. Its client answers a request of form "input" with `Completion.data`: `dim` float32, little-endian."""

    model: str

    provider: ClassVar[str] = "embedder"

    @property
    @abstractmethod
    def dim(self) -> int:
        """Length of its vectors. Known without loading the weights, since a plan's schema needs it."""

    def question(self) -> Question:
        """What is the same for every text."""
        return Question(llm=self, form="input")
