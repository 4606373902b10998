"""`dreamframe view`: a session as a page in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dreamframe.run.active import DEFAULT_FOLDER
from dreamframe.view import options
from dreamframe.view.server import serve
from dreamframe.view.terminal import put


def view(
    folder: options.Folder = Path(DEFAULT_FOLDER),
    *,
    session: options.OrSession = None,
    port: Annotated[int, typer.Option(metavar="NUMBER", help="The port of this machine; 0 is a free one.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Print the address, and open no browser.")] = False,
) -> None:
    """Open a session as a page in the browser.

    It is served on this machine alone, under an address that holds a random token, until Ctrl-C; it is live while a run goes on, and changes nothing.
    """
    folder = options.one_folder(folder, session)
    options.existing(folder)
    serve(folder, port=port, open=not no_open, say=put)
