"""`dreamframe usage` and `failures`: what the runs of a session did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

import polars as pl
import typer

from dreamframe.errors import SettingError, one_of
from dreamframe.plan.estimate import count
from dreamframe.run.active import DEFAULT_FOLDER
from dreamframe.session.frames import By
from dreamframe.session.records import RunRecord
from dreamframe.view import options
from dreamframe.view.commands.look import dollars
from dreamframe.view.terminal import Column, put, put_json, put_table

SUMMED = ("calls", "from_cache", "failed", "tokens_in", "tokens_out")
FAILURES = (
    Column("row", right=True), Column("step", must=True), Column("error", colour="failed"), Column("message", must=True, text=True),
    Column("request", text=True),
)  # fmt: skip


def usage(
    folder: options.Folder = Path(DEFAULT_FOLDER),
    *,
    session: options.OrSession = None,
    by: Annotated[str, typer.Option(metavar="WHAT", help="A line for each step, model, run or day.")] = "step",
    json: options.AsJson = False,
) -> None:
    """Show calls, tokens and money.

    All runs count, of every program that used the folder. --json prints a list of objects: what --by names, runs, calls, from_cache (answers that were
    kept), tokens_in, tokens_out, tokens_cached, tokens_reasoning, cost (US dollars; null where a price is not known), failed (rows), truncated, retries.
    """
    one_of(by, get_args(By), "--by", where="usage")
    with options.existing(options.one_folder(folder, session)) as opened:
        used = opened.usage(by=by)  # type: ignore[call-overload]
    if json:
        put_json(used.to_dicts())
        return
    asked = used.filter(pl.sum_horizontal("calls", "from_cache", "failed") > 0)
    names = [Column(word, must=True) for word in ((by, "model") if by == "step" else (by,))]
    columns = (
        *names, Column("calls", right=True, colour="asked"), Column("kept", right=True), Column("failed", right=True, colour="failed"),
        Column("cost", right=True), Column("tokens in", right=True), Column("tokens out", right=True),
    )  # fmt: skip
    lines = [used_line(row, *(str(row[c.title]).removesuffix(".jsonl") for c in names)) for row in asked.iter_rows(named=True)]
    if len(lines) > 1:
        total = asked.select(pl.sum(*SUMMED), cost=pl.when(pl.col("cost").is_null().any()).then(None).otherwise(pl.sum("cost")))
        lines.append(used_line(total.row(0, named=True), "total", *[""] * (len(names) - 1)))
    put_table(columns, lines, if_none="Nothing was asked in this session.")


def used_line(used: Mapping[str, Any], *names: str) -> list[str]:
    """A line of the listing."""
    counts = [f"{used[c]:,}" for c in ("calls", "from_cache", "failed")]
    return [*names, *counts, dollars(used["cost"]), count(used["tokens_in"]), count(used["tokens_out"])]


def failures(
    folder: options.Folder = Path(DEFAULT_FOLDER),
    *,
    session: options.OrSession = None,
    run: Annotated[str | None, typer.Option(metavar="NAME", help="Of this run, as `usage --by run` names it.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Of all runs.")] = False,
    json: options.AsJson = False,
) -> None:
    """List the rows that failed in the last run that ran a step.

    --json prints a list of objects: run, step, row, column, error, message, request, attempts, text (what the model said).
    """
    with options.existing(options.one_folder(folder, session), by_option=True) as opened:
        runs = chosen(opened.runs(), run, is_all=all_)
    found = [{"run": one.name.removesuffix(".jsonl"), **failure} for one in runs for failure in one.failures]
    if json:
        put_json(found)
        return
    told = [[str(f.get(name, "")) for name in ("row", "step", "error", "message", "request")] for f in found]
    put_table(FAILURES, told, if_none="No failures.")
    if (n := sum(one.failed for one in runs)) > len(found):
        put(f"The first {len(found):,} of {n:,}.")


def chosen(runs: Sequence[RunRecord], name: str | None, *, is_all: bool) -> Sequence[RunRecord]:
    """All runs, the one of this name, or the last."""
    if is_all or name is None:
        return runs if is_all else [run for run in runs if run.steps][-1:]  # one without steps found all it wanted stored
    found = [run for run in runs if run.name.startswith(name)]
    if len(found) != 1:
        what = "several runs begin" if found else "no run begins"
        raise SettingError(f"{what} with {name!r}. `dreamframe usage --by run` names them.")
    return found
