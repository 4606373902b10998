"""`dreamframe verify` and `gc`: is a session whole, and what may go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from dreamframe.run.active import DEFAULT_FOLDER
from dreamframe.session.session import Session
from dreamframe.store.records import Removed
from dreamframe.view import consent, options
from dreamframe.view.commands.look import dollars, size
from dreamframe.view.find import plan_of
from dreamframe.view.guard import FAILED, NOT_ALLOWED, refuse
from dreamframe.view.terminal import Column, put_json, put_table, say


def verify(folder: options.Folder = Path(DEFAULT_FOLDER), *, session: options.OrSession = None, json: options.AsJson = False) -> None:
    """Check every byte of a session.

    Nothing is changed. Damaged files are listed, and the exit code is then 1: the next run sets them aside, and makes what they held again.
    --json prints a list of objects: path, what.
    """
    with options.existing(options.one_folder(folder, session)) as opened:
        found = opened.verify()
    if json:
        put_json([problem.as_dict() for problem in found])
    else:
        put_table((Column("damaged", must=True, colour="failed"), Column("what", must=True, text=True)), found, if_none="Every byte is as it was written.")
    if found:
        raise typer.Exit(FAILED)


def gc(
    folder: options.Folder = Path(DEFAULT_FOLDER),
    *,
    session: options.OrSession = None,
    keep: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Keep this plan, and remove what all others left; may be given again.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List what would go, and remove nothing.")] = False,
    yes: options.Yes = False,
    json: options.AsJson = False,
) -> None:
    """Remove what nobody needs from a session.

    That is what interrupted runs left and damaged files that were set aside; with --keep also the rows, models and plans of all other plans. Answers are
    never removed, so that nothing is paid for again. It lists what would go, and asks before it removes it. --json prints a list of objects: path, n_bytes,
    why, cost, seconds.
    """
    folder = options.one_folder(folder, session)
    options.existing(folder)
    with Session(folder, offline=True, progress=False) as opened:
        kept = [opened.plan(plan_of(opened, name).name) for name in keep] if keep else None
        found = opened.gc(keep=kept, dry_run=True)
        if json:
            put_json([gone.as_dict() for gone in found])
        else:
            _put_gone(found)
        if not found or dry_run:
            return
        if not yes:
            _need_yes(found)
        opened.gc(keep=kept)
        say(f"Removed {size(sum(gone.n_bytes for gone in found))}.")


def _put_gone(found: Sequence[Removed]) -> None:
    columns = (Column("path", must=True), Column("size", right=True), Column("why"), Column("cost", right=True))
    put_table(columns, [[g.path, size(g.n_bytes), g.why, dollars(g.cost)] for g in found], if_none="Nothing can go.")


def _need_yes(found: Sequence[Removed]) -> None:
    with consent.person() as answers:
        if answers is None:
            n = f"{len(found):,} entr{'y' if len(found) == 1 else 'ies'}"
            refuse(f"there is no terminal to confirm that {n} may go. Nothing was removed. Give --yes, or look with --dry-run.")
        if consent.answer(answers, "Remove them? [y]es, [N]o: ") not in ("y", "yes"):
            say("Nothing was removed.")
            raise typer.Exit(NOT_ALLOWED)

