"""What of a plan goes to the Hub beside its rows or its model: the card, the plan as JSON, and the script that ran it, where the session kept that."""

from __future__ import annotations

import json
import platform
import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.cards.card import data_card, model_card
from dreamframe.cards.gather import records_of, versions
from dreamframe.cards.markdown import scrub
from dreamframe.errors import DreamframeError, PlanFormatError
from dreamframe.hub.push import OURS
from dreamframe.plan.explain import plan_text
from dreamframe.plan.json import expressions
from dreamframe.plan.json.write import inline, plan_record
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Memo, Source, Step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.source import KeptScan, Table
from dreamframe.plan.steps.train import Train
from dreamframe.redaction.visible import visible
from dreamframe.run import loop
from dreamframe.store.layout import version_of

if TYPE_CHECKING:
    from dreamframe.session.running import Running
    from dreamframe.store.stores import Stores


PLAN, SCRIPT = OURS  # their names in a repository


def card(step: Step, stores: Stores | None, events: Iterable[Mapping[str, Any]], running: Running, *, repo: str | None, n_rows: int | None) -> str:
    """README.md, of what is on record. Runs nothing."""

    def first_rows(step: Step, n: int) -> list[dict[str, Any]]:
        """The first rows of a plan, if the session has them: nothing is asked for."""
        run = running.look(offline=True)
        try:
            return loop.run(run.collect_all([relational("head", inputs=(step,), args=(n,))]))[0].to_dicts()
        except DreamframeError:
            return []  # not all of them were answered: a card shows none rather than ask

    records = records_of(step, stores=stores, events=events, first_rows=first_rows)
    if isinstance(step, Train):
        return model_card(step, records, repo=repo, version=version_of("dreamframe"))
    return data_card(step, records, repo=repo, version=version_of("dreamframe"), n_rows=n_rows)


def published(step: Step, stores: Stores | None) -> dict[str, bytes]:
    """The files by name. The rows that the plan began with are not in them, nor keys, nor paths of this machine. Nothing for a plan that no text can
    hold, with a warning."""
    hides, memo = plan_redactor([step]), dict[Any, Any]()
    try:
        record = plan_record(step, rows=lambda source: _rows(source, memo), is_for_strangers=True)
        text = json.dumps({"dreamframe": version_of("dreamframe"), "polars": pl.__version__, **record}, ensure_ascii=False, default=str)
        if hides.holds(text):
            raise PlanFormatError("a key stands in it as plain text")
    except PlanFormatError as exc:
        warnings.warn(visible(hides.text(f"push_to_hub: the plan does not go along: {exc}")), stacklevel=4)
        return {}
    told = {"explain": scrub(plan_text(step, is_kept=True), hides), "python": platform.python_version(), "libraries": dict(versions())}
    files = {PLAN: (json.dumps({**json.loads(text), **told}, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogatepass")}
    if stores is not None and (script := _script(step.key(memo), stores)) is not None:
        files[SCRIPT] = script
    return files


def _rows(source: Source, memo: Memo) -> Mapping[str, Any] | None:
    """What stands for the rows of a table: its key and its columns. The counter behind dr.generate holds nothing and goes along."""
    if not isinstance(source, Table | KeptScan):
        return None
    if not source.provenance():
        return dict(inline(source))
    columns = [[name, expressions.type_written(dtype)] for name, dtype in source.schema.items()]
    return {"elsewhere": source.key(memo), "n_rows": source.data.height, "columns": columns}


def _script(key: str, stores: Stores) -> bytes | None:
    kept = next((r for r in stores.plans.all() if r.get("key") == key), {})
    return stores.plans.script(str(kept["script"])) if kept.get("script") else None
