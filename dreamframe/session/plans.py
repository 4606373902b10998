"""What a session keeps of each plan that it ran, so that a stranger can run it again: the plan as JSON, its rows, the versions and, where that
is wanted, the script."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from dreamframe.cards.gather import versions
from dreamframe.cards.markdown import scrub
from dreamframe.errors import DreamframeError, PlanFormatError
from dreamframe.frame.from_json import as_users_see
from dreamframe.identity.whose_code import is_library_file
from dreamframe.plan.explain import plan_text
from dreamframe.plan.hidden import readable
from dreamframe.plan.json.read import plan_of
from dreamframe.plan.json.write import plan_record
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Memo, ModelStep, Source, Step
from dreamframe.plan.steps.ailing import said as said_of
from dreamframe.plan.steps.source import KeptScan, Scan, Table
from dreamframe.redaction.script_text import UnreadableScriptError, without_secrets_of_script
from dreamframe.redaction.visible import visible
from dreamframe.run.pieces import in_pieces
from dreamframe.session.records import PlanRecord
from dreamframe.session.records import plan_record as as_record

if TYPE_CHECKING:
    from dreamframe.frame.frame import Frame
    from dreamframe.frame.model import Model
    from dreamframe.plan.json.read import Given
    from dreamframe.redaction.redactor import Redactor
    from dreamframe.store.plans import Plans
    from dreamframe.store.sources import Sources
    from dreamframe.store.stores import Stores

MOST_BYTES = 64 << 20  # of a source's rows that are kept beside the plan; larger ones are named alone
MOST_UNFOLDED = 2 * MOST_BYTES  # of a file's rows, which a file may hold in much fewer bytes
PIECE_ROWS = 4_096  # that are read at once


def keep(stores: Stores, step: Step, memo: Memo, *, keep_script: bool = False) -> None:
    """Keep a plan that ran for the first time, and the script that ran it where that was asked for. What no text can hold is said in its record; a disk
    that refuses is warned of: the rows are what was asked for."""
    try:
        _keep(stores, step, memo, keep_script=keep_script)
    except (DreamframeError, OSError, pl.exceptions.PolarsError) as exc:
        said = f"the plan of {step.label} was not kept in the session ({type(exc).__name__}: {said_of(exc)}); its rows and answers are"
        warnings.warn(visible(plan_redactor([step]).text(said)), stacklevel=2)


def _keep(stores: Stores, step: Step, memo: Memo, *, keep_script: bool) -> None:
    plans, sources, key = stores.plans, stores.sources, step.key(memo)
    hides = plan_redactor([step])
    record: dict[str, Any] = {"kind": "model" if isinstance(step, ModelStep) else "frame", "columns": list(step.schema.names())}
    try:
        made = plan_record(step, rows=lambda source: _keep_rows(sources, source, memo), is_for_strangers=True)
        if hides.holds(json.dumps(made, ensure_ascii=False, default=str)):
            raise PlanFormatError("a key stands in it as plain text")
        record |= made
    except PlanFormatError as exc:
        record |= {"problem": scrub(str(exc), hides)}
    record |= {"explain": scrub(plan_text(step, is_kept=True), hides), "python": platform.python_version(), "libraries": _environment()}
    if keep_script:
        record |= _kept_script(plans, hides)
    plans.keep(step.label, key, record)


def _read(scan: Scan) -> pl.DataFrame | None:
    """The rows of files; None where there are many more than the files have bytes, before all are in memory."""
    rows = scan.lazy()
    feed = in_pieces(rows, lambda piece: piece, scan.schema, n_bytes=scan.n_bytes()) if scan.is_cut_anywhere else rows
    parts, n_bytes = [pl.DataFrame(schema=scan.schema)], 0.0
    for batch in feed.collect_batches(chunk_size=PIECE_ROWS, maintain_order=True):
        parts.append(batch)
        n_bytes += batch.estimated_size()
        if n_bytes > MOST_UNFOLDED:
            return None
    return pl.concat(parts)


def _kept_script(plans: Plans, hides: Redactor) -> dict[str, str]:
    """The script's file, or why there is none."""
    try:
        name, text = _script()
        return {"script": plans.keep_script(name, scrub(text, hides))}
    except UnreadableScriptError as exc:
        said = f"the script was not kept: {exc}"
        warnings.warn(said, stacklevel=2)
        return {"script_problem": said}


def _keep_rows(sources: Sources, source: Source, memo: Memo) -> Mapping[str, Any] | None:
    """Keep a source's rows in the session, and say how they are found again."""
    if not isinstance(source, Table | Scan | KeptScan):
        return None  # a stream of the Hub, which keeps its own, or a source of the user's
    if isinstance(source, Table):
        label, key, n_bytes, more = "rows", source.digest, source.data.estimated_size(), {}
    else:
        described = ", ".join(p.name for p in source.provenance())
        label, key, more = "files", source.key(memo), {"kept_key": source.key(memo), "described": described}
        n_bytes = sum(Path(f).stat().st_size for f in source.files()) if isinstance(source, Scan) else source.data.estimated_size()
    if n_bytes > MOST_BYTES:
        return {"left_out": n_bytes} if isinstance(source, Table) else None
    if not sources.has(label, key):
        rows = _read(source) if isinstance(source, Scan) else source.lazy().collect()
        if rows is None:
            return None
        if isinstance(source, Scan):
            source.check_unchanged(memo)
        sources.keep(label, key, rows, {"columns": rows.columns})
    return {"label": label, "kept": key, **more}


def _script() -> tuple[str, str]:
    """The name and text of the user's program, a file or the cells of a notebook, without its secrets. Raises UnreadableScriptError."""
    main = sys.modules.get("__main__")
    cells, file = getattr(main, "In", None), getattr(main, "__file__", None)
    if isinstance(cells, list) and file is None:
        return "notebook", without_secrets_of_script("\n\n# %%\n".join(map(_cell, cells)).strip() + "\n")
    if file is None or is_library_file(file):
        raise UnreadableScriptError("no file of the user's is the main program")
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UnreadableScriptError(f"it cannot be read: {type(exc).__name__}") from exc
    return Path(file).stem, without_secrets_of_script(text)


def _cell(cell: object) -> str:
    """A cell that can be read; nobody knows what in another is a secret."""
    try:
        without_secrets_of_script(str(cell))
    except UnreadableScriptError as exc:
        return f"# a cell that was not kept: {exc}"
    return str(cell)


@functools.cache
def _environment() -> dict[str, str]:
    return dict(versions())


class KeepsPlans(Protocol):
    """What plans are read from."""

    @property
    def plans(self) -> Plans: ...

    @property
    def sources(self) -> Sources: ...


def listed(stores: Stores) -> list[PlanRecord]:
    """The kept plans as `session.plans()` gives them."""
    return [as_record(held) for held in stores.plans.all()]


def load(
    stores: KeepsPlans, name: str, *, functions: Given = (), allow: Iterable[str | os.PathLike[str]] = (), trust_remote_code: bool = False
) -> Frame | Model:
    """The plan of this name, label or key."""
    records = stores.plans.all()
    found = [r for r in records if r["name"] == name] or sorted((r for r in records if r.get("key") == name), key=lambda r: "problem" in r)[:1]
    found = found or [r for r in records if readable(str(r.get("label"))) == readable(name)]
    if len(found) != 1:
        what = f"several plans are called {name!r}" if found else f"no plan is called {name!r}"
        there = ", ".join(repr(r["name"]) for r in found or records) or "none"
        raise PlanFormatError(f"Session.plan: {what}. There are: {there}.")
    if "problem" in found[0]:
        raise PlanFormatError(f"Session.plan: {name!r} was kept as text alone and cannot be run: {found[0]['problem']}")
    plan = plan_of(found[0], functions=functions, allow=allow, rows=lambda held: _rows(stores, held), trust_remote_code=trust_remote_code)
    return as_users_see(plan)


def _rows(stores: KeepsPlans, held: Mapping[str, Any]) -> pl.DataFrame:
    if "left_out" in held:
        size = f"{int(held['left_out']) >> 20} MB, and at most {MOST_BYTES >> 20} MB are kept"
        raise PlanFormatError(f"the rows of a table were not kept with the plan: they take {size}")
    if not re.fullmatch(r"[0-9a-f]{32}", str(held["kept"])):
        raise PlanFormatError(f"{str(held['kept'])[:80]!r} is not the key of rows: 32 hexadecimal digits")
    found = stores.sources.find(str(held["label"]), str(held["kept"]))
    if found is None:
        raise PlanFormatError(f"the rows {held['label']}-{str(held['kept'])[:12]} of the plan are not in the session any more")
    return found[0]

