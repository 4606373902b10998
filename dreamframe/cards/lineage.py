"""Everything that a plan touches: sources, models and techniques, from all inputs of all steps; and what their licences say to each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dreamframe.models.base import ModelSettings
from dreamframe.models.provenance import Provenance, model_provenance, once, technique
from dreamframe.plan.step import Step
from dreamframe.plan.steps.train import Train, model_name
from dreamframe.trainers.base import Trainer

SHARE_ALIKE = ("cc-by-sa", "cc-by-nc-sa", "gpl", "agpl", "odbl")
OWN_TERMS = ("llama", "gemma", "openrail", "bigscience", "creativeml", "other")


def lineage(step: Step) -> list[Provenance]:
    """Each source, model and technique once, in the order of the plan."""
    found: list[Provenance] = []
    for node in step.walk():
        found += node.provenance()
        found += [technique(c) for c in node.citations()]
        for value in values_in(node):
            found += _of(value)
    return once(found)


def _of(value: Any) -> list[Provenance]:
    found: list[Provenance] = []
    if isinstance(value, ModelSettings):
        found += value.provenance()
    elif isinstance(value, Trainer):
        found += trainer_provenance(value)
    return found + [technique(c) for c in getattr(value, "cites", ())]


def trainer_provenance(trainer: Trainer) -> list[Provenance]:
    """What a training starts from, and its techniques."""
    found: list[Provenance] = []
    if isinstance(trainer.base, (str, Path)):
        name = model_name(str(trainer.base))
        found.append(model_provenance(name, provider="trainer"))
    if getattr(trainer, "peft", None) is not None:
        found.append(technique("arXiv:2106.09685"))
    return found


def values_in(node: object, depth: int = 0) -> Iterator[Any]:
    """The settings inside a step: models, prompts, trainers, however deep; not other steps, which the walk visits."""
    if isinstance(node, (Step, ModelSettings, Trainer)) or hasattr(type(node), "cites"):
        inner: Sequence[Any] = [getattr(node, f.name) for f in dataclasses.fields(node) if f.name != "inputs"] if dataclasses.is_dataclass(node) else ()
    elif isinstance(node, (tuple, list)):
        inner = node
    elif isinstance(node, dict):
        inner = list(node.values())
    else:
        inner = [getattr(node, f.name) for f in dataclasses.fields(node)] if dataclasses.is_dataclass(node) and not isinstance(node, type) else ()
    for value in inner:
        if isinstance(value, Step) or depth > 8:
            continue
        yield value
        yield from values_in(value, depth + 1)


def training_inputs(step: Step) -> list[Train]:
    """The trainings of a plan."""
    return [n for n in step.walk() if isinstance(n, Train)]


def licence_of_all(found: Sequence[Provenance]) -> str | None:
    """The one licence that every source and model has; None where they differ, where one is not known or where terms restrict the use."""
    things = [p for p in found if p.kind != "technique"]
    licences = {p.license for p in things}
    if len(licences) == 1 and not any(p.terms for p in things):
        only = licences.pop()
        return None if only is None or _is_own(only) else only
    return None


def _is_own(licence: str) -> bool:
    return licence.startswith(OWN_TERMS)


def conflicts(found: Sequence[Provenance], *, trains: bool) -> list[tuple[str, str, str]]:
    """What stands in the way of free use: (name, licence or terms, why). Names and licences are as they came: escape them."""
    things = [p for p in found if p.kind != "technique"]
    told: list[tuple[str, str, str]] = []
    free = sorted({p.license for p in things if p.license and not _restricts(p.license)})
    for p in things:
        if p.terms:
            effect = "a model was trained in this plan: check that this is allowed" if trains else "training a competing model on these rows may be forbidden"
            told.append((p.name, p.terms, f"the provider's terms restrict training competing models on outputs; {effect}"))
        elif p.license is None:
            told.append((p.name, "unknown", "no licence on record; whoever publishes must find out whether it allows this"))
        elif "-nc" in p.license:
            beside = f", whatever the others allow ({', '.join(free)})" if free else ""
            told.append((p.name, p.license, f"no commercial use{beside}"))
        if p.license and "-nd" in p.license:
            told.append((p.name, p.license, "no derivatives: what was made from it may not be shared"))
        if p.license and p.license.startswith(SHARE_ALIKE):
            told.append((p.name, p.license, "share alike: what was made from it must be shared under the same licence"))
        if p.license and _is_own(p.license):
            told.append((p.name, p.license, "a licence with terms of its own, which go along with what is made"))
    alike = sorted({p.license for p in things if p.license and p.license.startswith(SHARE_ALIKE)})
    if len(alike) > 1:
        told.append((" and ".join(p.name for p in things if p.license in alike), " and ".join(alike), "two share-alike licences cannot both be kept"))
    return told


def _restricts(licence: str) -> bool:
    return "-nc" in licence or "-nd" in licence or licence.startswith(SHARE_ALIKE) or _is_own(licence)
