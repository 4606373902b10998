"""Where the weights lie that a training starts from, and their identity. Touches the disk, and the Hub for Hub ids."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dreamframe.errors import DreamframeError, SettingError
from dreamframe.models.base import Artefact, ModelSettings
from dreamframe.models.local.weights import KeptWeights, digest_of, local_weights, weights_identity, weights_path
from dreamframe.trainers.base import Chained


@dataclass(frozen=True)
class Located:
    """A folder of weights, and an adapter to lay over them."""

    weights: Path
    adapter: Path | None = None


def locate(base: Any, *, who: str, token: bool | None = None) -> Located:
    """The folders of a base: its weights, and the adapter if it is one. Raises SettingError for a folder that does not hold a model."""
    if isinstance(base, Located):
        return base
    if isinstance(base, Chained):
        return _chained(base, who, token)
    if isinstance(base, Artefact):
        return _chained(Chained(base), who, token)
    if isinstance(base, ModelSettings):
        at = locate(base.model, who=who) if isinstance(base.model, Artefact) else _named(base.model, base, who, base.hub_token)
        adapter = getattr(base, "adapter", None)
        return at if adapter is None else Located(at.weights, _adapter_folder(adapter, who))
    return _named(base if isinstance(base, str) else str(base), None, who, token)


def base_identity(base: Any, token: bool | None = None) -> object:
    """What a base is, by content: the resolved commit of a Hub id, the digest of files, the key of a trained model."""

    if isinstance(base, str | Path):
        return weights_identity(base if isinstance(base, str) else str(base), token=token)
    return base.identity_fields() if isinstance(base, ModelSettings) else base


def digests_here(value: Any) -> list[str]:
    """Digests of the weights on this machine that a name, or several, stand for. Empty for weights that are elsewhere, and for what is not a name."""

    if isinstance(value, tuple):
        return [digest for v in value for digest in digests_here(v)]
    if not isinstance(value, str | Path):
        return []
    if isinstance(value, KeptWeights):
        return [value.identity] if isinstance(value.identity, str) else []
    try:
        held = digest_of(str(value))
    except DreamframeError:  # it is nowhere, and the training will say so
        return []
    return [] if held is None else [held]


def _chained(base: Chained, who: str, token: bool | None) -> Located:
    folder = Path(base.artefact.path)
    if not (folder / "adapter_config.json").exists():
        return Located(_model_folder(folder, who))
    if base.base is None:
        raise SettingError(f"{who}: the trained model in {folder.name} is an adapter, and what it lies over is not known; give its base first.")
    below = locate(base.base, who=who, token=token)
    if below.adapter is not None:  # it was trained on from an adapter: its own weights hold all of it
        below = Located(below.weights)
    return Located(below.weights, folder)


def _named(model: str, llm: ModelSettings | None, who: str, token: bool | None) -> Located:

    path = Path(model).expanduser()
    if path.is_dir() and (path / "adapter_config.json").exists():
        raise SettingError(f"{who}: {model} holds an adapter, not a model; give dr.Transformers(base, adapter=…) as the base.")
    found = local_weights(model, revision=getattr(llm, "revision", None), trust_remote_code=bool(getattr(llm, "trust_remote_code", False)), token=token)
    return Located(_model_folder(found, who))


def _model_folder(folder: Path, who: str) -> Path:
    if not (folder / "config.json").exists() and not (folder / "modules.json").exists():
        raise SettingError(f"{who}: {folder} is not the folder of a model: it has no config.json.")
    return folder


def _adapter_folder(adapter: Any, who: str) -> Path:

    folder = Path(adapter.path) if isinstance(adapter, Artefact) else weights_path(adapter if isinstance(adapter, str) else str(adapter)) or Path(str(adapter))
    if not (folder / "adapter_config.json").exists():
        raise SettingError(f"{who}: {folder} is not an adapter: it has no adapter_config.json.")
    return folder
