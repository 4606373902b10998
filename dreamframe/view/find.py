"""Finding what a person names in a session: a plan, stored rows, a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from dreamframe.errors import SettingError, did_you_mean
from dreamframe.session.records import ModelRecord, PlanRecord, StepRecord
from dreamframe.session.session import Session

SHORTEST = 6  # characters of a name or a key that is not written out


class Named(Protocol):
    """A record with the names that a person may use."""

    @property
    def name(self) -> str: ...

    @property
    def key(self) -> str: ...

    @property
    def label(self) -> str: ...


R = TypeVar("R", bound=Named)


def plans_in_order(session: Session) -> list[PlanRecord]:
    """The kept plans, the one that ran last at the end."""
    last = last_runs(session)
    return sorted(session.plans(), key=lambda plan: last.get(plan.key, ""))


def last_runs(session: Session) -> dict[str, str]:
    """The key of each step that ran, and the name of the last run that it was in; names of runs begin with the second of their begin, in UTC."""
    return {step.key: run.name for run in session.runs() for step in run.steps}


def named(records: Sequence[R], name: str) -> R | None:
    """The record of this name, label or key, or whose name or key begins so; of several, the last."""
    ways: tuple[Callable[[R], bool], ...] = (
        lambda r: name in (r.name, r.label, r.key),
        lambda r: len(name) >= SHORTEST and (r.key.startswith(name) or r.name.startswith(name)),
    )
    return next((found[-1] for is_it in ways if (found := [r for r in records if is_it(r)])), None)


def plan_of(session: Session, name: str | None) -> PlanRecord:
    """The plan of this name; without one, the plan that ran last. Raises SettingError."""
    plans = plans_in_order(session)
    found = (plans[-1] if plans else None) if name is None else named(plans, name)
    if found is None:
        raise missing(session, name, plans)
    return found


def record_of(session: Session, name: str | None) -> PlanRecord | StepRecord | ModelRecord:
    """The plan, stored rows or model of this name; without one, the plan that ran last. Raises SettingError."""
    plans = plans_in_order(session)
    if name is None:
        return plan_of(session, None)
    steps, models = session.steps(), session.models()
    found = named(plans, name) or named(steps, name) or named(models, name)
    if found is None:
        raise missing(session, name, [*plans, *steps, *models])
    return found


def missing(session: Session, name: str | None, there: Sequence[Named]) -> SettingError:
    """What to say where nothing has the name."""
    if not there:
        return SettingError(f"nothing that asks a model or trains one was run in {session!r}.")
    words = list(dict.fromkeys(word for record in reversed(there) for word in (record.label, record.name)))
    return SettingError(f"nothing is called {name!r} in {session!r}.{did_you_mean(str(name), words)} There are: {', '.join(words[:8])}.")
