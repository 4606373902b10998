"""What the commands print: tables that fit the window, JSON for programs, one line for people; nothing of a model or a file steers the terminal."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import typer
from rich.cells import cell_len, set_cell_size

from dreamframe.redaction.visible import HALF, in_line, visible

GAP = "  "
NARROWEST = 8  # cells that a name is cut to
SHORTEST = 16  # cells that a text is cut to; with less it leaves
NOTHING = ("", "0", "$0")  # cells without colour
COLOURS: Mapping[str, Mapping[str, Any]] = {"dim": {"dim": True}, "asked": {"fg": "cyan"}, "failed": {"fg": "red"}}


@dataclass(frozen=True)
class Column:
    """One column of a listing."""

    title: str
    right: bool = False  # numbers
    must: bool = False  # stays however narrow the window is: a name, which is cut in the middle
    text: bool = False  # is cut at its end
    colour: str = ""  # of cells that say more than nothing: a state of COLOURS

    @property
    def least(self) -> int | None:
        """Cells that it is cut to before a column leaves; None: it is never cut."""
        return NARROWEST if self.must else SHORTEST if self.text else None


def say(text: str) -> None:
    """A line for a person, on standard error: standard output is for data."""
    typer.echo(visible(text), err=True)


def put(text: str) -> None:
    """Text on standard output."""
    typer.echo(visible(text))


def put_json(value: object) -> None:
    """A value as JSON on standard output. A number that JSON has not is null; on a terminal, and where it must, other letters than ASCII are escaped."""
    made = _finite(value)
    text = json.dumps(made, ensure_ascii=False, indent=2, default=str)
    typer.echo(json.dumps(made, indent=2, default=str) if sys.stdout.isatty() or HALF.search(text) else text)


def _finite(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def width() -> int:
    """Cells in a line of the window; as many as are wanted where standard output is none."""
    return window(sys.stdout) if sys.stdout.isatty() else 1 << 15


def window(stream: TextIO) -> int:
    """Cells in a line of the window that a stream writes to; 80 where it is none."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def put_table(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, if_none: str = "") -> None:
    """A listing, a line a row. In a narrow window texts are cut at their end, then columns leave from the right, and names are cut in the middle."""
    lines = table(columns, [[in_line(cell) for cell in row] for row in rows], width(), paint=coloured)
    for line in lines or [if_none]:
        typer.echo(line.rstrip())


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], most: int, *, paint: Callable[[str, str], str] = lambda text, _: text
) -> list[str]:
    """The header and the rows as lines of at most `most` cells; nothing where there are no rows.

    >>> for line in table([Column("step", must=True), Column("calls", right=True)], [["summary of abstracts", "1,200"]], 18):
    ...     print(line)
    step         calls
    summ…tracts  1,200
    """
    if not rows:
        return []
    sizes = [max(cell_len(c.title), *(cell_len(row[i]) for row in rows)) for i, c in enumerate(columns)]
    shown = list(range(len(columns)))
    least = [min(size, c.least or size) for size, c in zip(sizes, columns, strict=True)]
    while _wide(least, shown) > most and (leaves := [i for i in shown if not columns[i].must]):
        shown.remove(leaves[-1])
    while (more := _wide(sizes, shown) - most) > 0 and (cut := [i for i in shown if sizes[i] > least[i]]):
        longest = max(cut, key=lambda i: sizes[i])
        others = max((sizes[i] for i in cut if i != longest), default=0)
        sizes[longest] -= min(more, sizes[longest] - least[longest], max(1, sizes[longest] - others))
    head = GAP.join(_cell(columns[i].title, sizes[i], columns[i]) for i in shown)

    def cell(row: Sequence[str], i: int) -> str:
        made = _cell(row[i], sizes[i], columns[i])
        return made if row[i] in NOTHING else paint(made, columns[i].colour)

    return [paint(head, "dim"), *(GAP.join(cell(row, i) for i in shown) for row in rows)]


def _wide(sizes: Sequence[int], shown: Sequence[int]) -> int:
    return sum(sizes[i] for i in shown) + len(GAP) * (len(shown) - 1)


def _cell(text: str, size: int, column: Column) -> str:
    text = begin(text, size) if column.text else middle(text, size)
    return " " * (size - cell_len(text)) + text if column.right else set_cell_size(text, size)


def middle(text: str, size: int) -> str:
    """Text of at most so many cells: the middle is left out, since names that begin alike end differently.

    >>> middle("summary of abstracts", 11)
    'summ…tracts'
    """
    if cell_len(text) <= size:
        return text
    tail = size // 2 + 1 if size > 3 else 0
    end = text
    while cell_len(end) > tail:
        end = end[1:]
    return f"{set_cell_size(text, size - 1 - cell_len(end)).rstrip()}…{end}"


def begin(text: str, size: int) -> str:
    """The beginning of a text in one line of at most so many cells."""
    text = in_line(text[: 4 * size])
    return text if cell_len(text) <= size else f"{set_cell_size(text, size - 1).rstrip()}…"


def coloured(text: str, colour: str) -> str:
    """Text in the colour of a state, where a person sees it and has not switched colours off."""
    is_seen = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    settings = COLOURS.get(colour, {})
    return typer.style(text, **settings) if is_seen and settings else text
