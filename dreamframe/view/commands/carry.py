"""`dreamframe diff`, `export` and `load`: two sessions beside one another, and a session as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamframe.session.session import Session
from dreamframe.view import options
from dreamframe.view.commands.look import size
from dreamframe.view.guard import FAILED
from dreamframe.view.terminal import put, put_json, say

Before = Annotated[Path, typer.Argument(metavar="BEFORE", help="The folder of the session that was first.")]
After = Annotated[Path, typer.Argument(metavar="AFTER", help="The folder of the other.")]


def diff(before: Before, after: After, *, json: options.AsJson = False) -> None:
    """Show what differs between two sessions.

    Changed steps, rows that flipped, metrics of models, and what was spent; the exit code is 1 where what was made differs, as that of diff. --json prints an
    object: steps, only_after, only_before, rows (output, row, row_before, column, before, after), metrics (model, metric, before, after), and spent
    (calls, tokens_in, tokens_out, cost, each with before and after).
    """
    with options.existing(before) as old, options.existing(after) as new:
        found = new.diff(old)
    if json:
        spent = {name: {"before": a, "after": b} for name, (a, b) in found.spent.items()}
        only = {"only_after": found.only_here, "only_before": found.only_there}
        put_json({"steps": found.steps, **only, "rows": found.rows.to_dicts(), "metrics": found.metrics.to_dicts(), "spent": spent})
    else:
        put(f"Here: {after}. The other: {before}.")
        put(repr(found))
    if found:
        raise typer.Exit(FAILED)


def export(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of the session.")],
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="The file to write: .tar, .tar.gz or .tar.zst.")],
    *,
    no_models: Annotated[bool, typer.Option("--no-models", help="Leave the trained models out, which may be most of the bytes.")] = False,
) -> None:
    """Write a session into one file.

    Whoever loads it replays every run without a key. It holds no key and no path of this machine, but every prompt, answer and row.
    """
    with options.existing(folder) as opened:
        made = opened.export(archive, models=not no_models)
    say(f"{made} · {size(made.stat().st_size)}")


def load(
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="A file that `dreamframe export` wrote.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to make of it.")],
) -> None:
    """Make a session of such a file.

    The folder is there when all of it was read and is as it was exported. Nothing in it is executed.
    """
    with Session.load(archive, folder, offline=True, progress=False) as opened:
        n = len(opened.steps())
    say(f"{folder} · {n:,} stored output{'' if n == 1 else 's'}")
