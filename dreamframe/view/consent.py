"""Asking a person before money is spent: three requests as they will be sent, what all will cost, and a question on the terminal."""

from __future__ import annotations

import contextlib
import os
import select
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import polars as pl
import typer

from dreamframe.frame.frame import Frame
from dreamframe.plan.estimate import PROBE, Estimate
from dreamframe.prompts.base import Prompt
from dreamframe.run.loop import SIGNAL_S
from dreamframe.session.session import Session
from dreamframe.view.guard import NOT_ALLOWED, refuse
from dreamframe.view.rows import as_json
from dreamframe.view.terminal import begin, say, window

PREVIEWED = 3


@contextlib.contextmanager
def person() -> Iterator[IO[str] | None]:
    """Where a person can answer: standard input, or the terminal where rows come from there; None where nobody is."""
    if not sys.stderr.isatty():
        yield None
    elif sys.stdin is not None and sys.stdin.isatty():
        yield sys.stdin
    else:
        try:
            terminal = open("/dev/tty", encoding="utf-8")  # noqa: SIM115  closed below
        except OSError:
            yield None
            return
        with terminal:
            yield terminal


def need_yes(asked: Frame, before: Frame, prompt: str, *, model: str, into: str, folder: Path) -> None:
    """Return if nothing is left to pay, or a person says yes. `asked` is the plan and `before` the rows that its prompt reads.

    Ends the command where there is no terminal to ask on, and where the answer is not yes.
    """
    made = asked.estimate()
    if is_free(made):
        return
    with person() as answers:
        if answers is None:
            way = "Give --yes to spend it, or look with --dry-run."
            refuse(f"there is no terminal to confirm what this costs: {made.total}. Nothing was asked. {way}")
        show_requests(before, prompt, model=model)
        may_try = True
        while True:
            for line in told(made):
                say(line)
            said = answer(answers, "Ask? [y]es, [t]hree rows first, [N]o: " if may_try else "Ask the rest? [y]es, [N]o: ")
            if said in ("y", "yes"):
                return
            if not (may_try and said in ("t", "three", "3")):
                say("Nothing was asked." if may_try else "The rest was not asked.")
                raise typer.Exit(NOT_ALLOWED)
            may_try = False
            show_answers(asked.head(PREVIEWED), into, folder=folder)
            made = asked.estimate()
            if is_free(made):
                return


def answer(answers: IO[str], question: str) -> str:
    """What a person says to a question, in lower case; nothing where the terminal is closed."""
    sys.stderr.write(question)
    sys.stderr.flush()
    try:
        while os.name != "nt" and not select.select([answers], [], [], SIGNAL_S)[0]:
            continue  # polars' own handler of Ctrl-C lets a reader that waits go on waiting
        return answers.readline().strip().lower()
    except KeyboardInterrupt:
        say("")
        raise


def is_free(made: Estimate) -> bool:
    """Whether nothing is left to pay, as far as it is known."""
    return (not made.calls and not made.notes) or (made.cost is not None and made.cost.high == 0)


def told(made: Estimate) -> list[str]:
    """An estimate in lines: how much is kept, calls, tokens, money and time, and what the figures leave out. That the length of answers can be learnt, the
    question itself says."""
    kept = [f"{n:,} of {n + step.calls:,} kept" for step in made.steps if (n := step.kept + step.probed)]
    return [" · ".join([*kept, made.total]), *(note for note in made.notes if PROBE not in note)]


def show_requests(before: Frame, prompt: str, *, model: str) -> None:
    """The first requests, a line each, as they will be sent."""
    with Session(None, progress=False):  # which asks no model, and leaves no trace
        rows = before.head(PREVIEWED).collect()
    say(f"The first requests to {model}:")
    _numbered(Prompt.of(prompt, step="prompt").render(rows))


def show_answers(first: Frame, into: str, *, folder: Path) -> None:
    """Ask about the first rows, and show the answers, a line each. No plan is kept of it, and no rows: the answers alone."""
    probed = first.estimate(probe=PREVIEWED)
    if probed.calls:
        for note in probed.notes:
            say(note)
        return
    with Session.existing(folder):
        rows = first.collect(offline=True)
    say("Their answers:")
    _numbered(rows[into])


def _numbered(texts: pl.Series) -> None:
    size = window(sys.stderr) - 4
    for i, text in enumerate(texts.to_list(), start=1):
        shown = "null: a column that it reads is empty" if text is None else text if isinstance(text, str) else as_json(text)
        say(f" {i}  {begin(shown, size)}")
