"""Which rows a row was made of, and which were made of it, among the outputs that can be looked at."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import polars as pl

from dreamframe.errors import DreamframeError
from dreamframe.plan.compare import is_plan
from dreamframe.run.why.kin import Kin
from dreamframe.session.page.folder import AT_HAND, Held
from dreamframe.session.page.steps import step_of_output
from dreamframe.session.records import StepRecord

MOST = 50  # rows of one output that are named
MOST_ROWS = 2_000_000  # of an output beyond which nobody waits for it


def kin(held: Held, name: str, row: int) -> dict[str, Any]:
    """The rows of earlier outputs that this one was made of, nearest first, and those of later ones that it was made into: by output, the first MOST, and how
    many there are. Of outputs that a model wrote, or that were collected."""
    return kin_of(held, name, pl.col("row") == row).get(row, {"from": [], "into": []})


def kin_of(held: Held, name: str, which: pl.Expr) -> dict[int, dict[str, Any]]:
    """The same for all rows of an output of which a condition on `row` holds."""
    one = held.output(name)
    collected = {plan.key for plan in held.plans()}
    above = [(held.output(earlier), pairs) for earlier, pairs in list(_made_of(held, one).items())[::-1]]
    later = [other for other in held.outputs() if other.name != name and _place(other, one) is not None and _is_worth(held, other, collected)]
    below = [(other, _made_of(held, other).get(name)) for other in later]
    made: dict[int, dict[str, Any]] = {}
    for way, found in (("from", above), ("into", [(other, None if p is None else p.rename({"row": "at", "at": "row"})) for other, p in below])):
        for other, pairs in found:
            if pairs is not None and _is_worth(held, other, collected):
                for row, rows in pairs.filter(which).group_by("row", maintain_order=True).agg("at").iter_rows():
                    said = {"output": other.name, "label": other.label, "n": len(rows), "rows": rows[:MOST]}
                    made.setdefault(row, {"from": [], "into": []})[way].append(said)
    return made


def _is_worth(held: Held, output: StepRecord, collected: Collection[str]) -> bool:
    if output.key in collected or (is_plan(list(output.plan)) and any(key.startswith(str(output.plan[-1]["key"])) for key in collected)):
        return True
    step = step_of_output(held, output)
    return step is not None and bool(step.models())


def _made_of(held: Held, output: StepRecord) -> Mapping[str, pl.DataFrame]:
    """By output that a plan goes through: columns `row` of the plan's own rows and `at` of the other's."""
    others = {o.name: place for o in held.outputs() if o.name != output.name and (place := _place(output, o)) is not None}
    return held.once(("kin", output.name, held.version(output.name), tuple(others)), lambda: _found(held, output, others)) if others else {}


def _found(held: Held, output: StepRecord, others: Mapping[str, int]) -> dict[str, pl.DataFrame]:
    try:
        is_whole = not output.name.startswith(AT_HAND)
        n = output.rows if is_whole else held.rows(output.name).height
        step = step_of_output(held, output) if is_whole else held.lenient(output.name.removeprefix(AT_HAND))
        found = {} if step is None or n > MOST_ROWS else held.session._replayed(Kin.between(step, set(others.values()), n, is_whole=is_whole))
    except (DreamframeError, pl.exceptions.PolarsError, OSError):
        return {}  # rows are gone, or a source is: the row itself is there all the same
    made = {}
    for name, place in sorted(others.items(), key=lambda one: one[1]):
        if (pairs := found.get(place)) is not None:
            made[name] = pairs.filter(pl.col("at") < held.output(name).rows)
    return made


def _place(output: StepRecord, other: StepRecord) -> int | None:
    """The place among the steps of an output's plan of that which another is the output of; None where it is not among them."""
    if not is_plan(list(output.plan)) or not is_plan(list(other.plan)):
        return None
    key = str(other.plan[-1]["key"])
    return next((i for i, node in enumerate(output.plan[:-1]) if node["key"] == key), None)
