"""What trainings log: of trained models the log that is kept with them, of others, also while they go on, the lines of the run that they are in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamframe.errors import SettingError
from dreamframe.session.page.cells import cell
from dreamframe.session.page.folder import Held

MOST = 50  # trainings that became no model, the newest
OF = ":"  # between a run and the key of a step, in the name of such a training


def unfinished(held: Held) -> list[dict[str, Any]]:
    """Trainings that have not become a model: those that go on, and those that were stopped or have failed, oldest first."""
    made: set[str] = set()
    found: dict[str, dict[str, Any]] = {}
    for run in reversed(held.runs()):
        lines = held.logged(run)
        made |= {str(line.get("key")) for line in lines if line["event"] == "model"}
        for line in reversed(lines):
            key = str(line.get("key"))
            name = f"{run.name}{OF}{key[:12]}"
            if line["event"] != "logged" or key in made or name in found:
                continue
            step = next((s for s in run.steps if s.key == key), None)
            values = line.get("values") or {}
            told = {"step": values.get("step"), "loss": values.get("loss"), "total": None, "base": ""}
            told |= {} if step is None else {"total": step.total, "base": step.model}
            found[name] = {"name": name, "key": key[:12], "label": str(line.get("label", "")), "is_live": held.is_live(run), "at": line.get("at"), **told}
            if len(found) >= MOST:
                return list(found.values())[::-1]
    return list(found.values())[::-1]


def curves(held: Held, name: str) -> dict[str, Any]:
    """The numbers that a training logged, by the name of its model or of one of `unfinished`: column → values, the steps among them."""
    if OF in name:
        return _so_far(held, name)
    log = held.curves(name)
    numbers = [c for c in log.columns if log.schema[c].is_numeric()]
    return {"model": name, "rows": log.height, "columns": {c: [cell(v) for v in log.get_column(c).to_list()] for c in numbers}}


def _so_far(held: Held, name: str) -> dict[str, Any]:
    log, _, key = name.partition(OF)
    run = next((r for r in held.runs() if r.name == log), None)
    lines = [] if run is None else [line for line in held.logged(run) if line["event"] == "logged" and str(line.get("key"))[:12] == key]
    if not lines:
        raise SettingError(f"there is no training {name[:80]!r}")
    values: list[Mapping[str, Any]] = [line.get("values") or {} for line in lines]
    columns = list(dict.fromkeys(c for one in values for c in one))
    return {"model": name, "rows": len(values), "columns": {c: [cell(v) for v in _when_new(c, [one.get(c) for one in values])] for c in columns}}


def _when_new(column: str, values: Sequence[Any]) -> list[Any]:
    """What a validation has found stands in every line until the next: it is shown where it came.

    >>> _when_new("eval_loss", [None, 2.0, 2.0, 1.5]), _when_new("loss", [2.0, 2.0])
    ([None, 2.0, None, 1.5], [2.0, 2.0])
    """
    if not column.startswith("eval_"):
        return list(values)
    return [None if i and value == values[i - 1] else value for i, value in enumerate(values)]
