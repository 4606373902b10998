"""How long a local embedder's vectors are, read from its small config files: no weights are loaded and torch is not imported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dreamframe.errors import SettingError
from dreamframe.models.base import Artefact
from dreamframe.models.edges import Trained
from dreamframe.models.local.weights import KeptWeights, hub_commit, weights_path

POOLINGS = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")


def vector_length(model: Any, *, revision: str | None, who: str) -> int:
    """The length of a model's vectors: of a folder, a Hub id, or a model of the plan (that of its base). Raises SettingError where nothing tells it."""
    if isinstance(model, Artefact):
        return _of(ConfigFiles(Path(model.path)), who, model.path)
    if isinstance(model, Trained):  # training moves the weights, not their shape
        return vector_length(model.step.trainer.base, revision=None, who=who)
    if hasattr(model, "model"):  # the settings of a model: an embedder, or a language model as a base
        return int(model.dim) if hasattr(model, "dim") else vector_length(model.model, revision=getattr(model, "revision", None), who=who)
    if isinstance(model, KeptWeights) and model.dim is not None:
        return model.dim
    path = weights_path(model if isinstance(model, str) else str(model))
    files = ConfigFiles(path) if path is not None else HubFiles(str(model), hub_commit(str(model), revision))
    return _of(files, who, str(model))


class ConfigFiles:
    """The config files of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def json(self, name: str) -> Any:
        """What a JSON file holds; None where there is no such file."""
        path = self._path(name)
        return None if path is None else json.loads(path.read_text())

    def _path(self, name: str) -> Path | None:
        path = self._folder / name
        return path if path.is_file() else None


class HubFiles(ConfigFiles):
    """The config files of a Hub model at a commit, each downloaded when it is asked for."""

    def __init__(self, model: str, commit: str) -> None:
        self._model, self._commit = model, commit

    def _path(self, name: str) -> Path | None:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        try:
            return Path(hf_hub_download(self._model, name, revision=self._commit))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return None


def _of(files: ConfigFiles, who: str, model: str) -> int:
    """The output of the last module that changes the length."""
    for module in reversed(files.json("modules.json") or [{"path": "", "type": "Transformer"}]):
        kind, folder = str(module["type"]).rpartition(".")[2], str(module["path"])
        config = files.json(f"{folder}/config.json" if folder else "config.json") or {}
        if (found := _length(kind, config)) is not None:
            return found
    raise SettingError(f"{who}: the config files of {model} do not tell how long its vectors are; give dimensions=.")


def _length(kind: str, config: dict[str, Any]) -> int | None:
    if kind == "Dense":
        found = config.get("out_features")
    elif kind == "Pooling":
        found = config.get("embedding_dimension", config.get("word_embedding_dimension"))
        modes = sum(bool(config.get(f"pooling_mode_{mode}")) for mode in POOLINGS)
        found = found and found * max(1, modes)
    elif kind == "Transformer":
        text = config.get("text_config") or config
        found = next((text[n] for n in ("hidden_size", "d_model", "dim", "n_embd") if n in text), None)
    else:
        found = config.get("embedding_dim", config.get("embedding_dimension"))
    return int(found) if found else None
