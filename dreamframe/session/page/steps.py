"""The steps behind what is stored: which plan made an output, and which of its columns models wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamframe.errors import DreamframeError
from dreamframe.plan.compare import is_plan, on_record
from dreamframe.plan.explain import line, prompt_texts
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Memo, Step
from dreamframe.session.page.folder import AT_HAND, Held
from dreamframe.session.records import PlanRecord, StepRecord

Nodes = Sequence[Mapping[str, Any]]


def step_of_plan(held: Held, plan: PlanRecord) -> tuple[Step, Memo] | None:
    """A kept plan, and the keys of its steps; None for one that is kept as text alone, or needs functions to be read."""

    def read() -> tuple[Step, Memo] | None:
        try:
            step = held.plan(plan.name)
            memo: Memo = {}
            step.key(memo)
            return step, memo
        except DreamframeError:
            return None

    return None if plan.problem is not None else held.once(("plan", plan.name), read)


def step_of_output(held: Held, output: StepRecord) -> Step | None:
    """The step whose rows an output has, in a plan that was kept; None where there is none that can be read."""
    if not is_plan(list(output.plan)):
        return None
    key = str(output.plan[-1]["key"])
    for plan in sorted(held.plans(), key=lambda p: not p.key.startswith(key)):
        read = step_of_plan(held, plan)
        found = None if read is None else next((node for node in read[0].walk() if node.key(read[1]).startswith(key)), None)
        if found is not None:
            return found
    return None


def nodes_of(held: Held, plan: PlanRecord) -> Nodes:
    """The steps of a kept plan as a record has them, inputs first; none where they are not known."""
    output = next((o for o in held.outputs() if is_plan(list(o.plan)) and plan.key.startswith(str(o.plan[-1]["key"]))), None)
    if output is not None:
        return output.plan
    read = step_of_plan(held, plan)
    return [] if read is None else held.once(("nodes", plan.name), lambda: on_record(*read))


def written(held: Held, output: StepRecord) -> dict[str, str]:
    """The columns of an output that models wrote, each with the line of the step that did."""

    def found() -> dict[str, str]:
        step = step_of_output(held, output)
        made = _by_name(output) if step is None else {column: line(node) for column, node in authors(step).items()}
        return {column: said for column, said in made.items() if column in output.columns}

    return held.once(("written", output.name, len(held.plans())), found)  # a plan is kept when its run ends


def authors(step: Step) -> dict[str, Step]:
    """The columns of a step that models wrote, each with the step that asked for it: by the traits of the steps. A column that a step passes on, or that
    comes out of one under its own name, is whose it was."""
    by_node: dict[int, dict[str, Step]] = {}
    for node in step.walk():
        below: dict[str, Step] = {}
        for i in reversed(node.inputs):
            below |= by_node[id(i)]
        own = dict.fromkeys(node.writes(), node) if any(node.models()) and hasattr(node, "into") else {}
        passed = node.passes()
        kept = {c: below[source] for c in _names(node) if (source := passed.get(c, c)) in below}
        by_node[id(node)] = {**kept, **own}
    return by_node[id(step)]


def _names(node: Step) -> list[str]:
    try:
        return list(node.schema.names())
    except DreamframeError:
        return []


def _by_name(output: StepRecord) -> dict[str, str]:
    """By the lines of the steps that ask, of a plan that cannot be read: "PROMPT answer ← …"."""
    found: dict[str, str] = {}
    for node in output.plan if is_plan(list(output.plan)) else ():
        said = str(node.get("describe", ""))
        rest = said.split(" ", 1)[-1]
        found |= {column: said for column in output.columns if " ← " in said and rest.startswith(f"{column} ")}
    return found


def unstored(held: Held, plan: PlanRecord, stored: Mapping[str, str]) -> str | None:
    """What the rows of a plan are called where they are not stored and the plan can be read. `stored`: outputs by the first digits of their keys."""
    if plan.kind != "frame" or plan.key[:12] in stored or step_of_plan(held, plan) is None:
        return None
    return AT_HAND + plan.name


def texts(held: Held, name: str) -> dict[str, dict[str, str]]:
    """What each step of a plan says to its model, by the first digits of the step's key; nothing of a plan that cannot be read."""
    plan = next((p for p in held.plans() if p.name == name), None)
    read = None if plan is None else step_of_plan(held, plan)
    if read is None:
        return {}
    step, memo = read
    hides = plan_redactor([step])
    return {node.key(memo)[:12]: said for node in step.walk() if (said := prompt_texts(node, hides))}
