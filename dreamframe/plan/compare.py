"""Why a step misses: the parts of its key beside those of the nearest earlier output. Pure: what was stored is an argument."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dreamframe.identity.whose_code import recorded
from dreamframe.plan.explain import line
from dreamframe.plan.hidden import readable
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Memo, Step
from dreamframe.redaction.visible import visible

Node = Mapping[str, Any]  # of a plan on record: key, step, describe, parts, inputs (positions in the list)


def on_record(step: Step, memo: Memo) -> list[dict[str, Any]]:
    """A plan as step.json keeps it: every step once, inputs before the steps that read them; digests of the parts, not their values."""
    steps = step.walk()
    hides = plan_redactor([step])
    position = {id(s): i for i, s in enumerate(steps)}
    return [
        {
            "key": s.key(memo)[:12],
            "step": recorded(type(s)).__name__,
            "describe": line(s, hides)[:200],
            "parts": s.key_parts(memo),
            "inputs": [position[id(i)] for i in s.inputs],
        }
        for s in steps
    ]


def why_miss(step: Step, memo: Memo, records: Sequence[Mapping[str, Any]], *, key: str | None = None) -> str:
    """Which parts of a plan differ from those of the nearest of the stored outputs (their records, oldest first). `key`: that its rows are kept under.

    >>> import polars as pl
    >>> from dreamframe.plan.steps.source import Table
    >>> one, other = (Table(data=pl.DataFrame({"a": [i]})) for i in (1, 2))
    >>> print(why_miss(one, {}, [{"key": "0", "label": "table", "rows": 1, "made_at": "yesterday", "plan": on_record(other, {})}]))
    table is not stored. The nearest stored output is 'table' of yesterday, 1 rows. What differs:
      TABLE 1 rows: content
    """
    plan = on_record(step, memo)
    known = [r for r in records if is_plan(r.get("plan"))]
    if any(r.get("key") == (key or step.key(memo)) for r in records):
        return f"{step.label} is stored: it does not run again."
    alike = [r for r in known if r["plan"][-1]["step"] == plan[-1]["step"]] or known
    if not alike:
        return f"{step.label} is not stored, and no earlier output of this session is like it."
    nearest = max(enumerate(alike), key=lambda pair: (likeness(plan, pair[1]["plan"]), pair[0]))[1]
    found = differences(plan, nearest["plan"])
    made = f"{readable(str(nearest.get('label')))!r} of {nearest.get('made_at')}, {nearest.get('rows')} rows"
    first = f"{step.label} is not stored. The nearest stored output is {made}. What differs:"
    return visible("\n  ".join([first, *(found or ["nothing that was recorded"])]))


def differences(new: Sequence[Node], old: Sequence[Node]) -> list[str]:
    """The steps of a plan on record that are not those of another, each in words."""
    return list(dict.fromkeys(map(readable, _differences(new, new[-1], old, old[-1]))))


def is_plan(plan: Any) -> bool:
    """Whether a record of a stranger's folder, or of another version, can be read as a plan."""
    return isinstance(plan, list) and bool(plan) and all(_is_node(n, i) for i, n in enumerate(plan))


def _is_node(node: Any, position: int) -> bool:
    if not isinstance(node, Mapping) or not all(isinstance(node.get(name), str) for name in ("key", "step", "describe")):
        return False
    shapes = isinstance(node.get("parts"), Mapping) and isinstance(node.get("inputs"), list)
    return shapes and all(isinstance(v, str) for v in node["parts"].values()) and all(type(i) is int and 0 <= i < position for i in node["inputs"])


def likeness(plan: Sequence[Node], other: Sequence[Node]) -> int:
    """How many parts two plans have in common."""
    counts = [Counter((n["step"], name, digest) for n in p for name, digest in n["parts"].items()) for p in (plan, other)]
    return (counts[0] & counts[1]).total()


def _differences(new: Sequence[Node], a: Node, old: Sequence[Node], b: Node) -> Iterator[str]:
    """What differs between two plans below two of their steps, which are taken for one another unless one was put in or taken out."""
    met: set[tuple[int, int]] = set()
    waiting: list[tuple[Node, Node] | str] = [(a, b)]  # a plan may be ten thousand steps deep
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            yield item
            continue
        a, b = item
        if a["key"] == b["key"] or (id(a), id(b)) in met:
            continue
        met.add((id(a), id(b)))
        if not _is_same(a, b):
            if passed := _until(new, a, b):
                yield from (f"put in: {n['describe']}" for n in passed)
                waiting.append((new[passed[-1]["inputs"][0]], b))
                continue
            if passed := _until(old, b, a):
                yield from (f"taken out: {n['describe']}" for n in passed)
                waiting.append((a, old[passed[-1]["inputs"][0]]))
                continue
            yield _change(a, b)
        if a["step"] == b["step"] and len(a["inputs"]) != len(b["inputs"]):
            waiting.append(f"{a['describe']}: reads {len(a['inputs'])} tables and models (was: {len(b['inputs'])})")
        waiting += [(new[i], old[j]) for i, j in zip(a["inputs"], b["inputs"], strict=False)][::-1]


def _is_same(a: Node, b: Node) -> bool:
    return bool(a["step"] == b["step"] and a["parts"] == b["parts"])


def _until(plan: Sequence[Node], node: Node, goal: Node) -> list[Node]:
    """The steps from `node` down its first inputs to one like `goal`, without it; empty if there is none."""
    passed: list[Node] = []
    while node["inputs"]:
        passed.append(node)
        node = plan[node["inputs"][0]]
        if _is_same(node, goal) or (node["step"] == goal["step"] and passed[0]["step"] != goal["step"]):
            return passed
    return []


def _change(a: Node, b: Node) -> str:
    if a["step"] != b["step"]:
        return f"{a['describe']} in place of {b['describe']}"
    names = [name for name in {**a["parts"], **b["parts"]} if a["parts"].get(name) != b["parts"].get(name)]
    was = f" (was: {b['describe']})" if a["describe"] != b["describe"] else ""
    return f"{a['describe']}: {', '.join(names)}{was}"
