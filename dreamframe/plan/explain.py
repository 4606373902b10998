"""A plan as text and as a graph. Pure: nothing is run, opened or asked."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import fields, is_dataclass
from typing import NamedTuple

from dreamframe.plan.hidden import ONLY, readable
from dreamframe.plan.optimizer.order import model_filters
from dreamframe.plan.optimizer.rules import Optimised
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import RoundsStep, Step
from dreamframe.redaction.redactor import Redactor
from dreamframe.redaction.visible import in_line


def plan_text(step: Step, *, note: Callable[[Step], str] = lambda _: "", helpers: Container[int] = (), is_kept: bool = False) -> str:
    """One line a step, the last step first, inputs indented below it, as polars' own explain() does.

    A step that is read more than once is drawn once and named by number afterwards. `note` may add to a line. What is kept names no whole path. Steps that
    nobody wrote, `helpers` by their ids, have no line unless they leave rows out.
    """
    hides = plan_redactor([step])
    said = line if is_kept else whole_line
    lines = [
        "  " * one.depth + one.text(lambda node: said(node, hides), hides) + dotted(note(one.step) if one.is_first else "") for one in drawn(step, helpers)
    ]
    return "\n".join(lines)


def dotted(note: str) -> str:
    """What is said of a step, as its line ends with it."""
    return f"  · {note}" if note else ""


class Drawn(NamedTuple):
    """A line of a plan: a step, or that it was drawn above."""

    step: Step
    depth: int
    number: int  # of a step that is read more than once; 0 for others
    is_first: bool

    def text(self, said: Callable[[Step], str], hides: Redactor) -> str:
        """The line, without what stands before it for its depth."""
        if not self.is_first:
            return f"[{self.number}] as above"
        is_masked = bool(self.step.models()) and ONLY in self.step.describe()
        branch = " · only where its branch is taken" if is_masked else ""
        return (f"[{self.number}] " if self.number else "") + by_name(self.step, said(self.step), hides) + branch


def drawn(step: Step, helpers: Container[int] = ()) -> Iterator[Drawn]:
    """The lines of a plan, the last step first. `helpers`: ids of steps that have none unless they leave rows out."""
    seen: dict[int, int] = {}
    shared = _read_twice(step)
    waiting = [(step, 0)]
    while waiting:
        node, depth = waiting.pop()
        while id(node) in helpers and len(node.inputs) == 1 and node.rows == "same":
            node = node.inputs[0]
        if id(node) in seen:
            yield Drawn(node, depth, seen[id(node)], is_first=False)
            continue
        if id(node) in shared:
            seen[id(node)] = len(seen) + 1
        yield Drawn(node, depth, seen.get(id(node), 0), is_first=True)
        waiting += [(below, depth + 1) for below in reversed(node.inputs)]


def rules_text(made: Optimised) -> str:
    """What the rules of the optimiser did, a line for each use: the rule, the step that it changed, and what stands in its place. Then where a rule would
    save calls and does not, since something else would change."""
    uses = [f"  {use.rule}: {whole_line(use.step)} → {whole_line(use.made)}" for use in made.trace]
    done = ["rules, in the order in which they were used:", *uses] if uses else ["rules: none was used"]
    kept = [f"  {h.rule}: {_named(h.step)}{'' if h.below is h.step else f' not below {_named(h.below)}'}: {h.why}" for h in made.held]
    if learnt := [_named(one.prompt) for plan in made.plans for one in model_filters(plan.walk()) if id(one.prompt) not in _in_rounds(plan)]:
        done.append(f"  filters_ordered: which of {', '.join(learnt)} is asked first is learnt from the first rows, while the plan runs")
    return "\n".join([*done, *(["not used, since rows, numbers of samples or errors would be others:", *dict.fromkeys(kept)] if kept else [])])


def _in_rounds(plan: Step) -> set[int]:
    """Ids of the steps that a limit runs in rounds until it has its rows: those keep their order."""
    found: set[int] = set()
    for node in plan.walk():
        below = node.inputs[0] if isinstance(node, RoundsStep) else None
        while below is not None and below.is_streamed and id(below) not in found:
            found.add(id(below))
            below = below.inputs[0]
    return found


def _named(step: Step) -> str:
    return f"`{in_line(plan_redactor([step]).text(readable(step.label)))}`"


def line(step: Step, hides: Redactor | None = None) -> str:
    """What a step does, in one line without secrets: those that `hides` knows, or its own."""
    hides = plan_redactor([step]) if hides is None else hides
    return in_line(hides.text(" ".join(readable(step.describe()).split("\n"))))


def by_name(step: Step, text: str, hides: Redactor) -> str:
    """The line of a step with its name before it, which is the user's or that of the verb which made the step; without, where it begins with it."""
    if step.name is None or text.startswith(step.name.upper().replace("_", " ")):
        return text
    return f"{in_line(hides.text(step.name))}: {text}"


def whole_line(step: Step, hides: Redactor | None = None) -> str:
    """As `line`, with the addresses and whole paths that the step reaches for: to be shown, not to be kept."""
    hides = plan_redactor([step]) if hides is None else hides
    return in_line(hides.text(" ".join(readable(step.explained()).split("\n"))))


def _read_twice(step: Step) -> set[int]:
    counts: dict[int, int] = {}
    for node in step.walk():
        for below in node.inputs:
            counts[id(below)] = counts.get(id(below), 0) + 1
    return {i for i, n in counts.items() if n > 1}


def plan_dot(step: Step, *, note: Callable[[Step], str] = lambda _: "") -> str:
    """The plan in Graphviz' DOT language, data flowing downwards.

    >>> import polars as pl
    >>> from dreamframe.plan.steps.source import Table
    >>> print(plan_dot(Table(data=pl.DataFrame({"a": [1]}))))
    digraph plan {
      node [shape=box, fontname="sans-serif"];
      s0 [label="TABLE 1 rows"];
    }
    """
    nodes = step.walk()
    number = {id(n): i for i, n in enumerate(nodes)}
    hides = plan_redactor([step])
    labels = [f"  s{i} [label={_quoted(by_name(n, whole_line(n, hides), hides) + dotted(note(n)))}];" for i, n in enumerate(nodes)]
    arrows = [f"  s{number[id(b)]} -> s{number[id(n)]};" for n in nodes for b in n.inputs]
    return "\n".join(["digraph plan {", '  node [shape=box, fontname="sans-serif"];', *labels, *arrows, "}"])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def prompt_texts(node: Step, hides: Redactor) -> dict[str, str]:
    """What a step says to its model: the texts of its system prompt and its prompt, as they stand in the plan, without secrets."""
    prompt = getattr(node, "prompt", None)
    held = {f.name: getattr(prompt, f.name) for f in fields(prompt)} if is_dataclass(prompt) else {}
    return {name: hides.text(text) for name, text in {"system": getattr(node, "system", None), **held}.items() if isinstance(text, str) and text}
