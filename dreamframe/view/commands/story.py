"""`dreamframe why`: how one row was made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from dreamframe.errors import SettingError
from dreamframe.frame.frame import Frame
from dreamframe.run.active import DEFAULT_FOLDER
from dreamframe.view import options
from dreamframe.view.find import plan_of
from dreamframe.view.terminal import put, put_json


def why(
    row: Annotated[str, typer.Argument(metavar="ROW", help="A position, from 0, or column=value: the first row that has it.")],
    name: options.Name = None,
    *,
    session: options.InSession = Path(DEFAULT_FOLDER),
    json: options.AsJson = False,
) -> None:
    """Tell how one row was made, asking nothing.

    Step by step the rows of the sources, each request as it was sent, the answer, who gave it, tokens, price and time. --json prints an object: row, found,
    values, steps (each with label, kind, describe, n_rows, rows, note); in the rows of a step "calls" has the requests.
    """
    session, name = options.placed(session, name)
    with options.existing(session, by_option=True) as opened:
        record = plan_of(opened, name)
        plan = opened.plan(record.name)
        if not isinstance(plan, Frame):
            raise SettingError(f"{record.name} is a model, and has no rows.")
        story = plan.why(row_of(row))
    if json:
        put_json(story.as_dict())
    else:
        put(str(story))


def row_of(words: str) -> int | pl.Expr:
    """A position, or the condition that `column=value` says. Raises SettingError for anything else.

    >>> row_of("7"), str(row_of("id = 7"))
    (7, '[(col("id").strict_cast(String)) == ("7")]')
    """
    column, sign, value = words.partition("=")
    if sign:
        return pl.col(column.strip()).cast(pl.String) == value.strip()
    try:
        return int(words)
    except ValueError:
        raise SettingError(f"{words!r} is not a row. Give a position, as 3, or a column and its value, as id=007.") from None
