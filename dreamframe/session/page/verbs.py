"""The steps of one verb together, as the terminal has them: by the names that verbs give, and by the columns that they make for themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamframe.errors import DreamframeError
from dreamframe.plan.hidden import HINT
from dreamframe.plan.step import Step


def fold(lines: Sequence[dict[str, Any]], steps: Sequence[Step]) -> None:
    """Note in the lines of steps, in the order in which they are drawn, the `verb` that each is a part of, and the number of that verb in the plan. A step
    alone is not noted."""
    names = [_name(step, steps) for step in steps]
    own = [_has_own(step) for step in steps]
    first = list(range(len(lines)))  # of each line: where its verb begins
    for i in range(1, len(lines)):
        before = next((j for j in range(i - 1, -1, -1) if names[j] or steps[j].models()), None)
        verb = "" if before is None else next((names[k] for k in range(first[before], i) if names[k]), "")
        is_over = before is not None and not own[i - 1] and any(own[first[before] : i])  # the verb has taken its own columns away
        if before is not None and verb and not is_over and _is_of(names[i], verb):
            first[first[before] :] = [first[before]] * (len(first) - first[before])
        elif own[i - 1]:
            first[i:] = [first[i - 1]] * (len(first) - i)
        else:
            first[i:] = range(i, len(first))
    for number, at in enumerate(sorted(set(first))):
        inside = [i for i in range(len(lines)) if first[i] == at]
        if len(inside) > 1:
            verb = names[inside[-1]] or next((names[i] for i in inside if names[i]), "") or steps[inside[-1]].label
            for i in inside:
                lines[i] |= {"verb": verb, "fold": number}


def _is_of(name: str, verb: str) -> bool:
    return bool(name) and (name == verb or name.startswith(f"{verb} "))


def _name(step: Step, steps: Sequence[Step]) -> str:
    """What the user, or the verb that made it, called a step; also one without a name that is labelled as such a verb is."""
    return step.name or (step.label if any(other.name == step.label for other in steps) else "")


def _has_own(step: Step) -> bool:
    """Whether its rows have columns that a verb made for itself, and will take away."""
    try:
        return any(c.startswith("__") or HINT in c for c in step.schema.names())
    except DreamframeError:
        return False


def steps_drawn(drawn: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]], steps: Sequence[Step]) -> list[Step] | None:
    """The steps of lines that are drawn; None where the record is not of these steps."""
    place = {id(node): i for i, node in enumerate(nodes)}
    return [steps[place[id(node)]] for node in drawn] if len(nodes) == len(steps) else None
