"""Limit below length-preserving steps: `head(5)` over a prompt asks about five rows, not about all."""

from __future__ import annotations

from collections.abc import Callable

from dreamframe.step import RowStep, Step
from dreamframe.steps.relational import Relational

LIMITS = ("head", "slice")


def limit_down(step: Step, is_cached: Callable[[Step], bool]) -> Step:
    """Move every limit in the plan below the row steps and separable column verbs that it stands on. A cached subtree is a leaf."""
    done: dict[int, Step] = {}

    def visit(node: Step) -> Step:
        if id(node) not in done:
            done[id(node)] = node if is_cached(node) else _push(node.with_inputs([visit(i) for i in node.inputs]), is_cached)
        return done[id(node)]

    return visit(step)


def _push(node: Step, is_cached: Callable[[Step], bool]) -> Step:
    if not (isinstance(node, Relational) and node.verb in LIMITS):
        return node
    below = node.inputs[0]
    if not _keeps_length(below) or is_cached(below):
        return node
    limited = _push(node.with_inputs(below.inputs[:1]), is_cached)
    return below.with_inputs((limited, *below.inputs[1:]))


def _keeps_length(step: Step) -> bool:
    if isinstance(step, RowStep):
        return step.on_error != "drop"
    if isinstance(step, Relational) and step.verb in ("with_columns", "select", "drop", "rename", "cast"):
        return step.is_separable and all(e.meta.is_length_preserving() or not e.meta.root_names() for e in step.expressions())
    return False
