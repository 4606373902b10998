"""Showing a page where the user works: in a Jupyter or marimo notebook as HTML, else as text."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


def show(page: Callable[[], str], text: Callable[[], str]) -> None:
    """Show one thing, as a page where a notebook can show one; else print its text."""
    if "ipykernel" in sys.modules:
        from IPython.display import display  # type: ignore[import-not-found]  # a notebook has it

        display({"text/html": page(), "text/plain": text()}, raw=True)
    elif (marimo := running_marimo()) is not None:
        marimo.output.append(marimo.Html(page()))
    else:
        print(text())


def running_marimo() -> Any | None:
    """The module marimo where a notebook of its runs this process."""
    marimo = sys.modules.get("marimo")
    return marimo if marimo is not None and marimo.running_in_notebook() else None
