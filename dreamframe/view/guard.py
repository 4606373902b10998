"""How a command ends: its exit code, and one line for what went wrong, without lines of code."""

from __future__ import annotations

import functools
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import NoReturn, TypeVar

import polars as pl
import typer

from dreamframe.errors import BudgetExceededError, DreamframeError, MissingExtraError, PlanError, SourceUnreadableError
from dreamframe.frame.tracebacks import SWITCH
from dreamframe.redaction.visible import in_line
from dreamframe.view.terminal import say

F = TypeVar("F", bound=Callable[..., object])
FAILED, WRONG, NOT_ALLOWED, STOPPED, NOBODY_READS = 1, 2, 3, 130, 141
CODES = """\
\b
Exit codes:
  0    done
  1    it ran, and something failed or was found: rows without an answer,
       a call that was refused, damaged files, differences
  2    the command is wrong: an option, a column, a file, a model
  3    nobody allowed it: there was no yes, or the budget is spent
  130  stopped by Ctrl-C; every answer that came back is kept
  141  whoever read the output closed it"""


def guarded(command: F) -> F:
    """The command as typer is given it: errors are one line on standard error, and an exit code that `CODES` names."""

    @functools.wraps(command)
    def run(*args: object, **kwargs: object) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except BrokenPipeError as exc:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer is written to nobody
            raise typer.Exit(NOBODY_READS) from exc
        except KeyboardInterrupt as exc:
            say("\n".join(getattr(exc, "__notes__", None) or ["Stopped."]))
            raise typer.Exit(STOPPED) from exc
        except (DreamframeError, pl.exceptions.PolarsError, OSError) as exc:
            if os.environ.get(SWITCH) == "full":
                traceback.print_exception(exc)
            say(f"Error: {exc}")
            raise typer.Exit(code_of(exc)) from exc

    return run  # type: ignore[return-value]


def refuse(why: str) -> NoReturn:
    """End the command: it needs a yes, and there is no terminal to ask on."""
    say(f"Error: {why}")
    raise typer.Exit(NOT_ALLOWED)


def code_of(exc: BaseException) -> int:
    """The exit code of an error."""
    is_wrong = isinstance(exc, PlanError | MissingExtraError | SourceUnreadableError)
    return NOT_ALLOWED if isinstance(exc, BudgetExceededError) else WRONG if is_wrong else FAILED


def notes_in_a_line() -> None:
    """Show warnings as a line for a person; where they were given is a line of dreamframe's own."""

    def show(message: Warning | str, *_: object, **__: object) -> None:
        say(f"Note: {in_line(str(message))}")

    warnings.showwarning = show
