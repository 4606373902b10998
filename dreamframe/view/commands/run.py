"""`dreamframe run` and `merge`: a plan that was written down, whole or one shard of it, and the folders of its shards as one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from dreamframe.errors import SettingError
from dreamframe.frame.frame import Frame
from dreamframe.frame.from_json import from_json
from dreamframe.run.active import DEFAULT_FOLDER
from dreamframe.session.session import Session
from dreamframe.view import consent, options, rows, terminal
from dreamframe.view.guard import FAILED, NOT_ALLOWED, refuse

SHARD = re.compile(r"(\d{1,9})/(\d{1,9})")


def run(
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan: a file that holds what df.to_json() gives.")],
    *,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Ask what one of n processes is to ask, the first being 0/n, and write no rows: run it without, then.")
    ] = None,
    output: options.Out = None,
    to: options.To = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="PLACE", help="An address, path or repository that the plan may reach besides its providers' own; may be given again."),
    ] = None,
    session: options.InSession = Path(DEFAULT_FOLDER),
    budget: Annotated[float | None, typer.Option(metavar="DOLLARS", help="Stop before more US dollars than this are spent.")] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Make no call: only answers that are kept.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --shard: print what became of it as JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Spend without asking first; needed where there is no terminal.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
) -> None:
    """Run a plan that was written down, or one shard of it.

    \b
    dreamframe run plan.json --shard 0/4 --session ./answers --yes
    dreamframe run plan.json --session ./answers --yes -o rows.parquet

    With --shard it asks about one part of the rows: n processes share a plan, on one folder or each on its own, which `dreamframe merge` unites, and nobody
    leads them. It names what is left to a later round, or to the run of the whole plan; that one finds every answer and writes the rows. The exit code is
    1 where rows failed: the same command asks for these again. --json prints an object: shard, rows, asked, kept, failed, left (a list of step, why, rows)
    and failures.
    """
    frame = _read(plan, allow or ())
    part = None if shard is None else _numbers(shard)
    format = None if part else rows.target_format(output, to, "csv")
    if format is not None:
        rows.check_types(frame.schema, format)
    with Session(session, budget=budget, offline=offline, progress=False if quiet else None) as opened:
        if not (yes or offline):
            _need_yes(frame)
        if part is None:
            assert format is not None
            rows.give(frame.collect(), output, format, is_asked_for=to is not None)
            if not quiet:
                terminal.say(f"{opened.usage()['calls']:,} asked · session {session}")
            return
        done = opened.run_shard(frame, *part)
    if json:
        terminal.put_json(done.as_dict())
    elif not quiet:
        terminal.put(repr(done))
        for failure in done.failures[:3]:
            terminal.say(f"{failure['step']}: {failure['error']}: {failure['message']}")
    if done.failed:
        raise typer.Exit(FAILED)


def _read(plan: Path, allow: list[str] | tuple[str, ...]) -> Frame:
    try:
        text = plan.read_bytes()
    except OSError as exc:
        raise SettingError(f"the plan {str(plan)!r} cannot be read: {exc.strerror or exc}.") from exc
    frame = from_json(text, allow=allow)
    if not isinstance(frame, Frame):
        raise SettingError(f"{str(plan)!r} is the plan of a model, which has no rows: train it with dr.from_json(text).fit().")
    return frame


def _numbers(shard: str) -> tuple[int, int]:
    if (found := SHARD.fullmatch(shard)) is None:
        raise SettingError(f"--shard {shard!r} is not i/n, as 0/4, 1/4, 2/4, 3/4.")
    return int(found[1]), int(found[2])


def _need_yes(frame: Frame) -> None:
    """Return if nothing is left to pay, or a person says yes to what the whole plan costs."""
    made = frame.estimate()
    if consent.is_free(made):
        return
    with consent.person() as answers:
        if answers is None:
            refuse(f"there is no terminal to confirm what the plan costs: {made.total}. Nothing was asked. Give --yes to spend it.")
        for line in consent.told(made):
            terminal.say(line)
        if consent.answer(answers, "Ask? [y]es, [N]o: ") not in ("y", "yes"):
            terminal.say("Nothing was asked.")
            raise typer.Exit(NOT_ALLOWED)


def merge(
    into: Annotated[Path, typer.Argument(metavar="INTO", help="The folder that they are merged into; made where there is none.")],
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER…", help="The folders of other sessions, which stay as they are.")],
    *,
    json: options.AsJson = False,
) -> None:
    """Take what other sessions hold into one.

    Answers, stored rows, models, plans and logs, each once; merging again adds nothing. What is damaged is left out and named, and the exit code is then 1.
    --json prints an object: answers, steps, models, plans, runs (how many were added) and problems (a list of path, what).
    """
    with Session(into, offline=True, progress=False) as opened:
        made = opened.merge(*folders)
    if json:
        terminal.put_json(made.as_dict())
    else:
        terminal.put(repr(made))
    if made.problems:
        raise typer.Exit(FAILED)
