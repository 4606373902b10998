"""Arguments of a loss of sentence-transformers: checked by its source when the plan is built; distances and similarities by their names."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from dreamframe.errors import SettingError, did_you_mean, listed
from dreamframe.trainers.config_fields import init_arguments, package_folder

METRICS = {  # what the library's default belongs to: name → its attribute
    "BatchHardTripletLossDistanceFunction": {"cosine": "cosine_distance", "euclidean": "euclidean_distance"},
    "TripletDistanceMetric": {"cosine": "COSINE", "euclidean": "EUCLIDEAN", "manhattan": "MANHATTAN"},
    "SiameseDistanceMetric": {"cosine": "COSINE_DISTANCE", "euclidean": "EUCLIDEAN", "manhattan": "MANHATTAN"},
}
SIMILARITIES = {"cosine": "cos_sim", "dot": "dot_score", "euclidean": "euclidean_sim", "manhattan": "manhattan_sim"}  # functions of sentence_transformers.util
ALIASES = {"margin": "triplet_margin"}  # what the other triplet losses call it


def check_loss_args(family: str, loss: str, given: Mapping[str, Any], who: str) -> None:
    """Refuse arguments that the loss does not have, and distances that it does not know. Raises SettingError."""
    known = _known(family, loss)
    if known is None:
        return
    for name, value in _renamed(given, known).items():
        if name not in known:
            raise SettingError.unknown(name, possible=known, where=f"{who} loss_args of {loss}")
        possible = _names_of(known[name])
        if possible and value not in possible:
            hint = did_you_mean(str(value), list(possible))
            raise SettingError(f"{who}: loss_args={{{name!r}: {value!r}}} of {loss} is not one of {listed(possible)}.{hint}")


def made_args(family: str, loss: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the loss takes them: the library's functions in the place of names."""
    known = _known(family, loss)
    if known is None:
        return dict(given)
    return {name: _made(known.get(name, ""), value) for name, value in _renamed(given, known).items()}


def _known(family: str, loss: str) -> dict[str, str] | None:
    root = package_folder("sentence_transformers")
    return None if root is None else init_arguments(root / family / "losses" / "__init__.py", loss)


def _renamed(given: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    return {ALIASES[k] if k in ALIASES and k not in known and ALIASES[k] in known else k: v for k, v in given.items()}


def _names_of(default: str) -> dict[str, str]:
    """The names that may stand for an argument whose default is this in the source; none where values are given as they are."""
    owner, _, attribute = default.rpartition(".")
    if owner in METRICS:
        return METRICS[owner]
    plain = attribute.removeprefix("pairwise_")
    prefix = "pairwise_" if plain != attribute else ""
    return {name: prefix + function for name, function in SIMILARITIES.items()} if plain in SIMILARITIES.values() else {}


def _made(default: str, value: Any) -> Any:
    names = _names_of(default)
    if not isinstance(value, str) or value not in names:
        return value
    owner = default.rpartition(".")[0]
    held = getattr(importlib.import_module("sentence_transformers.sentence_transformer.losses"), owner) if owner in METRICS else None
    return getattr(held or importlib.import_module("sentence_transformers.util"), names[value])
