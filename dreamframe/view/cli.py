"""The command line `dreamframe`. A new command is a function in `commands/` and its name in COMMANDS: its docstring and annotations are the help."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dreamframe.view.commands.care import gc, verify
from dreamframe.view.commands.carry import diff, export, load
from dreamframe.view.commands.look import explain, ls, show
from dreamframe.view.commands.page import view
from dreamframe.view.commands.prompt import prompt
from dreamframe.view.commands.records import failures, usage
from dreamframe.view.commands.run import merge, run
from dreamframe.view.commands.story import why
from dreamframe.view.guard import CODES, STOPPED, guarded, notes_in_a_line

COMMANDS = (prompt, run, ls, show, explain, why, failures, usage, view, verify, gc, diff, merge, export, load)  # as help lists them
app = typer.Typer(
    name="dreamframe",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: it fits a narrow window, and starts without rich
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=CODES,
)


def _version(is_wanted: bool) -> None:
    if is_wanted:
        from importlib.metadata import version

        typer.echo(f"dreamframe {version('dreamframe')}")
        raise typer.Exit


@app.callback()
def dreamframe(
    *, version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", callback=_version, is_eager=True)] = False
) -> None:
    """Ask language models about every row of a file, and look at what was asked, kept and paid for.

    Answers are kept in a session: a folder, ./.dreamframe where none is named. Nothing is asked or paid for twice.
    """


for _command in COMMANDS:
    app.command(_command.__name__)(guarded(_command))


def main() -> None:
    """Run the command line, and end the process with its exit code."""
    notes_in_a_line()
    try:
        app(prog_name="dreamframe")
    except KeyboardInterrupt:
        sys.exit(STOPPED)
