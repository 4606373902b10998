"""The labels that the head of a base knows, and their order: whoever trains it on these labels goes on from what it knows, and not from its opposite."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamframe.errors import DreamframeError
from dreamframe.models.base import Artefact, ModelSettings
from dreamframe.models.embedders.dimensions import HubFiles
from dreamframe.models.local.embedded import SMOLLM2
from dreamframe.models.local.weights import hub_commit, weights_path
from dreamframe.trainers.base import Chained

HEADS = ("ForSequenceClassification", "ForTokenClassification")
UNNAMED = re.compile(r"LABEL_(\d+)")  # what transformers calls an output that nobody named


def in_heads_order(labels: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The labels in the order of the head's outputs, where it knows exactly these (but for case and space around); as they are otherwise.

    >>> in_heads_order(["negative", "positive"], ["POSITIVE", "NEGATIVE"])
    ('positive', 'negative')
    >>> in_heads_order(["no", "yes"], ["positive", "negative"])
    ('no', 'yes')
    """
    by_name = {plain_name(label): label for label in labels}
    order = [plain_name(name) for name in known]
    exactly = len(by_name) == len(labels) == len(order) and set(by_name) == set(order)
    if not exactly:
        unnamed = [match[1] for name in known if (match := UNNAMED.fullmatch(name))]  # outputs without names, labels that are their numbers
        exactly, order = len(unnamed) == len(known) == len(labels) and set(unnamed) == set(by_name), unnamed
    return tuple(by_name[name] for name in order) if exactly else tuple(labels)


def plain_name(label: str) -> str:
    return label.strip().casefold()


def known_labels(folder: Path, *, heads: Sequence[str] = HEADS) -> list[str]:
    """The labels of a model's head, in the order of its outputs; none where it has no such head."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text()) if file.is_file() else {}
    except ValueError:
        return []
    return labels_in(config, heads=heads, is_adapter=(folder / "adapter_config.json").exists())


def labels_in(config: Mapping[str, Any], *, heads: Sequence[str] = HEADS, is_adapter: bool = False) -> list[str]:
    """The same, of a config that was read."""
    kind = str((config.get("architectures") or [""])[0])
    if not kind.endswith(tuple(heads)) and not (is_adapter and config.get("id2label")):
        return []
    named = config.get("id2label") or {str(i): f"LABEL_{i}" for i in range(int(config.get("num_labels") or 2))}
    return [str(named[i]) for i in sorted(named, key=int)]


def labels_of_base(base: Any) -> list[str]:
    """The labels that a trainer's base knows, read from its config alone; none where it is not there or has no head."""
    if isinstance(base, Chained):
        return known_labels(Path(base.artefact.path))
    if isinstance(base, Artefact):
        return known_labels(Path(base.path))
    name = base.model if isinstance(base, ModelSettings) else base
    if not isinstance(name, str | Path):
        return labels_of_base(name) if isinstance(name, Artefact) else []
    try:
        path = weights_path(str(name))
        if path is not None:
            return known_labels(path)
        if str(name) == SMOLLM2:  # not downloaded yet: it writes, and has no labels
            return []
        return labels_in(HubFiles(str(name), hub_commit(str(name), getattr(base, "revision", None))).json("config.json") or {})
    except (DreamframeError, OSError):
        return []


def order_of_head(base: Any, labels: Sequence[str] | None) -> list[str] | None:
    """What a trainer's identity says of the head's order; None where the labels would be put in that order anyway, so that keys stay."""
    known = labels_of_base(base)
    if len(known) < 2:
        return None
    if labels is not None:
        return None if in_heads_order(labels, known) == tuple(labels) else known
    usual = sorted(known, key=lambda name: (len(name), name)) if all(UNNAMED.fullmatch(name) for name in known) else sorted(known)
    return None if usual == known else known
