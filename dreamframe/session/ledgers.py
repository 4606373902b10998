"""What a look at a plan says of its cascades: what they decided when they ran, by the lines of the runs' logs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from dreamframe.cards.records import Records, StepFacts, together
from dreamframe.plan.estimate import Looked
from dreamframe.plan.ledgers import Certifying, ledgers
from dreamframe.plan.step import Step


def with_ledgers(looked: Looked, events: Callable[[], Iterable[Mapping[str, Any]]]) -> Looked:
    """The same, with what each cascade did beside what is kept of it. The logs are read only for a plan that has one."""
    plans = [plan for plan in looked.plans if any(isinstance(node, Certifying) for node in plan.walk())]
    if not plans:
        return looked
    keys, by_key = Records(), dict[str, list[Mapping[str, Any]]]()
    for event in events():
        if event.get("event") == "step" and event.get("key"):
            by_key.setdefault(str(event["key"]), []).append(event)

    def ran(step: Step) -> StepFacts:
        found = by_key.get(keys.key(step if looked.made is None else looked.made.as_written(step)))
        return together(found) if found else StepFacts()

    notes = dict(looked.notes)
    for plan in plans:
        for place, told in ledgers(plan, ran).items():
            state, *parts = notes.get(place, "").split(" · ")
            notes[place] = " · ".join(["; ".join(filter(None, (state, ", ".join(told)))), *parts])
    return replace(looked, notes=notes)
