"""What libraries warn of while a run is shown, as notes below its lines: their warnings would tear a table that is drawn again and again."""

from __future__ import annotations

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dreamframe.redaction.visible import in_line

OWN = str(Path(__file__).parents[1])
INSTALLED = re.compile(r"[/\\](?:site|dist)-packages[/\\]([^/\\.]+)")
MOST = 100  # notes of a run


@contextlib.contextmanager
def noted(notes: list[str], hides: Callable[[str], str] = str) -> Iterator[None]:
    """Put the warnings that arise in installed libraries into `notes`, each once. Those of dreamframe and of the user's own code go their way."""
    before: Any = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None) -> None:
        found = None if filename.startswith(OWN) else INSTALLED.search(filename)
        if found is None or file is not None:
            before(message, category, filename, lineno, file, line)
            return
        said = str(message).strip()
        told = in_line(f"{found[1]}: {hides(said).partition(chr(10))[0]}")
        if told not in notes and len(notes) < MOST:
            notes.append(told)

    warnings.showwarning = show
    try:
        yield
    finally:
        if warnings.showwarning is show:  # else somebody has put another one in its place, and puts it back
            warnings.showwarning = before
