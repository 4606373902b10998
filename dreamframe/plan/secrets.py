"""The secrets of a plan: those that its models, trainers and sources hold, and the environment's."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from dreamframe.models.secrets import redactor_of, secrets_in
from dreamframe.plan.step import Step
from dreamframe.redaction.redactor import Redactor, redactor
from dreamframe.redaction.secret import Secret

DEEPEST = 12


def plan_redactor(steps: Iterable[Step]) -> Redactor:
    """What takes the secrets of these plans, and of the environment, out of texts."""
    return redactor_of(_records(steps))


def stands_in(step: Step, text: str) -> bool:
    """Whether a secret of a plan's own stands in a text as a whole."""
    return redactor(tuple(dict.fromkeys(s for record in _records([step]) for s in secrets_in(record)))).holds(text)


def _records(steps: Iterable[Step]) -> list[Any]:
    nodes = {id(node): node for step in steps for node in step.walk()}
    met: dict[int, int] = {}
    return list({id(r): r for node in nodes.values() for r in records_in(node, met)}.values())


def records_in(value: Any, met: dict[int, int], depth: int = 0) -> Iterator[Any]:
    """A step and the records inside it, however deep; not other steps, which the walk visits. `met`: ids of records that were looked into, and how deep
    they stood: the thousand steps of a plan may hold one model."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if met.get(id(value), DEEPEST + 1) <= depth:
            return
        met[id(value)] = depth
        yield value
        inner: Iterable[Any] = (getattr(value, f.name, None) for f in dataclasses.fields(value) if f.name not in ("inputs", "data"))
    elif isinstance(value, dict):
        inner = value.values()
    elif isinstance(value, (tuple, list)):
        inner = value
    else:
        return
    if depth < DEEPEST:
        for held in inner:
            if isinstance(held, (dict, tuple, list)) or (dataclasses.is_dataclass(held) and not isinstance(held, (Step, Secret))):
                yield from records_in(held, met, depth + 1)
