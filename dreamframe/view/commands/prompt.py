"""`dreamframe prompt`: a column of answers for the rows of a file or of standard input."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer

from dreamframe.errors import SettingError, one_of
from dreamframe.frame.frame import Frame
from dreamframe.models.llms.names import llm as llm_of
from dreamframe.plan.estimate import money
from dreamframe.run.active import DEFAULT_FOLDER
from dreamframe.session.session import Session
from dreamframe.view import consent, options, rows, terminal
from dreamframe.view.shapes import schema_of

ON_ERROR = ("raise", "null", "drop")


def prompt(
    source: Annotated[str, typer.Argument(metavar="FILE", help="The rows: a CSV, TSV, JSON, NDJSON, Parquet or Arrow file; - is standard input.")],
    text: Annotated[str, typer.Argument(metavar="PROMPT", help="What to ask about each row; {column} stands for the row's value.")],
    *,
    llm: options.Model,
    into: Annotated[str, typer.Option(metavar="COLUMN", help="The new column.")] = "answer",
    output: options.Out = None,
    schema: Annotated[
        str | None,
        typer.Option(metavar="SHAPE", help="The answers: bool, int, float, labels as good,bad, fields as city:str,age:int, or JSON Schema, also a .json file."),
    ] = None,
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="The system prompt.")] = None,
    n: Annotated[int, typer.Option(metavar="NUMBER", help="Samples of each row; more than one are a list.")] = 1,
    temperature: Annotated[float | None, typer.Option(metavar="NUMBER", help="How far answers vary; 0 is least.")] = None,
    max_tokens: Annotated[int | None, typer.Option(metavar="NUMBER", help="The most tokens of an answer.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="NUMBER", help="Asks for other samples than without it.")] = None,
    limit: Annotated[int | None, typer.Option(metavar="NUMBER", help="Read the first rows alone.")] = None,
    on_error: Annotated[str, typer.Option(metavar="WHAT", help="A row without an answer: raise (write nothing), null, or drop.")] = "raise",
    retry: Annotated[bool, typer.Option("--retry", help="Ask anew what was answered before and could not be read.")] = False,
    base_url: Annotated[str | None, typer.Option(metavar="URL", help="The address of a server of your own.")] = None,
    from_: options.From = None,
    to: options.To = None,
    session: options.InSession = Path(DEFAULT_FOLDER),
    budget: Annotated[float | None, typer.Option(metavar="DOLLARS", help="Stop before more US dollars than this are spent.")] = None,
    price: Annotated[
        str | None, typer.Option(metavar="IN,OUT", help="US dollars for a million tokens in and out, as 0.15,0.60; needed where no list price is known.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Make no call: only answers that are kept.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be asked and what it costs, and stop.")] = False,
    json: Annotated[bool, typer.Option("--json", help="With --dry-run: print the estimate as JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Spend without asking first; needed where there is no terminal.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no summary.")] = False,
) -> None:
    """Add a column of answers to the rows of a file.

    \b
    dreamframe prompt rows.csv "Summarise {text}" \\
        --llm openai/gpt-4o-mini --into summary -o out.csv
    cat rows.csv | dreamframe prompt - "Is it a complaint? {text}" \\
        --llm smollm2 --schema bool --yes > out.csv

    On a terminal it shows the first three requests and what all will cost, and asks before it pays. Every answer is kept in the session as it arrives: the
    same command, after Ctrl-C or with more rows, asks only for the rest. Without -o the rows go to standard output, in the format that they came in;
    progress goes to standard error. Columns of CSV are text, and come out as they went in.
    """
    one_of(on_error, ON_ERROR, "--on-error", where="prompt")
    read, came_as = rows.read(source, from_)
    read = read if limit is None else read.head(limit)
    sampling = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
    given: dict[str, Any] = {name: value for name, value in sampling.items() if value is not None}
    model = llm_of(llm, **({} if base_url is None else {"base_url": base_url}))
    asked = read.prompt(model, text, into=into, schema=schema_of(schema), system=system, n=n, on_error=on_error, **given)  # type: ignore[arg-type]
    format = rows.target_format(output, to, came_as)
    rows.check_types(asked.schema, format)
    prices = {} if price is None else {model.label: price_of(price)}
    with Session(session, budget=budget, prices=prices, offline=offline, progress=False if quiet else None) as opened:
        if dry_run:
            show_estimate(asked, is_json=json)
            return
        if not (yes or offline):
            consent.need_yes(asked, read, text, model=model.label, into=into, folder=session)
        n_tried = opened.usage()["calls"]
        made = _collected(asked, opened, retry=retry, folder=session)
        rows.give(made, output, format, is_asked_for=to is not None)
        if not quiet:
            terminal.say(summary(made, opened, output, session, n_tried=n_tried))


def _collected(asked: Frame, opened: Session, *, retry: bool, folder: Path) -> pl.DataFrame:
    """The rows. Ctrl-C says what is kept."""
    try:
        return asked.collect(retry="parse" if retry else None)
    except KeyboardInterrupt as exc:
        n = opened.usage()["calls"]
        exc.__notes__ = [f"Stopped. {n:,} answer{' was' if n == 1 else 's were'} paid for and kept in {str(folder)!r}: the same command asks for the rest."]
        raise


def price_of(words: str) -> tuple[float, float]:
    """US dollars for a million tokens in and out. Raises SettingError for anything but two numbers.

    >>> price_of("0.15, 0.60")
    (0.15, 0.6)
    """
    try:
        tokens_in, tokens_out = map(float, words.split(","))
    except ValueError:
        raise SettingError(f"--price {words!r} is not two numbers. Give US dollars for a million tokens in and out, as 0.15,0.60.") from None
    return tokens_in, tokens_out


def show_estimate(asked: Frame, *, is_json: bool) -> None:
    """What is left to ask and to pay."""
    made = asked.estimate()
    if is_json:
        terminal.put_json(made.as_dict())
        return
    for line in consent.told(made):
        terminal.put(line)


def summary(made: pl.DataFrame, opened: Session, output: Path | None, folder: Path, *, n_tried: int) -> str:
    """What was done, in one line. `n_tried` answers were asked for before the run, to show them."""
    used = opened.usage()
    kept = "all kept" if used["reused"] and not used["calls"] else f"{used['calls']:,} asked, {max(0, used['from_cache'] - n_tried):,} kept"
    parts = [f"{made.height:,} row{'' if made.height == 1 else 's'}", kept]
    parts += [f"{used['failed']:,} failed (dreamframe failures -s {folder})"] if used["failed"] else []
    parts += ["price unknown" if used["cost"] is None else money(used["cost"])] if used["calls"] else []
    return " · ".join([*parts, *([] if output is None else [str(output)]), f"session {folder}"])
