"""Plans as the page draws them: one line a step in the order of their writing, with what is kept, asked and failed, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dreamframe.plan.compare import is_plan
from dreamframe.plan.hidden import readable
from dreamframe.plan.ledgers import words
from dreamframe.session.page.folder import Held
from dreamframe.session.page.steps import nodes_of, step_of_plan, unstored
from dreamframe.session.page.verbs import fold, steps_drawn
from dreamframe.session.records import PlanRecord, RunRecord, StepRun

Counted = dict[str, list[tuple[RunRecord, StepRun]]]  # by the first digits of the key of a step: what runs did in it, oldest first
DIGITS = 12


def plans(held: Held) -> list[dict[str, Any]]:
    """The kept plans, that which ran last first, and before them runs of plans that are not kept yet."""
    counted = counts(held.runs())
    order = {run.name: i for i, run in enumerate(held.runs())}
    outputs = held.by_key()
    covered = {str(node["key"]) for o in held.outputs() if is_plan(list(o.plan)) for node in o.plan}
    made = []
    for plan in held.plans():
        nodes = nodes_of(held, plan)
        found = list(drawn(nodes))
        lines = [_line(node, depth, counted, outputs, covered, held) for node, depth in found] or _logged(plan, counted, held)
        if found and (read := step_of_plan(held, plan)) is not None and (steps := steps_drawn([n for n, _ in found], nodes, read[0].walk())) is not None:
            fold(lines, steps)
        if lines and (name := unstored(held, plan, outputs)) is not None:
            lines[-1] |= {"output": name}
        last = max((order[run.name] for line in lines for run, _ in counted.get(line["key"], ())), default=-1)
        made.append((last, {**_head(plan), "steps": lines}))
    known = {line["key"] for _, plan in made for line in plan["steps"]}
    made += [(order[run.name], _unkept(run, counted, held)) for run in held.runs() if not run.is_over and _is_new(run, known)]
    return [plan for _, plan in sorted(made, key=lambda pair: -pair[0])]


def counts(runs: Sequence[RunRecord]) -> Counted:
    """What runs did, by step."""
    found: Counted = {}
    for run in runs:
        for step in run.steps:
            if step.key:
                found.setdefault(step.key[:DIGITS], []).append((run, step))
    return found


def drawn(nodes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Every step once, inputs first; a table that is read beside the first one stands deeper, before the step that reads it."""
    if not is_plan(list(nodes)):
        return
    met: set[int] = set()
    waiting: list[tuple[int, int, bool]] = [(len(nodes) - 1, 0, False)]
    while waiting:
        at, depth, is_ready = waiting.pop()
        if is_ready:
            yield nodes[at], depth
        elif at not in met:
            met.add(at)
            waiting.append((at, depth, True))
            first, *others = nodes[at]["inputs"] or [None]
            waiting += [(i, depth + 1, False) for i in reversed(others)]
            waiting += [] if first is None else [(first, depth, False)]


def _head(plan: PlanRecord) -> dict[str, Any]:
    return {"name": plan.name, "label": plan.label, "kind": plan.kind, "problem": plan.problem, "explain": plan.explain}


def _line(node: Mapping[str, Any], depth: int, counted: Counted, outputs: Mapping[str, str], covered: set[str], held: Held) -> dict[str, Any]:
    key = str(node["key"])[:DIGITS]
    ran = counted.get(key, [])
    line = {"key": key, "depth": depth, "step": str(node["step"]), "describe": readable(str(node["describe"])), "output": outputs.get(key)}
    return {**line, **_summed(ran, is_covered=key in covered, held=held)}


def _summed(ran: Sequence[tuple[RunRecord, StepRun]], *, is_covered: bool, held: Held) -> dict[str, Any]:
    """The state of a step, the counts of its last run, and what all runs of it have asked and paid."""
    if not ran:
        return {"state": "kept" if is_covered else "", "runs": 0}
    run, last = ran[-1]
    costs = [step.cost for _, step in ran]
    asks = bool(last.model)
    total = {
        "label": last.label,
        "model": last.model,
        "runs": len(ran),
        "asked": sum(step.calls for _, step in ran),
        "tokens_in": sum(step.tokens_in for _, step in ran),
        "tokens_out": sum(step.tokens_out for _, step in ran),
        "cost": None if None in costs else sum(c or 0.0 for c in costs),
        "last": {k: getattr(last, k) for k in ("rows_in", "rows", "total", "calls", "cached", "failed", "skipped", "truncated", "retries")},
        "errors": dict(last.errors),
        "told": ", ".join(words(last.told)),
    }
    done = last.calls + last.cached
    if held.is_live(run):
        state = "asked" if asks else "runs"
    elif last.failed:
        state = "failed"
    elif not run.is_over and not is_covered:
        state = "partly"
    else:
        state = "kept" if asks or is_covered else ""
    return {"state": state, **total, "done": done}


def _logged(plan: PlanRecord, counted: Counted, held: Held) -> list[dict[str, Any]]:
    """The steps of a plan that cannot be read, as its last run has them."""
    ran = counted.get(plan.key[:DIGITS])
    return _of_run(ran[-1][0], counted, held, explain=plan.explain) if ran else []


def _is_new(run: RunRecord, known: set[str]) -> bool:
    return any(step.key and step.key[:DIGITS] not in known for step in run.steps)


def _unkept(run: RunRecord, counted: Counted, held: Held) -> dict[str, Any]:
    """The steps of a run whose plan is written down when it ends, as its log has them."""
    label = run.steps[-1].label if run.steps else "a run"
    return {"name": f"run {run.name}", "label": label, "kind": "run", "problem": None, "explain": "", "steps": _of_run(run, counted, held)}


def _of_run(run: RunRecord, counted: Counted, held: Held, *, explain: str = "") -> list[dict[str, Any]]:
    """The steps that a log tells of, each in the words of explain() where they are known."""
    lines = [text.strip() for text in explain.splitlines()]
    found = []
    trained = {str(line.get("key")) for line in held.logged(run)}
    for step in run.steps:
        key, trains = step.key[:DIGITS], step.key in trained
        own = [text for text in lines if f" {step.label} " in text or text.startswith(f"{step.label}: ")]
        asks = [text for text in own if (" ← " in text) == bool(step.model)]
        told = f"{'TRAIN' if trains else 'PROMPT' if step.model else 'STEP'} {step.label}{f' ← {step.model}' if step.model else ''}"
        ran = counted.get(key) or [(run, step)]
        line = asks[0] if len(asks) == 1 else told
        found.append({"key": key, "depth": 0, "step": "Train" if trains else "", "describe": line, "output": None, **_summed(ran, is_covered=False, held=held)})
    return found
