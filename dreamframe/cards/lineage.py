"""Everything that a plan touches: sources, models and techniques, from all inputs of all steps; and what their licences say to each other."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.models.base import ModelSettings
from dreamframe.models.local.stated import weights_provenance
from dreamframe.models.papers import ADAPTERS
from dreamframe.models.provenance import Provenance, model_provenance, once, technique
from dreamframe.plan.step import Step
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.relational import Relational, RepeatTo
from dreamframe.plan.steps.source import Table
from dreamframe.plan.steps.train import Train
from dreamframe.prompts.verifier import Verifier
from dreamframe.trainers.base import Trainer
from dreamframe.trainers.kinds import HOSTED

ATTRIBUTED = "https://arxiv.org/abs/2306.15895"
MOST_OF_A_GRID = 100_000  # rows that are looked at
SHARE_ALIKE = ("cc-by-sa", "cc-by-nc-sa", "gpl", "agpl", "odbl")
OWN_TERMS = ("llama", "gemma", "openrail", "bigscience", "creativeml", "other")


def lineage(step: Step) -> list[Provenance]:
    """Each source, model and technique once, in the order of the plan."""
    found: list[Provenance] = []
    for node in step.walk():
        found += stated(node)
        found += [technique(c) for c in node.citations()]
        if is_attributed(node):
            found.append(technique(ATTRIBUTED))
        for value in values_in(node):
            found += _of(value)
    return once(found)


def stated(node: Step) -> list[Provenance]:
    """What a step reads, and what `df.cite` said of it or of the rows it gives."""
    own: dict[str, Any] = dict(node.cited)
    told = list(node.provenance())
    if not own:
        return told
    if not told:
        kind = "technique" if "license" not in own else "model" if isinstance(node, Train) else "dataset"
        told = [Provenance(kind, own.get("name", node.label))]
    return [dataclasses.replace(p, **own) for p in told]


def licence_stated(step: Step) -> str | None:
    """The licence that `df.cite` gave to the rows that a plan made, if no model was asked and no other rows were joined since."""
    node = step
    while node.provenance() == ():
        if (licence := dict(node.cited).get("license")) is not None:
            return licence
        if node.is_expensive or len(node.inputs) != 1:
            return None
        node = node.inputs[0]
    return None


def is_attributed(node: Step) -> bool:
    """Whether a prompt is asked about combinations of attributes: of a grid, of a cross join, or repeated to a number of rows."""
    if not isinstance(node, PromptStep) or len(node.prompt.columns) < 2:
        return False
    below: Step | None = node.inputs[0]
    while below is not None and not below.is_expensive:
        if isinstance(below, Table):
            return _is_grid(below.data.select(c for c in node.prompt.columns if c in below.schema))
        if isinstance(below, RepeatTo) or (isinstance(below, Relational) and below.verb == "join" and dict(below.options).get("how") == "cross"):
            return True
        below = below.inputs[0] if below.inputs else None
    return False


def _is_grid(rows: pl.DataFrame) -> bool:
    """Whether rows are every combination of two or more values in each of two or more columns."""
    if rows.width < 2 or not 4 <= rows.height <= MOST_OF_A_GRID:
        return False
    try:
        kinds = [rows[c].n_unique() for c in rows.columns]
        return min(kinds) > 1 and math.prod(kinds) == rows.height == rows.n_unique()
    except pl.exceptions.PolarsError:  # of values that cannot be compared
        return False


def _of(value: Any) -> list[Provenance]:
    found: list[Provenance] = []
    if isinstance(value, ModelSettings):
        found += value.provenance()
    elif isinstance(value, Trainer):
        found += trainer_provenance(value)
    return found + [technique(c) for c in getattr(value, "cites", ())]


def trainer_provenance(trainer: Trainer) -> list[Provenance]:
    """What a training starts from and learns of, and its techniques."""
    found = [_weights_of(trainer, name) for field in ("base", "teacher", "rewards") for name in _names(getattr(trainer, field, None))]
    if any(isinstance(reward, Verifier) for reward in getattr(trainer, "rewards", ())):  # reinforcement learning with verifiable rewards
        found.append(technique("https://arxiv.org/abs/2411.15124"))
    if (peft := getattr(trainer, "peft", None)) is not None:
        adapter = json.loads(peft) if isinstance(peft, str) else {}
        paper = "2402.09353" if adapter.get("use_dora") else ADAPTERS.get(str(adapter.get("peft_type")), "2106.09685")
        found.append(technique(f"https://arxiv.org/abs/{paper}"))
        if getattr(trainer, "quantization", None):
            found.append(technique("https://arxiv.org/abs/2305.14314"))
    return found


def _names(value: Any) -> list[str]:
    """The names of weights in a field; kept weights know what they are, and stay as they are."""
    values = value if isinstance(value, tuple) else (value,)
    return [v if isinstance(v, str) else str(v) for v in values if isinstance(v, str | Path)]


def _weights_of(trainer: Trainer, name: str) -> Provenance:
    if trainer.kind is HOSTED:  # under the terms of who tunes it
        return model_provenance(name, provider=trainer.label.lower().removesuffix("finetune"))
    return weights_provenance(name, token=trainer.hub_token, may_open=trainer.may_open)


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
