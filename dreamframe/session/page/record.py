"""One row as a conversation: the columns it came with, and step by step what was asked and answered. In the words of `df.why`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import polars as pl

from dreamframe.errors import DreamframeError, SettingError
from dreamframe.plan.explain import line
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Source, Step
from dreamframe.run.why.trace import Replay
from dreamframe.session.page.cells import cell, kind_of
from dreamframe.session.page.folder import AT_HAND, Held
from dreamframe.session.page.states import states
from dreamframe.session.page.steps import authors, step_of_output, written
from dreamframe.session.records import StepRecord

MOST_SOURCES = 20_000  # rows of a source up to which a report has stories
MOST_TOLD = 5  # rows of a step in the story of one


def record(held: Held, name: str, row: int) -> dict[str, Any]:
    """One row of an output: its columns whole, and its story."""
    table = held.rows(name)
    if row >= table.height:
        raise SettingError(f"{name[:80]!r} has {table.height:,} rows; there is no row {row:,}")
    known = states(held, name)
    marks = {} if known is None else known.marks.get(row, {})
    return {"row": row, "n": table.height, "marks": marks, **told(held, name, table.slice(row, 1), whole=True)[0], "story": story(held, name, row)}


def told(held: Held, name: str, rows: pl.DataFrame, *, whole: bool = False) -> list[dict[str, Any]]:
    """The columns of some rows, and how a model was asked for them, as far as the rows themselves tell."""
    output = held.output(name)
    by_model = written(held, output)
    turns = _turns(held, name, rows)
    kinds = {c: (str(dtype), kind_of(dtype)) for c, dtype in rows.schema.items()}
    made = []
    for i, row in enumerate(rows.iter_rows(named=True)):
        columns = [
            {"name": c, "type": kinds[c][0], "kind": kinds[c][1], "value": cell(v, whole=whole), "is_written": c in by_model, "by": by_model.get(c)}
            for c, v in row.items()
        ]
        made.append({"columns": columns, "turns": [{**turn, "messages": turn["messages"][i]} for turn in turns]})
    return made


def story(held: Held, name: str, row: int) -> dict[str, Any] | None:
    """What `session.why` tells of a row, ready for JSON; None where the session cannot tell it."""
    try:
        step = _step(held, name)
        return None if step is None else dict(_shown(held.session.why(step, row)))
    except (DreamframeError, pl.exceptions.PolarsError):
        return None  # the row and its columns are there all the same


def stories(held: Held, name: str, n: int) -> list[dict[str, Any]]:
    """The same of the first n rows, each with the first few rows of a step; none where the session cannot tell them, or where rows are so many that it
    takes long."""
    try:
        step = _step(held, name)
        if step is None or n == 0 or _n_sources(held.output(name), step) > MOST_SOURCES:
            return []
        why = {(str(f.get("step")), str(f.get("request"))): f"{f.get('error')}: {f.get('message')}" for run in held.runs() for f in run.failures}
        made = held.session._replayed(
            lambda stores, options, knows: Replay(stores, options, step, most=MOST_TOLD, failed=lambda: why, knows=knows).stories(range(n))
        )
        return [dict(_shown(one)) for one in made]
    except (DreamframeError, pl.exceptions.PolarsError):
        return []


def _step(held: Held, name: str) -> Step | None:
    return held.lenient(name.removeprefix(AT_HAND)) if name.startswith(AT_HAND) else step_of_output(held, held.output(name))


def _n_sources(output: StepRecord, step: Step) -> int:
    """The rows of the largest source, as far as is known."""
    return max((*(node.n_out() or 0 for node in step.walk() if isinstance(node, Source)), *(ran.rows_in for ran in output.ran)), default=0)


def _shown(value: Any) -> Any:
    """A record of a story as JSON: values of rows as cells, all else as it is."""
    if is_dataclass(value):
        return {f.name: _values(told) if f.name == "values" else _shown(told) for f in fields(value) for told in (getattr(value, f.name),)}
    if isinstance(value, Mapping):
        return {str(k): _shown(held) for k, held in value.items()}
    if isinstance(value, (list, tuple)):
        return [_shown(v) for v in value]
    return value if value is None or isinstance(value, (bool, str)) else cell(value)


def _values(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {str(c): cell(v, whole=True) for c, v in columns.items()}


def _turns(held: Held, name: str, rows: pl.DataFrame) -> list[dict[str, Any]]:
    """For each step that asked a model: its column, its model, and the messages for each row, as they follow from the row; None where they do not."""
    step = step_of_output(held, held.output(name))
    if step is None:
        return []
    hides = plan_redactor([step])
    nodes = {id(node): node for node in authors(step).values()}
    order = {id(node): i for i, node in enumerate(step.walk())}
    made = []
    for node in sorted(nodes.values(), key=lambda n: order[id(n)]):
        model = next(iter(node.models()), None)
        said = {"column": str(getattr(node, "into", node.label)), "describe": line(node, hides), "model": "" if model is None else str(model.label)}
        made.append({**said, "messages": [None if m is None else hides.value(m) for m in _messages(node, rows)]})
    return made


def _messages(node: Step, rows: pl.DataFrame) -> Sequence[list[dict[str, Any]] | None]:
    prompt = getattr(node, "prompt", None)
    none = [None] * rows.height
    if prompt is None or not set(prompt.columns) <= set(rows.columns):
        return none
    try:
        texts = prompt.render(rows).to_list()
    except (DreamframeError, pl.exceptions.PolarsError, OSError, AssertionError):
        return none  # a prompt that other tables have a part in
    system = getattr(node, "system", None) or getattr(getattr(node, "llm", None), "system", None)
    first = [{"role": "system", "content": system}] if system else []
    return [None if text is None else [*first, *_as_messages(prompt.form, text)] for text in texts]


def _as_messages(form: str, text: str) -> list[dict[str, Any]]:
    return list(json.loads(text)) if form == "messages" else [{"role": "user", "content": text}]
