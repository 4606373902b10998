"""A session as one file that opens without a network: the page, its style and its script, and as many rows as are asked for."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.errors import DreamframeError, SettingError, StorageError
from dreamframe.redaction.visible import visible
from dreamframe.session.page.assets import asset
from dreamframe.session.page.cells import cell
from dreamframe.session.page.columns import columns
from dreamframe.session.page.folder import Held
from dreamframe.session.page.kin import kin_of
from dreamframe.session.page.overview import failures, overview
from dreamframe.session.page.record import stories, told
from dreamframe.session.page.routes import card
from dreamframe.session.page.states import states, without_answer
from dreamframe.session.page.steps import texts, written
from dreamframe.session.page.trainings import curves, unfinished
from dreamframe.session.page.vectors import vector_columns, vector_map
from dreamframe.session.records import StepRecord

__all__ = ["Held", "write"]
MOST_ROWS = 1_000
MOST_STORIES = 200  # rows with their whole story; of others there is what they themselves tell
MOST_POINTS = 2_000  # of a map
MOST_PICTURES = 8 << 20  # characters of all pictures; of those beyond there is the size alone
REPORT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src '{script_hash}'; style-src '{style_hash}'; img-src data:; base-uri 'none'; \
form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>dreamframe</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<div id="app"><p class="empty">The report needs JavaScript.</p></div>
<script type="application/json" id="session">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def write(held: Held, path: Path, *, rows: int = MOST_ROWS) -> Path:
    """Write the report, whole or not at all. Raises SettingError for another number of rows than 0 to MOST_ROWS, StorageError where the disk refuses."""
    if not 0 <= rows <= MOST_ROWS:
        raise SettingError(f"report: rows={rows}; a report has from 0 to {MOST_ROWS:,} rows, so that it stays a file that opens at once.")
    made = document(gathered(held, rows=rows)).encode()
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        part.write_bytes(made)
        os.replace(part, path)
    except OSError as exc:
        with contextlib.suppress(OSError):
            part.unlink()
        raise StorageError(f"report: {visible(str(path))} cannot be written: {exc.strerror or exc}") from exc
    return path


def document(data: Mapping[str, Any]) -> str:
    """The file: no text of the data can end the element that holds it, and nothing but the page's own script and style is obeyed."""
    style, script = (asset(name)[1].decode() for name in ("page.css", "page.js"))
    assert not any(mark in script + style for mark in ("</s", "<s", "<!--")), "it would end, or begin, an element"
    return REPORT.format(style=style, script=script, style_hash=_hash(style), script_hash=_hash(script), data=embedded(data))


def embedded(data: Mapping[str, Any]) -> str:
    """JSON that can stand inside HTML: in ASCII, and without the three characters that mean something there.

    >>> embedded({"a": "</script>&"})
    '{"a":"\\\\u003c/script\\\\u003e\\\\u0026"}'
    """
    plain = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def gathered(held: Held, *, rows: int) -> dict[str, Any]:
    """What the page would ask the server for, asked beforehand. The rows are shared out evenly among the outputs."""
    whole = overview(held)
    whole |= {"live": [], "trainings": [{**t, "is_live": False} for t in whole["trainings"]]}
    outputs: dict[str, Any] = {}
    left, waiting = rows, sorted(_sizes(held, whole))
    for i, (n, name) in enumerate(waiting):  # what a small one does not need, larger ones have
        share = min(n, -(-left // (len(waiting) - i)))
        outputs[name] = _output(held, held.output(name), share, min(share, -(-MOST_STORIES // len(waiting))))
        left -= share
    plans = [p["name"] for p in whole["plans"]]
    models = [*(m.name for m in held.models()), *(t["name"] for t in unfinished(held))]
    return {
        "overview": whole,
        "outputs": _light(outputs, [MOST_PICTURES]),
        "failures": _failures(held),
        "texts": {name: said for name in plans if (said := texts(held, name))},
        "curves": {name: curves(held, name) for name in models},
        "cards": {name: found for name in plans if (found := _card(held, name)) is not None},
    }


def _light(held: Any, left: list[int]) -> Any:
    """The same with as many pictures, of rows and of what models were shown, as there is room for: the first ones."""
    if isinstance(held, list):
        return [_light(v, left) for v in held]
    if not isinstance(held, dict):
        return held
    address = held.get("picture") or held.get("url")
    if len(held) > 1 or not isinstance(address, str) or not address.startswith("data:image/"):
        return {k: _light(v, left) for k, v in held.items()}
    if left[0] >= len(address):
        left[0] -= len(address)
        return held
    return {"bytes": len(address) * 3 // 4} if "picture" in held else {"url": "data:"}


def _sizes(held: Held, whole: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """How many rows there are to show, and the name of each output that has some: stored ones, and those of plans that are not whole."""
    shown = [step["output"] for plan in whole["plans"] for step in plan["steps"] if step["output"]]
    for name in dict.fromkeys([*(o.name for o in held.outputs()), *shown]):
        with contextlib.suppress(DreamframeError, pl.exceptions.PolarsError):  # they are gone, or cannot be made without asking: the rest is told
            yield held.rows(name).height, name


def _failures(held: Held) -> dict[str, Any]:
    """What failed, with the row that it is of, where that is among the rows at hand."""
    told = failures(held)
    of_run = {run.name: run.failures for run in held.runs()}
    for one in told["failures"]:
        if (found := without_answer(held, of_run[one["run"]], one["n"])) is not None:
            one["found"] = {"output": found[0], "row": found[1]}
    return told


def _card(held: Held, name: str) -> dict[str, Any] | None:
    try:
        return card(held, name)
    except DreamframeError:
        return None  # a plan that was kept as text alone


def _output(held: Held, output: StepRecord, n: int, n_stories: int) -> dict[str, Any]:
    """The first rows of an output, and the stories of the first of them."""
    table = held.rows(output.name)
    rows = table.head(n)
    by = written(held, output)
    vectors = vector_columns(table.schema)
    records = told(held, output.name, rows)
    turns = [{**turn, "messages": [record["turns"][i]["messages"] for record in records]} for i, turn in enumerate(records[0]["turns"])] if records else []
    known = states(held, output.name)
    return {
        "total": table.height,
        "kin": {str(row): found for row, found in kin_of(held, output.name, pl.col("row") < n).items()},
        "states": [] if known is None else known.words.head(n).to_list(),
        "marks": {} if known is None else {str(row): said for row, said in known.marks.items() if row < n},
        "names": table.columns,
        "columns": {"columns": columns(held, output.name, frozenset(by)), "vectors": vectors, "by": by},
        "rows": [[cell(v, whole=c not in vectors) for c, v in zip(table.columns, row, strict=True)] for row in rows.iter_rows()],
        "turns": turns,
        "stories": stories(held, output.name, n_stories),
        "maps": {column: _map(held, output.name, column) for column in vectors},
    }


def _map(held: Held, name: str, column: str) -> dict[str, Any]:
    """The map of a column, as far as the rows of the report can be opened from it."""
    label = next((c["name"] for c in columns(held, name, frozenset()) if c.get("top")), "")
    made = vector_map(held, name, column, label)
    every = max(1, -(-len(made["points"]) // MOST_POINTS))
    lists = {key: made[key][::every] for key in ("points", "at", "said", "by")}
    return {**made, **lists, "every": made["every"] * every}
