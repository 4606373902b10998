"""Limit below length-preserving steps: `head(5)` over a prompt asks about five rows, not about all; over a source that is far away, it reads no more."""

from __future__ import annotations

from collections.abc import Callable

from dreamframe.step import RowStep, Source, Step
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
    if isinstance(below, Source) and (n := _most(node)) is not None:
        return node.with_inputs([below.first(n)])
    if not _keeps_length(below) or is_cached(below):
        return node
    limited = _push(node.with_inputs(below.inputs[:1]), is_cached)
    return below.with_inputs((limited, *below.inputs[1:]))


def _most(limit: Relational) -> int | None:
    """How many rows from the first a limit reads; None where it counts from the end."""
    match limit.verb, limit.args:
        case "head", (int(n),) if n >= 0:
            return n
        case "slice", (int(offset), int(length)) if offset >= 0:
            return offset + length
    return None


def _keeps_length(step: Step) -> bool:
    if isinstance(step, RowStep):
        return step.on_error != "drop"
    if isinstance(step, Relational) and step.verb in ("with_columns", "select", "drop", "rename", "cast"):
        return step.is_separable and all(e.meta.is_length_preserving() or not e.meta.root_names() for e in step.expressions())
    return False
