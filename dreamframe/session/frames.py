"""What a session has on record, as polars frames. The columns of each are documented here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import polars as pl

if TYPE_CHECKING:
    from dreamframe.session.records import RunRecord, StepRun

R = TypeVar("R")
By = Literal["step", "model", "run", "day"]
TIME = pl.Datetime("ms", "UTC")

STEPS: Mapping[str, Any] = {
    "label": pl.String,  # what the user called the step, else its column or its verb
    "step": pl.String,  # the class of the step
    "rows": pl.Int64,
    "calls": pl.Int64,  # that the run which made it made for it
    "cost": pl.Float64,  # US dollars that they cost; null where a price is not known
    "seconds": pl.Float64,
    "bytes": pl.Int64,  # on the disk
    "made_at": TIME,
    "name": pl.String,  # of its folder in `steps/`
    "key": pl.String,  # 32 hexadecimal digits
    "describe": pl.String,  # its line in explain()
}
RUNS: Mapping[str, Any] = {
    "began_at": TIME,  # null in memory
    "calls": pl.Int64,  # requests that models answered
    "cached": pl.Int64,  # requests that were answered before
    "cost": pl.Float64,  # US dollars; null where a price is not known
    "trained": pl.Int64,  # models
    "reused": pl.Int64,  # stored outputs and models
    "failed": pl.Int64,  # rows
    "is_over": pl.Boolean,  # False while it goes on, and for one that was killed
    "name": pl.String,  # of its file in `runs/`
}
SPENT: Mapping[str, Any] = {
    "runs": pl.Int64,  # in how many of them
    "calls": pl.Int64,
    "from_cache": pl.Int64,  # requests that were answered before
    "tokens_in": pl.Int64,
    "tokens_out": pl.Int64,
    "tokens_cached": pl.Int64,  # of tokens_in: those that the provider had in its cache
    "tokens_reasoning": pl.Int64,  # of tokens_out
    "cost": pl.Float64,  # US dollars; null where a price is not known
    "failed": pl.Int64,  # rows
    "truncated": pl.Int64,  # answers that were cut at max_tokens
    "retries": pl.Int64,
}
USAGE: Mapping[By, Mapping[str, Any]] = {  # what a row stands for → the columns before those of SPENT
    "step": {"step": pl.String, "model": pl.String},
    "model": {"model": pl.String},
    "run": {"run": pl.String, "began_at": TIME, "is_over": pl.Boolean},
    "day": {"day": pl.Date},
}
ANSWERS: Mapping[str, Any] = {
    "at": TIME,  # when it came
    "model": pl.String,  # as the server called it
    "text": pl.String,  # as it came, without the thoughts
    "reasoning": pl.String,  # the thoughts
    "dimensions": pl.Int64,  # of the vector, where the answer is one
    "finish": pl.String,  # how it ended: stop, length, …
    "tokens_in": pl.Int64,
    "tokens_out": pl.Int64,
    "tokens_cached": pl.Int64,
    "tokens_reasoning": pl.Int64,
    "attempts": pl.Int64,  # tries that the call took; null where that was not kept
    "seconds": pl.Float64,  # that the last of them took; null where that was not kept
    "key": pl.String,  # of the request, 32 hexadecimal digits
}
FLOAT32 = 4  # bytes


class Records(list[R], Generic[R]):
    """A list of records that shows itself as a frame, and is one by `to_frame()`."""

    def __init__(self, records: Iterable[R], columns: Mapping[str, Any]) -> None:
        super().__init__(records)
        self._columns = columns

    def to_frame(self) -> pl.DataFrame:
        """The records as a polars frame, one a row; its columns are those fields that are single values."""
        return pl.DataFrame([_column(name, [getattr(r, name) for r in self], dtype) for name, dtype in self._columns.items()])

    def __repr__(self) -> str:
        return repr(self.to_frame())

    def _repr_html_(self) -> str:
        return self.to_frame()._repr_html_()


def _column(name: str, values: Sequence[Any], dtype: Any) -> pl.Series:
    if dtype == TIME:
        return pl.Series(name, values, dtype=pl.String).str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="ms", time_zone="UTC", strict=False)
    if dtype == pl.Date:
        return pl.Series(name, values, dtype=pl.String).str.to_date("%Y-%m-%d", strict=False)
    return pl.Series(name, values, dtype=dtype)


def usage_frame(runs: Sequence[RunRecord], by: By) -> pl.DataFrame:
    """What runs have used, one row for each step, model, run or day, in the order in which they first came. The columns: USAGE and SPENT."""
    held: dict[tuple[Any, ...], list[tuple[str, StepRun]]] = {}
    for run in runs:
        if by == "run":
            held.setdefault((run.name, run.began_at, run.is_over), [])
        for step in run.steps:
            group = {"step": (step.label, step.model), "model": (step.model,), "run": (run.name, run.began_at, run.is_over), "day": (run.day,)}[by]
            if by != "model" or step.model:
                held.setdefault(group, []).append((run.name, step))
    groups = [_column(name, [g[i] for g in held], dtype) for i, (name, dtype) in enumerate(USAGE[by].items())]
    sums = [_sums(found) for found in held.values()]
    return pl.DataFrame([*groups, *(_column(name, [s[name] for s in sums], dtype) for name, dtype in SPENT.items())])


def _sums(found: Sequence[tuple[str, StepRun]]) -> dict[str, Any]:
    steps = [step for _, step in found]
    counts = {name: sum(getattr(s, "cached" if name == "from_cache" else name) for s in steps) for name in SPENT if name not in ("runs", "cost")}
    cost = None if any(s.cost is None for s in steps) else sum(s.cost or 0.0 for s in steps)
    return {"runs": len({run for run, _ in found}), "cost": cost, **counts}


def answers_frame(kept: pl.DataFrame) -> pl.DataFrame:
    """Kept answers, as the store has them, oldest first. The columns: ANSWERS."""
    names = {"n_in": "tokens_in", "n_out": "tokens_out", "n_cached": "tokens_cached", "n_reasoning": "tokens_reasoning"}
    extra = [_extra(text) for text in kept.get_column("extra")]
    more = {
        "reasoning": [e.get("reasoning") if isinstance(e.get("reasoning"), str) else None for e in extra],
        "attempts": [_number(e.get("attempts")) for e in extra],
        "seconds": [None if (ms := _number(e.get("ms"))) is None else ms / 1000 for e in extra],
    }
    made = kept.rename(names).with_columns(
        *(pl.Series(name, values, dtype=ANSWERS[name]) for name, values in more.items()),
        pl.from_epoch("at_ms", time_unit="ms").dt.replace_time_zone("UTC").alias("at"),
        (pl.col("data").bin.size().cast(pl.Int64) // FLOAT32).alias("dimensions"),
        pl.col("key").bin.encode("hex"),
    )
    return made.select(pl.col(name).cast(dtype) for name, dtype in ANSWERS.items()).sort("at", maintain_order=True)


def _extra(text: str | None) -> Mapping[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: object) -> int | None:
    return value if type(value) is int else None
