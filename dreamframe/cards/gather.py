"""What a session knows about a plan, gathered for its card. Runs nothing that would ask, train or pay."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.cards.records import Records, together
from dreamframe.errors import CorruptFileError, DreamframeError
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import ModelStep, Step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.train import Train
from dreamframe.run import loop

if TYPE_CHECKING:
    from dreamframe.session.session import Session

LIBRARIES = ("dreamframe", "polars", "pyarrow")
FOR_TRAINING = ("torch", "transformers", "trl", "peft", "sentence-transformers", "setfit")
OTHERS: tuple[str, ...] = ("accelerate", "aiohttp", "anthropic", "bitsandbytes", "datasets", "huggingface_hub", "litellm", "mistralai", "numpy")
OTHERS += ("onnxruntime", "openai", "pydantic", "tokenizers", "usearch", "vllm", "xllamacpp", "xxhash")
SHOWN = 3  # rows


def records_of(session: Session, step: Step) -> Records:
    """Everything on record about the steps of a plan."""
    memo: dict[Any, Any] = {}
    has_run = session._stores is not None or (session.folder is not None and session.folder.exists())
    nodes = step.walk()
    secrets = plan_redactor([step])
    libraries = dict(versions(LIBRARIES + (FOR_TRAINING if any(isinstance(n, Train) for n in nodes) else ())))
    if not has_run:
        return Records(secrets=secrets, versions=libraries, memo=memo)
    known = Records(memo=memo)
    keys = {known.key(n) for n in nodes} - {""}
    events = [e for e in _events(session) if e.get("key") in keys]
    by_key: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        if event["event"] == "step":
            by_key.setdefault(event["key"], []).append(event)
    stored = {r["key"]: r for r in session.steps() if r.get("key") in keys}
    for record in stored.values():
        for event in record.get("steps") or ():  # a run that was killed has no log
            if event.get("key") in keys:
                by_key.setdefault(event["key"], [event])
    models = {e["key"]: e["model"] for e in events if e["event"] == "model"}
    trainings = {key: session.stores.models.record(model) for key, model in models.items() if session.stores.models.find(model)}
    curves = {key: _curves(session.stores.models.find(models[key])) for key in trainings}
    days = sorted({str(e["day"]) for e in events if e.get("day")})
    facts = {key: together(found) for key, found in by_key.items()}
    facts |= {k: dataclasses.replace(facts[k], rows=r["rows"]) for k, r in stored.items() if k in facts}
    is_whole = all(known.key(n) in trainings for n in nodes if isinstance(n, ModelStep) and n is not step)
    examples = _examples(session, step) if facts and is_whole else []
    return Records(facts, trainings, curves, examples, libraries, [*days[:1], *days[-1:]], secrets, memo)


def _events(session: Session) -> Iterator[dict[str, Any]]:
    """The lines of all runs, oldest first, each with its day."""
    if session.folder is None:
        for run in session.runs:
            yield from ({**e, "day": time.strftime("%Y-%m-%d", time.gmtime())} for e in run.events())
        return
    yield from session.stores.log.read()


def _curves(folder: Path | None) -> Mapping[str, list[float]]:
    """The numbers that a training logged, by name. A log that cannot be read is left out, with a warning."""
    from dreamframe.store.layout import warn
    from dreamframe.store.models import metrics_of

    try:
        log = None if folder is None else metrics_of(folder)
    except CorruptFileError as exc:
        warn(f"{exc}; the card is made without it")
        return {}
    if log is None:
        return {}
    named = [c for c in log.columns if log[c].dtype.is_numeric() and any(word in c for word in ("loss", "accuracy", "reward", "f1", "cosine", "margin"))]
    return {c: [v for v in log[c].cast(pl.Float64, strict=False).to_list() if v is not None and math.isfinite(v)] for c in named[:12]}


def _examples(session: Session, step: Step) -> list[dict[str, Any]]:
    """The first rows, if the session has them: nothing is asked for."""
    below = step.inputs[0] if isinstance(step, ModelStep) else step
    run = session._run_with(dataclasses.replace(session._options, offline=True))
    try:
        return loop.run(run.collect_all([relational("head", inputs=(below,), args=(SHOWN,))]))[0].to_dicts()
    except DreamframeError:
        return []  # not all of them were answered: a card shows none rather than ask


def versions(names: tuple[str, ...] = (*LIBRARIES, *FOR_TRAINING, *OTHERS)) -> Iterator[tuple[str, str]]:
    """Name and version of each of these libraries that is installed."""
    for name in names:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
