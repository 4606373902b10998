"""`dreamframe ls`, `show` and `explain`: what a session holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from dreamframe.errors import PlanFormatError, SettingError
from dreamframe.frame.frame import Frame
from dreamframe.plan.estimate import money
from dreamframe.run.active import DEFAULT_FOLDER
from dreamframe.session.records import ModelRecord, PlanRecord, RunRecord, StepRecord
from dreamframe.session.session import Session
from dreamframe.view import options, rows
from dreamframe.view.find import last_runs, plan_of, plans_in_order, record_of
from dreamframe.view.terminal import Column, put, put_json, put_table

PLANS = (Column("plan", must=True), Column("kind"), Column("columns", must=True, text=True), Column("ran"))
STEPS = (
    Column("rows of", must=True), Column("rows", right=True), Column("calls", right=True, colour="asked"), Column("cost", right=True),
    Column("size", right=True), Column("made"),
)  # fmt: skip
MODELS = (Column("model", must=True), Column("trainer"), Column("rows", right=True), Column("seconds", right=True), Column("made"))


def ls(folder: options.Folder = Path(DEFAULT_FOLDER), *, session: options.OrSession = None, json: options.AsJson = False) -> None:
    """List what a session holds: plans, rows, models.

    --json prints an object with the lists "steps" (stored rows), "models", "plans" and "runs"; their keys are the fields of the records that
    dr.Session.steps(), models(), plans() and runs() give.
    """
    with options.existing(options.one_folder(folder, session)) as opened:
        if json:
            put_json(opened.as_dict())
            return
        plans, ran = plans_in_order(opened), last_runs(opened)
        steps, models, runs = opened.steps(), opened.models(), opened.runs()
    listings = (
        (PLANS, [[p.name, p.kind, ", ".join(p.columns), day(ran.get(p.key, ""))] for p in plans]),
        (STEPS, [[s.name, f"{s.rows:,}", f"{s.calls:,}", dollars(s.cost), size(s.bytes), day(s.made_at)] for s in steps]),
        (MODELS, [[m.name, m.trainer, f"{m.rows:,}", "" if m.seconds is None else f"{m.seconds:,.0f}", day(m.made_at)] for m in models]),
    )
    for columns, lines in listings:
        if lines:
            put_table(columns, lines)
            put("")
    put(spent(runs))


def spent(runs: Sequence[RunRecord]) -> str:
    """What the runs did together, in one line."""
    costs = [run.cost for run in runs]
    cost = None if None in costs else sum(c or 0.0 for c in costs)
    n = {"run": len(runs), "call": sum(r.calls for r in runs)}
    counts = [f"{number:,} {word}{'' if number == 1 else 's'}" for word, number in n.items()]
    return " · ".join([*counts, "price unknown" if cost is None else money(cost)])


def show(
    name: options.Name = None,
    *,
    session: options.InSession = Path(DEFAULT_FOLDER),
    n: Annotated[int | None, typer.Option("-n", metavar="NUMBER", help="The first rows alone.")] = None,
    output: options.Out = None,
    to: options.To = None,
    json: options.AsJson = False,
) -> None:
    """Show the rows of a plan, asking nothing.

    On a terminal the first rows are a table; -o, --to or a pipe give all of them as data, as CSV where no format is named. Of a model it shows what is on
    record. --json prints a list of rows, each an object of its columns.
    """
    session, name = options.placed(session, name)
    with options.existing(session, by_option=True) as opened:
        record = record_of(opened, name)
        if isinstance(record, ModelRecord) or (isinstance(record, PlanRecord) and record.kind == "model"):
            _put_record(record, is_json=json)
            return
        found = rows_of(opened, record)
        found = found if n is None else found.head(n)
        format = rows.target_format(output, "json" if json else to, "csv")
        rows.check_types(found.schema, format)
        rows.give(found, output, format, is_asked_for=json or to is not None)


def rows_of(opened: Session, record: PlanRecord | StepRecord) -> pl.DataFrame:
    """The rows of a record, out of the session: those that are stored, else the plan's, made again of kept answers."""
    stored = opened.stores.steps.find(record.key)
    if stored is not None:
        return stored.rows()
    if isinstance(record, StepRecord):
        raise SettingError(f"the rows of {record.name} are not in the session any more.")
    try:
        plan = opened.plan(record.name)
    except PlanFormatError as exc:
        raise SettingError(f"the rows of {record.name} are not stored, and only Python can make them again of the kept answers. {exc}") from exc
    assert isinstance(plan, Frame)
    return plan.collect(offline=True)


def _put_record(record: ModelRecord | PlanRecord, *, is_json: bool) -> None:
    held: dict[str, Any] = record.as_dict()
    if is_json:
        put_json(held)
        return
    lines = [[field, str(value)] for field, value in held.items() if value not in (None, "", [], {})]
    put_table((Column("field"), Column("value", must=True, text=True)), lines)


def explain(
    name: options.Name = None,
    *,
    session: options.InSession = Path(DEFAULT_FOLDER),
    cost: Annotated[bool, typer.Option("--cost", help="Also what each step would ask and cost now.")] = False,
    json: options.AsJson = False,
) -> None:
    """Show a plan, the last step first.

    --json prints the record of the plan: name, key, label, kind, columns, explain, python, libraries, script, problem; with --cost also "estimate".
    """
    session, name = options.placed(session, name)
    with options.existing(session, by_option=True) as opened:
        record = plan_of(opened, name)
        plan = opened.plan(record.name) if cost else None
        frame = plan if isinstance(plan, Frame) else None
        if json:
            put_json(record.as_dict() | ({} if frame is None else {"estimate": frame.estimate().as_dict()}))
            return
        put(record.explain if frame is None else frame.explain(cost=True))


def dollars(cost: float | None) -> str:
    """Money, and nothing where a price is not known.

    >>> dollars(0.04213), dollars(None)
    ('$0.0421', 'unknown')
    """
    return "unknown" if cost is None else money(cost)


def size(n: int) -> str:
    """Bytes as a person says them.

    >>> size(900), size(12_345), size(2_500_000)
    ('900 B', '12.3 kB', '2.5 MB')
    """
    for unit, one in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n >= one:
            return f"{n / one:.3g} {unit}"
    return f"{n} B"


def day(made_at: str) -> str:
    """A moment of UTC as a person reads it, to the minute.

    >>> day("2026-01-31T10:20:30Z"), day("20260131T102030-77-ab.jsonl"), day("")
    ('2026-01-31 10:20', '2026-01-31 10:20', '')
    """
    digits = made_at[:19].replace("-", "").replace(":", "").replace("T", "")
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]} {digits[8:10]}:{digits[10:12]}" if made_at else ""
