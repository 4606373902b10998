"""What differs between two sessions: steps, rows, metrics and what was spent. Reads what is stored; runs nothing."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.plan.compare import differences, is_plan, likeness
from dreamframe.plan.hidden import readable
from dreamframe.redaction.visible import visible

if TYPE_CHECKING:
    from dreamframe.store.stores import Stores

Record = Mapping[str, Any]
ROWS = {"output": pl.String, "row": pl.Int64, "row_before": pl.Int64, "column": pl.String, "before": pl.String, "after": pl.String}
METRICS = {"model": pl.String, "metric": pl.String, "before": pl.Float64, "after": pl.Float64}
SPENT = {"calls": "asked", "tokens_in": "n_in", "tokens_out": "n_out", "cost": "cost"}
FIGURES = ("Evaluate", "Compare")  # steps whose rows are told as metrics
CERTIFICATE = "Certify"  # so is the row of this one: what a cascade decided
SHOWN = 8


@dataclass(frozen=True, repr=False)
class SessionDiff:
    """What `session.diff(other)` found; "before" is in the other session, "after" in this one.

    `steps` names each step that changed, was put in or taken out, once; `only_here` and `only_there` the outputs that have no counterpart. `rows` has a
    line for each value that flipped: output, row here and there (null: the row is only in the other), column, before, after. `metrics` has those of
    trained models, the figures of evaluations by the name of the evaluation, and those of certificates by that of the cascade's sample; `spent` the
    calls, tokens and US dollars (None: a price is not known) of all runs, as (before, after).
    """

    steps: list[str]
    only_here: list[str]
    only_there: list[str]
    rows: pl.DataFrame
    metrics: pl.DataFrame
    spent: dict[str, tuple[float | None, float | None]]

    def __bool__(self) -> bool:
        """Whether there is a difference in what was made."""
        return bool(self.steps or self.only_here or self.only_there or self.rows.height or self.metrics.height)

    def __repr__(self) -> str:
        lines = [] if self else ["The same outputs and models."]
        lines += _listed("Steps", self.steps) + _listed("Only here", self.only_here) + _listed("Only in the other", self.only_there)
        if self.rows.height:
            n_rows = self.rows.select("output", "row", "row_before").unique().height
            lines.append(f"Rows: {n_rows:,} differ, {self.rows.height:,} values (.rows has them all)")
            for r in self.rows.head(SHOWN).iter_rows(named=True):
                place = "only in the other" if r["row"] is None else "only here" if r["row_before"] is None else f"row {r['row']}"
                lines.append(f"  {r['output']} {place}, {r['column']}: {_short(r['before'])} → {_short(r['after'])}")
        lines += ["Metrics:"] * bool(self.metrics.height)
        lines += [f"  {m['model']} {m['metric']}: {_number(m['before'])} → {_number(m['after'])}" for m in self.metrics.iter_rows(named=True)]
        spent = [f"{name} {_number(a)} → {_number(b)}" for name, (a, b) in self.spent.items()]
        return visible("\n".join([*lines, f"Spent: {', '.join(spent)}"]))

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def diff(here: Stores, there: Stores) -> SessionDiff:
    """Compare two sessions, output by output: those with one key are the same, the others go with the one that is most like them."""
    after, before = here.steps.all(), there.steps.all()
    kept = {r["key"] for r in after} & {r["key"] for r in before}
    pairs, only_here, only_there = _paired([r for r in after if r["key"] not in kept], [r for r in before if r["key"] not in kept])
    steps: list[str] = []
    rows, certified = [pl.DataFrame(schema=ROWS)], []
    for new, old in pairs:
        steps += differences(new["plan"], old["plan"])
        if new.get("step") in FIGURES:
            continue
        if new.get("step") == CERTIFICATE:
            certified += _certificates(str(new.get("label")), _table(here, new), _table(there, old))
            continue
        rows.append(flipped(readable(str(new.get("label"))), _table(here, new), _table(there, old)))
    news, olds = list(here.log.read()), list(there.log.read())
    metrics = [_metrics(here.models.all(), there.models.all()), _figures(news, olds), pl.DataFrame(certified, schema=METRICS, orient="row")]
    return SessionDiff(
        steps=list(dict.fromkeys(steps)),
        only_here=[_named(r) for r in only_here],
        only_there=[_named(r) for r in only_there],
        rows=pl.concat(rows),
        metrics=pl.concat(metrics),
        spent=_spent(olds, news),
    )


def _paired(new: Sequence[Record], old: Sequence[Record]) -> tuple[list[tuple[Record, Record]], list[Record], list[Record]]:
    """Records that stand for one another, the most alike first; and those that are left over."""
    ranked = sorted(
        ((n.get("label") == o.get("label"), likeness(n["plan"], o["plan"]), i, j) for i, n in enumerate(new) for j, o in enumerate(old) if _may_pair(n, o)),
        reverse=True,
    )
    pairs: dict[int, int] = {}
    for _, _, i, j in ranked:
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    left = [n for i, n in enumerate(new) if i not in pairs], [o for j, o in enumerate(old) if j not in pairs.values()]
    return [(new[i], old[j]) for i, j in sorted(pairs.items())], *left


def _may_pair(new: Record, old: Record) -> bool:
    return is_plan(new.get("plan")) and is_plan(old.get("plan")) and new.get("step") == old.get("step") and likeness(new["plan"], old["plan"]) > 0


def _table(stores: Stores, record: Record) -> pl.DataFrame:
    stored = stores.steps.find(record["key"])
    return pl.DataFrame() if stored is None else stored.rows()


def flipped(output: str, new: pl.DataFrame, old: pl.DataFrame) -> pl.DataFrame:
    """The values that differ. Rows go together by position, or, where there are more here or there, by the columns that did not change."""
    a, b = (frame.select(pl.all().map_batches(_as_text, return_dtype=pl.String)) if frame.width else frame for frame in (new, old))
    columns = [c for c in a.columns if c in b.columns]
    if a.height == b.height:
        ids = ["#"]
        a, b = (frame.with_row_index("#") for frame in (a, b))
    else:
        small, large = sorted((a, b), key=lambda frame: frame.height)
        ids = [c for c in columns if small.select(pl.col(c).is_in(large.get_column(c).implode(), nulls_equal=True).all()).item()]
        ids, columns = ([*ids, "#"], [c for c in columns if c not in ids]) if ids else (["#"], columns)
        made = pl.int_range(pl.len()).over(ids[:-1]) if len(ids) > 1 else pl.int_range(pl.len())
        a, b = (frame.with_columns(made.alias("#")) for frame in (a, b))
    a, b = a.with_row_index("row"), b.with_row_index("row_before")
    both = a.join(b, on=ids, how="full", nulls_equal=True, suffix=" before", maintain_order="left_right", coalesce=True)
    is_here, was_there = pl.col("row").is_not_null(), pl.col("row_before").is_not_null()
    found = []
    for column in [c for c in (*ids, *columns) if c != "#"]:
        before = pl.when(was_there).then(pl.col(f"{column} before" if column in columns else column))
        after = pl.when(is_here).then(pl.col(column))
        shown = [pl.lit(output).alias("output"), "row", "row_before", pl.lit(readable(column)).alias("column"), before.alias("before"), after.alias("after")]
        found.append(both.filter(before.ne_missing(after)).select(shown))
    rows = pl.concat([pl.DataFrame(schema=ROWS), *(f.cast(ROWS) for f in found)])  # type: ignore[arg-type]
    return rows.sort("row", "row_before", "column", nulls_last=True, maintain_order=True)


def _as_text(column: pl.Series) -> pl.Series:
    return pl.Series(column.name, [None if v is None else str(v) for v in column.to_list()], dtype=pl.String)


def _metrics(new: Sequence[Record], old: Sequence[Record]) -> pl.DataFrame:
    """Of models that are not the same: the last of each name here and there."""
    kept = {r.get("key") for r in new} & {r.get("key") for r in old}
    here, there = ({str(r.get("label")): r.get("metrics") for r in records if r.get("key") not in kept} for records in (new, old))
    made = []
    for label in sorted(here.keys() | there.keys()):
        after, before = (m if isinstance(m := found.get(label), Mapping) else {} for found in (here, there))
        for metric in sorted(after.keys() | before.keys()):
            a, b = (float(v) if isinstance(v := found.get(metric), int | float) else None for found in (before, after))
            if a != b:
                made.append((label, metric, a, b))
    return pl.DataFrame(made, schema=METRICS, orient="row")


def _figures(new: Iterable[Record], old: Iterable[Record]) -> pl.DataFrame:
    """Of evaluations: the last of each name here and there."""
    here, there = (
        {(str(e.get("label")), _called(f)): f.get("value") for e in log if e.get("event") == "report" for f in e.get("figures") or ()} for log in (new, old)
    )
    both = [(*place, there.get(place), here.get(place)) for place in {**here, **there}]
    return pl.DataFrame([one for one in both if one[2] != one[3]], schema=METRICS, orient="row")


def _certificates(label: str, new: pl.DataFrame, old: pl.DataFrame) -> list[tuple[str, str, float | None, float | None]]:
    """What differs between two certificates of a cascade: the rows that were sampled and decided, and the thresholds."""
    after, before = (table.row(0, named=True) if table.height else {} for table in (new, old))
    both = {name: [v if isinstance(v := row.get(name), int | float) else None for row in (before, after)] for name in {**after, **before}}
    return [(label, name, a, b) for name, (a, b) in both.items() if a != b]


def _called(figure: Record) -> str:
    return str(figure.get("metric")) + ("" if figure.get("slice") == "all rows" else f" in {figure.get('slice')}")


def _spent(old: Iterable[Record], new: Iterable[Record]) -> dict[str, tuple[float | None, float | None]]:
    both = [[e for e in events if e.get("event") == "step"] for events in (old, new)]
    return {name: (_sum(both[0], field), _sum(both[1], field)) for name, field in SPENT.items()}


def _sum(events: Sequence[Record], field: str) -> float | None:
    values = [e.get(field) for e in events]
    return None if any(not isinstance(v, int | float) for v in values) else sum(values)  # type: ignore[arg-type]


def _listed(title: str, what: Sequence[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in what)] if what else []


def _named(record: Record) -> str:
    return f"{readable(str(record.get('describe') or record.get('label')))} ({record.get('rows')} rows)"


def _short(text: str | None, most: int = 60) -> str:
    return "null" if text is None else repr(text if len(text) <= most else text[: most - 1] + "…")


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.6g}"
