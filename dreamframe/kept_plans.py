"""What a session keeps of each plan that it ran, so that a stranger can run it again: the plan as JSON, its rows, the versions, the script."""

from __future__ import annotations

import functools
import os
import platform
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.card_records import secrets_of, versions
from dreamframe.cards.markdown import scrub
from dreamframe.errors import DreamframeError, PlanFormatError
from dreamframe.explain import plan_text
from dreamframe.plan_json.write import plan_record
from dreamframe.step import Memo, ModelStep, Source, Step
from dreamframe.steps.source import KeptScan, Scan, Table
from dreamframe.whose_code import is_library_file

if TYPE_CHECKING:
    from dreamframe.frame import Frame
    from dreamframe.model import Model
    from dreamframe.plan_json.read import Given
    from dreamframe.store.sources import Sources
    from dreamframe.store.stores import Stores

MOST_BYTES = 64 << 20  # of a source's rows that are kept beside the plan; larger ones are named alone
SHORTEST_SECRET = 8  # characters; what is shorter may stand in any prompt


def keep(stores: Stores, step: Step, memo: Memo) -> None:
    """Keep a plan that ran. What no text can hold is said in its record; a disk that refuses is warned of: the rows are what was asked for."""
    try:
        _keep(stores, step, memo)
    except (DreamframeError, OSError, pl.exceptions.PolarsError) as exc:
        warnings.warn(f"the plan of {step.label} was not kept in the session ({type(exc).__name__}: {exc}); its rows and answers are", stacklevel=2)


def _keep(stores: Stores, step: Step, memo: Memo) -> None:
    plans, sources = stores.plans, stores.sources
    if plans is None or sources is None or not any(node.is_expensive for node in step.walk()):
        return
    key = step.key(memo)
    if plans.has(step.label, key):
        return
    secrets = secrets_of(step)
    record: dict[str, Any] = {"kind": "model" if isinstance(step, ModelStep) else "frame", "columns": list(step.schema.names())}
    try:
        made = plan_record(step, rows=lambda source: _keep_rows(sources, source, memo), is_for_strangers=True)
        if any(len(s) >= SHORTEST_SECRET and s in str(made) for s in secrets):
            raise PlanFormatError("a key stands in it as plain text")
        record |= made
    except PlanFormatError as exc:
        record |= {"problem": scrub(str(exc), secrets)}
    script = _script()
    record |= {"explain": scrub(plan_text(step, is_kept=True), secrets), "python": platform.python_version(), "libraries": _environment()}
    if script is not None:
        record["script"] = plans.keep_script(script[0], scrub(script[1], secrets))
    plans.keep(step.label, key, record)


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
        rows = source.lazy().collect()
        if isinstance(source, Scan):
            source.check_unchanged(memo)
        sources.keep(label, key, rows, {"columns": rows.columns})
    return {"label": label, "kept": key, **more}


def _script() -> tuple[str, str] | None:
    """The name and text of the user's program: a file, or the cells of a notebook."""
    main = sys.modules.get("__main__")
    cells, file = getattr(main, "In", None), getattr(main, "__file__", None)
    if isinstance(cells, list) and file is None:
        return "notebook", "\n\n# %%\n".join(map(str, cells)).strip() + "\n"
    if file is None or is_library_file(file):
        return None
    try:
        return Path(file).stem, Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


@functools.cache
def _environment() -> dict[str, str]:
    return dict(versions())


def listed(stores: Stores) -> list[dict[str, Any]]:
    """The kept plans as `session.plans()` gives them."""
    shown = ("name", "label", "key", "kind", "columns", "explain", "python", "libraries", "script", "problem")
    return [{k: record.get(k) for k in shown} for record in ([] if stores.plans is None else stores.plans.all())]


def load(
    stores: Stores, name: str, *, functions: Given = (), allow: Iterable[str | os.PathLike[str]] = (), trust_remote_code: bool = False
) -> Frame | Model:
    """The plan of this name, label or key."""
    from dreamframe.plan_json.read import as_user_sees, plan_of

    records = [] if stores.plans is None else stores.plans.all()
    found = [r for r in records if r["name"] == name] or [r for r in records if name in (r.get("label"), r.get("key"))]
    if len(found) != 1:
        what = f"several plans are called {name!r}" if found else f"no plan is called {name!r}"
        there = ", ".join(repr(r["name"]) for r in found or records) or "none"
        raise PlanFormatError(f"Session.plan: {what}. There are: {there}.")
    if "problem" in found[0]:
        raise PlanFormatError(f"Session.plan: {name!r} was kept as a text alone: {found[0]['problem']}")
    plan = plan_of(found[0], functions=functions, allow=allow, rows=lambda held: _rows(stores, held), trust_remote_code=trust_remote_code)
    return as_user_sees(plan)


def _rows(stores: Stores, held: Mapping[str, Any]) -> pl.DataFrame:
    if "left_out" in held:
        raise PlanFormatError(f"the rows of a table were not kept with the plan: {int(held['left_out']) >> 20} MB, and {MOST_BYTES >> 20} MB is the most")
    if not re.fullmatch(r"[0-9a-f]{32}", str(held["kept"])):
        raise PlanFormatError(f"{str(held['kept'])[:80]!r} is not the key of rows: 32 hexadecimal digits")
    found = None if stores.sources is None else stores.sources.find(str(held["label"]), str(held["kept"]))
    if found is None:
        raise PlanFormatError(f"the rows {held['label']}-{str(held['kept'])[:12]} of the plan are not in the session any more")
    return found[0]

