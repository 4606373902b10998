"""Embedders by name: `"openai/text-embedding-3-small"` is a kind and a model."""

from __future__ import annotations

from typing import Any

from dreamframe.errors import SettingError, did_you_mean
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.habits import called, described
from dreamframe.names import named

KINDS = {"sentence-transformers": "SentenceTransformer", "openai": "OpenAIEmbedder", "llamacpp": "LlamaCppEmbedder", "minilm": "MiniLM"}
EXAMPLE = 'df.embed("openai/text-embedding-3-small", "text")'


def embedder(name: str, *, where: str) -> Embedder:
    """Make an embedder's settings from `"kind/model"`. A model of the Hub is named with its owner, which may be left out where it is sentence-transformers.

    Raises SettingError for a name without a known kind.

    >>> embedder("openai/text-embedding-3-small", where="embed").dim, embedder("minilm", where="embed").dim
    (1536, 384)
    """
    kind, _, model = name.partition("/")
    if kind not in KINDS:
        hub = f" A model of the Hub is 'sentence-transformers/{name}'." if model else ""
        raise SettingError(f"{where}: {name!r} names no embedder.{hub or did_you_mean(kind, list(KINDS))} Possible: {', '.join(KINDS)}. Example: {EXAMPLE}.")
    if (kind == "minilm") == bool(model):
        why = "minilm is one model, and is named by that word alone" if model else f"no model is named after its kind. Example: {EXAMPLE}"
        raise SettingError(f"{where}: {name!r}: {why}.")
    given = [] if kind == "minilm" else [name if kind == "sentence-transformers" and "/" not in model else model]
    made: Embedder = named(KINDS[kind])(*given)
    return made


def need_embedder(by: Any, *, where: str) -> Embedder:
    """The embedder itself, or the one of a name; SettingError where it is something else."""
    if isinstance(by, str):
        return embedder(by, where=where)
    if not isinstance(by, Embedder):
        trained = " A model that df.train gave is one as model.embedder()." if hasattr(by, "embedder") else ""
        known = "give one such as dr.MiniLM() or dr.OpenAIEmbedder('text-embedding-3-small')"
        raise SettingError(f"{where}: {described(by)} is not an embedder; {known}.{called(by)}{trained}")
    return by
