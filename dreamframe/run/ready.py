"""What a run needs of this machine: libraries, packages with weights, keys. Looked for in all its steps at once, before the first row is read or paid."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from dreamframe.errors import DreamframeError, MissingExtraError
from dreamframe.plan.step import Source, Step

if TYPE_CHECKING:  # building a plan opens no store
    from dreamframe.store.stores import Stores


def lacking(plans: Iterable[Step], *, is_done: Callable[[Step], bool] = lambda _: False, loads_here: bool = True) -> list[DreamframeError]:
    """What the steps lack that will run. Below a step whose rows are there (`is_done`) nothing runs, and one without rows asks nothing.

    `loads_here`: whether models are loaded on this machine, so that the devices that they name must be in it.
    """
    found: list[DreamframeError] = []
    seen: set[int] = set()
    waiting = list(plans)
    empty = without_rows(waiting)
    while waiting:
        step = waiting.pop()
        if id(step) in seen or is_done(step):
            continue
        seen.add(id(step))
        waiting += step.inputs
        if id(step) in empty:
            continue
        models = [model for model in step.models() if id(model) not in seen]  # most plans ask one model again and again
        seen.update(map(id, models))
        no_devices = [error for model in models if loads_here and (error := model.no_device()) is not None]
        lacks = [*step.missing(), *(error for model in models for error in model.missing()), *no_devices]
        found[:0] = lacks  # as they were written: what runs first comes first
    return found


def need(library: str, *, needed_for: str, extra: str = "") -> None:
    """Raise MissingExtraError where a library is not installed that is used after a run: before it, nothing has been paid yet."""
    if importlib.util.find_spec(library) is None:
        said = None if extra else f"{needed_for} needs {library}, which is not installed. Install it with: pip install {library}"
        raise MissingExtraError(library, extra=extra, needed_for=needed_for, said=said)


def without_rows(plans: Iterable[Step]) -> set[int]:
    """The ids of the steps that give no row, as far as the plan tells: over an empty table, or none of its rows."""
    empty: set[int] = set()
    for node in (node for plan in plans for node in plan.walk()):  # inputs first
        verb, args = getattr(node, "verb", ""), list(getattr(node, "args", ()))
        is_none = (verb in ("head", "tail") and args[:1] == [0]) or (verb == "slice" and args[1:] == [0])
        over_none = bool(node.inputs) and id(node.inputs[0]) in empty and node.rows != "other"
        if is_none or over_none or (isinstance(node, Source) and node.n_out() == 0):
            empty.add(id(node))
    return empty


def holds_something(stores: Stores) -> bool:
    """Whether answers, rows or models are kept, which may be all that a run needs."""
    return bool(stores.steps.all() or stores.models.all() or len(stores.answers))
