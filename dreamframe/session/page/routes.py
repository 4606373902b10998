"""Everything that the page can ask for: a word of the address → plain JSON of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.plan.compare import differences, is_plan
from dreamframe.session.diff import flipped
from dreamframe.session.page.cells import cell
from dreamframe.session.page.columns import columns
from dreamframe.session.page.folder import Held
from dreamframe.session.page.kin import kin
from dreamframe.session.page.overview import failures, overview
from dreamframe.session.page.record import record
from dreamframe.session.page.rows import number, one, page
from dreamframe.session.page.states import failed_row
from dreamframe.session.page.steps import step_of_plan, texts, written
from dreamframe.session.page.trainings import curves
from dreamframe.session.page.vectors import vector_columns, vector_map

Query = Mapping[str, str]
MOST_FLIPPED = 500  # values that are shown


def _overview(held: Held, query: Query) -> dict[str, Any]:
    """What is new since the stamp that the page has; `same` where nothing is."""
    live = [run.name for run in held.runs() if held.is_live(run)]
    stamp = hashlib.sha256(repr((held.stamp(), live)).encode()).hexdigest()[:16]
    return {"same": True, "stamp": stamp} if query.get("since") == stamp else {"stamp": stamp, **overview(held)}


def _columns(held: Held, query: Query) -> dict[str, Any]:
    output = held.output(query["output"])
    by = written(held, output)
    return {"columns": columns(held, output.name, frozenset(by)), "vectors": vector_columns(held.rows(output.name).schema), "by": by}


def card(held: Held, name: str) -> dict[str, Any]:
    """The card of what a kept plan makes, in Markdown."""
    return {"text": held.once(("card", name, held.stamp()), lambda: held.session.card(_step(held, name)))}


def _estimate(held: Held, query: Query) -> dict[str, Any]:
    """What running a plan again would ask. Nothing is asked for it."""
    made = held.session.estimate(_step(held, query["plan"])).estimate
    assert made is not None
    told = made.as_dict()
    steps = [{**said, "key": step.key[:12], "state": step.state, "words": str(step)} for said, step in zip(told["steps"], made.steps, strict=True)]
    return {**told, "steps": steps, "total": made.total}


def _step(held: Held, name: str) -> Any:
    plan = next((p for p in held.plans() if p.name == name), None)
    if plan is None:
        raise SettingError(f"there is no kept plan {name[:80]!r}")
    read = step_of_plan(held, plan)
    if read is None:
        raise SettingError(f"the plan {name[:80]!r} was kept as text alone, or needs functions of yours to be read")
    return read[0]


def _contrast(held: Held, query: Query) -> dict[str, Any]:
    """What differs between two outputs of the session."""
    before, after = held.output(query["before"]), held.output(query["after"])
    both = is_plan(list(before.plan)) and is_plan(list(after.plan))

    def made() -> pl.DataFrame:
        return flipped(after.label, held.rows(after.name), held.rows(before.name))

    rows = held.once(("contrast", before.name, after.name), made)
    shown = [[cell(v) for v in row] for row in rows.head(MOST_FLIPPED).select("row", "row_before", "column", "before", "after").iter_rows()]
    n_rows = rows.select("row", "row_before").unique().height
    return {"steps": differences(after.plan, before.plan) if both else [], "rows": shown, "n_values": rows.height, "n_rows": n_rows}


ROUTES: Mapping[str, Callable[[Held, Query], dict[str, Any]]] = {
    "overview": _overview,
    "rows": lambda held, q: page(held, q["output"], q),
    "cell": lambda held, q: one(held, q["output"], number(q["row"], most=10**12), q["column"]),
    "columns": _columns,
    "record": lambda held, q: record(held, q["output"], number(q["row"], most=10**12)),
    "kin": lambda held, q: kin(held, q["output"], number(q["row"], most=10**12)),
    "failures": lambda held, _: failures(held),
    "failed": lambda held, q: failed_row(held, q["run"], number(q["n"], most=10**6)),
    "texts": lambda held, q: texts(held, q["plan"]),
    "curves": lambda held, q: curves(held, q["model"]),
    "card": lambda held, q: card(held, q["plan"]),
    "estimate": _estimate,
    "map": lambda held, q: vector_map(held, q["output"], q["column"], q.get("by", "")),
    "contrast": _contrast,
}
