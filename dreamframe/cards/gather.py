"""What a session knows about a plan, gathered for its card. Runs nothing that would ask, train or pay."""

from __future__ import annotations

import dataclasses
import math
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.cards.records import Records, together
from dreamframe.errors import CorruptFileError
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import ModelStep, Step
from dreamframe.plan.steps.source import HubStream, HubTable
from dreamframe.plan.steps.train import Train
from dreamframe.store.layout import UNKNOWN, version_of, warn
from dreamframe.store.models import metrics_of
from dreamframe.trainers.kinds import HOSTED

if TYPE_CHECKING:
    from dreamframe.run.stats import RunStats
    from dreamframe.store.stores import Stores

LIBRARIES = ("dreamframe", "polars", "pyarrow")
FOR_TRAINING = ("torch", "transformers", "accelerate", "trl", "peft", "sentence-transformers", "setfit")
WRITES = {  # a part of the name of what asks → the libraries that write its rows
    "llamacpp": ("xllamacpp",),
    "vllm": ("vllm", "torch", "transformers"),
    "transformers": ("torch", "transformers", "tokenizers", "peft"),
    "hf-classifier": ("torch", "transformers", "tokenizers", "peft"),
    "reward-model": ("torch", "transformers", "tokenizers", "peft"),
    "sentence-classifier": ("torch", "transformers", "setfit", "sentence-transformers"),
    "sentence-transformers": ("torch", "transformers", "tokenizers", "sentence-transformers", "onnxruntime"),
    "litellm": ("litellm",),
}
OTHERS: tuple[str, ...] = ("accelerate", "aiohttp", "anthropic", "bitsandbytes", "datasets", "httptools", "huggingface_hub", "litellm", "mistralai", "numpy")
OTHERS += ("onnxruntime", "openai", "pydantic", "tokenizers", "usearch", "vllm", "xllamacpp", "xxhash")
SHOWN = 3  # rows


def records_of(
    step: Step, *, stores: Stores | None, events: Iterable[Mapping[str, Any]], first_rows: Callable[[Step, int], list[dict[str, Any]]]
) -> Records:
    """Everything on record about the steps of a plan. `stores` is None before anything has run, `events` are the lines of all runs, oldest first, each
    with its day, and `first_rows` gives the first rows of a plan as far as they are there."""
    memo: dict[Any, Any] = {}
    nodes = step.walk()
    secrets = plan_redactor([step])
    libraries = {"Python": platform.python_version(), **dict(versions(tuple(dict.fromkeys(_that_write(nodes)))))}
    if stores is None:
        return Records(secrets=secrets, versions=libraries, memo=memo)
    known = Records(memo=memo)
    libraries |= _as_it_ran(stores, known.key(step), libraries)
    keys = {known.key(n) for n in nodes} - {""}
    events = list(events)
    reports = {e["key"]: e for e in events if e["event"] == "report" and keys & {e.get("key"), *(e.get("of") or ())}}  # the last of each
    events = [e for e in events if e.get("key") in keys]
    by_key: dict[str, list[Mapping[str, Any]]] = {}
    for event in events:
        if event["event"] == "step":
            by_key.setdefault(event["key"], []).append(event)
    stored = {r["key"]: r for r in stores.steps.all() if r.get("key") in keys}
    for record in stored.values():
        for event in record.get("steps") or ():  # a run that was killed has no log
            if event.get("key") in keys:
                by_key.setdefault(event["key"], [event])
    models = {e["key"]: e["model"] for e in events if e["event"] == "model"}
    trainings = {key: stores.models.record(model) for key, model in models.items() if stores.models.find(model)}
    curves = {key: _curves(stores.models.find(models[key])) for key in trainings}
    days = sorted({str(e["day"]) for e in events if e.get("day")})
    facts = {key: together(found) for key, found in by_key.items()}
    facts |= {k: dataclasses.replace(facts[k], rows=r["rows"]) for k, r in stored.items() if k in facts}
    is_whole = all(known.key(n) in trainings for n in nodes if isinstance(n, ModelStep) and n is not step)
    examples = first_rows(step.inputs[0] if isinstance(step, ModelStep) else step, SHOWN) if facts and is_whole else []
    return Records(facts, trainings, curves, list(reports.values()), examples, libraries, [*days[:1], *days[-1:]], secrets, memo)


def _that_write(nodes: Iterable[Step]) -> Iterator[str]:
    """The libraries that have a hand in the rows of these steps."""
    yield from LIBRARIES
    for node in nodes:
        if isinstance(node, Train) and node.trainer.kind is not HOSTED:
            own = {"sentence-transformers": node.trainer.kind.library, "setfit": node.trainer.label.lower()}
            yield from (name for name in FOR_TRAINING if own.get(name, name) == name)
            yield from ("bitsandbytes",) if getattr(node.trainer, "quantization", None) else ()
        if isinstance(node, HubTable | HubStream):
            yield "datasets"
        for model in node.models():
            for asked in getattr(model, "llms", None) or (model,):
                yield from next((names for provider, names in WRITES.items() if asked.provider.startswith(provider)), ())
                yield from ("httptools",) if hasattr(asked, "base_url") and asked.provider != "litellm" else ()
    yield from ("usearch",) if any(type(node).__name__ == "SearchGraph" for node in nodes) else ()


def _as_it_ran(stores: Stores, key: str, named: Mapping[str, str]) -> dict[str, str]:
    """The versions of these libraries when the plan ran, where the session kept it."""
    kept = next((r for r in stores.plans.all() if key and r.get("key") == key), {})
    libraries = kept.get("libraries")
    found = {**libraries, "Python": kept.get("python")} if isinstance(libraries, Mapping) else {}
    return {name: str(version) for name, version in found.items() if name in named and isinstance(version, str)}


def events_of(runs: Iterable[RunStats]) -> Iterator[dict[str, Any]]:
    """The events of runs of this day that no log holds."""
    for i, run in enumerate(runs):
        yield from ({**e, "run": f"run {i}", "day": time.strftime("%Y-%m-%d", time.gmtime())} for e in run.events())


def _curves(folder: Path | None) -> Mapping[str, list[float]]:
    """The numbers that a training logged, by name. A log that cannot be read is left out, with a warning."""
    try:
        log = None if folder is None else metrics_of(folder)
    except CorruptFileError as exc:
        warn(f"{exc}; the card is made without it")
        return {}
    if log is None:
        return {}
    named = [c for c in log.columns if log[c].dtype.is_numeric() and any(word in c for word in ("loss", "accuracy", "reward", "f1", "cosine", "margin"))]
    return {c: [v for v in log[c].cast(pl.Float64, strict=False).to_list() if v is not None and math.isfinite(v)] for c in named[:12]}


def versions(names: tuple[str, ...] = tuple(dict.fromkeys((*LIBRARIES, *FOR_TRAINING, *OTHERS)))) -> Iterator[tuple[str, str]]:
    """Name and version of each of these libraries that is installed."""
    for name in names:
        if (found := version_of(name)) != UNKNOWN:
            yield name, found
