"""The rows of a plan that is not whole: which have their answers, which failed, and why, and which were not asked about."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dreamframe.errors import DreamframeError, SettingError
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Step
from dreamframe.run.why.trace import CUT
from dreamframe.session.page.cells import cell
from dreamframe.session.page.folder import AT_HAND, Held
from dreamframe.session.page.steps import authors, step_of_output

Failures = Sequence[Mapping[str, Any]]  # of a run, as its record has them
KEPT, FAILED, NOT_ASKED = "kept", "failed", "not asked"


@dataclass(frozen=True)
class States:
    """Of the rows of an output."""

    words: pl.Series  # KEPT, NOT_ASKED, or FAILED and the kind of the error: "failed: ParseError"
    marks: Mapping[int, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)  # row → column without an answer → error and message; none: not asked
    rows: Mapping[tuple[str, str], Sequence[int]] = field(default_factory=dict)  # label of a step, request → the rows without an answer to it

    def counted(self) -> dict[str, int]:
        """How many rows are in each state."""
        return dict(sorted(Counter(self.words.to_list()).items()))

    def are(self, state: str) -> pl.Series:
        """Which rows are in a state; "failed" stands for every error. Raises SettingError for a word that says none."""
        if state == FAILED:
            return self.words.str.starts_with(FAILED)
        if state not in (KEPT, NOT_ASKED) and not state.startswith(f"{FAILED}: "):
            raise SettingError(f"there is no state {state[:80]!r}; there are {KEPT}, {FAILED} and {NOT_ASKED}")
        return self.words == state


def states(held: Held, name: str) -> States | None:
    """The states of the rows of an output; None of one that is stored, in which nothing has failed."""
    return held.once(("states", name, held.version(name)), lambda: _found(held, name)) if name.startswith(AT_HAND) else None


def _found(held: Held, name: str) -> States:
    table, plan = held.rows(name), step_of_output(held, held.output(name))
    words = [KEPT] * table.height
    marks: dict[int, dict[str, dict[str, Any]]] = {}
    rows: dict[tuple[str, str], list[int]] = {}
    if plan is not None:
        why = {(str(f.get("step")), str(f.get("request"))): f for run in held.runs() for f in run.failures}
        for column, node in authors(plan).items():
            for row, request in _without_answer(plan, node, column, table):
                failure = why.get((node.label, request))
                rows.setdefault((node.label, request), []).append(row)
                said = {} if failure is None else {k: cell(failure.get(k)) for k in ("error", "message")}
                marks.setdefault(row, {})[column] = said
                if words[row] in (KEPT, NOT_ASKED):
                    words[row] = f"{FAILED}: {failure.get('error')}" if failure is not None else NOT_ASKED
    return States(pl.Series(words, dtype=pl.String), marks, rows)


def _without_answer(plan: Step, node: Step, column: str, table: pl.DataFrame) -> Iterator[tuple[int, str]]:
    """Rows in which a column is null although something was to be asked, and what was."""
    if column not in table.columns:
        return
    missing = table.get_column(column).is_null().arg_true()
    texts = requests(plan, node, table[missing])
    yield from ((row, text) for row, text in zip(missing.to_list(), texts or (), strict=False) if text is not None)


def requests(plan: Step, node: Step, rows: pl.DataFrame) -> list[str | None] | None:
    """What a step asks about rows, as a failure names it; None where that does not follow from the rows."""
    prompt = getattr(node, "prompt", None)
    if prompt is None or not set(prompt.columns) <= set(rows.columns) or not rows.height:
        return None
    hides = plan_redactor([plan])
    try:
        return [None if text is None else hides.text(str(text)[:CUT]) for text in prompt.render(rows).to_list()]
    except (DreamframeError, pl.exceptions.PolarsError, OSError, AssertionError):
        return None  # a prompt that other tables have a part in


def failed_row(held: Held, run: str, n: int) -> dict[str, Any]:
    """The output and the row of the n-th failure of a run. Raises SettingError where it is in none that can be looked at."""
    record = next((r for r in held.runs() if r.name == run), None)
    if record is None or n >= len(record.failures):
        raise SettingError(f"there is no such failure in the run {run[:80]!r}")
    found = without_answer(held, record.failures, n) or _answered_since(held, record.failures, n)
    if found is None:
        label, row = record.failures[n].get("step"), record.failures[n].get("row")
        raise SettingError(f"row {row} of {str(label)[:80]!r} is in no rows that can be looked at: it was left out, or its plan cannot be read here")
    return {"output": found[0], "row": found[1]}


def without_answer(held: Held, failures: Failures, n: int) -> tuple[str, int] | None:
    """The output and the row without an answer that the n-th failure of a run is of."""
    known = held.by_key()
    for plan in reversed(held.plans()):
        if plan.problem is None and plan.kind == "frame" and plan.key[:12] not in known:
            with contextlib.suppress(DreamframeError, pl.exceptions.PolarsError):
                found = states(held, AT_HAND + plan.name)
                if found is not None and (rows := found.rows.get(_asked(failures[n]))):
                    return AT_HAND + plan.name, _alike(rows, failures, n)
    return None


def _answered_since(held: Held, failures: Failures, n: int) -> tuple[str, int] | None:
    label, request = _asked(failures[n])
    for output in reversed(held.outputs()):
        plan = step_of_output(held, output)
        for node in () if plan is None else plan.walk():
            if plan is not None and node.label == label and any(node.models()):
                texts = requests(plan, node, held.rows(output.name)) or []
                if rows := [row for row, text in enumerate(texts) if text == request]:
                    return output.name, _alike(rows, failures, n)
    return None


def _asked(failure: Mapping[str, Any]) -> tuple[str, str]:
    return str(failure.get("step")), str(failure.get("request"))


def _alike(rows: Sequence[int], failures: Failures, n: int) -> int:
    """Of rows about which the same was asked, the one that a failure is of: both are in the order of the rows."""
    same = sorted((i for i, one in enumerate(failures) if _asked(one) == _asked(failures[n])), key=lambda i: int(failures[i].get("row") or 0))
    return rows[min(same.index(n), len(rows) - 1)]
