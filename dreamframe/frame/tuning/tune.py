"""From a plan and labelled rows to the same plan with better prompts, and the candidates that were tried."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import polars as pl

from dreamframe.errors import MissingExtraError, SettingError, listed
from dreamframe.frame.scoring import Metric, need_metric, need_score_of_row, same, scored
from dreamframe.frame.tuning.rules import flaw, request_template
from dreamframe.frame.tuning.search import Search
from dreamframe.frame.tuning.trials import Labelled, Limits, RunTrials, reflecting, with_texts
from dreamframe.frame.tuning.tried import Tried, schema_of
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.identity.tables import frame_digest
from dreamframe.measure.by_row import Score
from dreamframe.models.base import LLM
from dreamframe.plan.by_content import parted
from dreamframe.plan.model_columns import column_of
from dreamframe.plan.step import Step
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.variants import Part, asking, changed, name_of, text_of
from dreamframe.run.active import ActiveSession, tell_once

VERB = "tune"
GEPA = "https://arxiv.org/abs/2507.19457"  # Agrawal et al. 2025
VERSION = 1  # of what is kept
MAX_CHARS = 2_000  # that a prompt may have, if it is not longer from the beginning
Gold = str | Step | pl.DataFrame


@dataclass(frozen=True)
class Settings:
    """Of one call of `df.tune`."""

    by: LLM
    metric: Metric | None
    budget: float | None
    calls: int | None
    only: str | Sequence[str] | None
    seed: int
    holdout: float
    max_chars: int | None


def tuned(session: ActiveSession, plan: Step, gold: Gold, given: Settings) -> Step:
    """The plan with the prompts that are best on labelled rows. Raises what `df.tune` says."""
    names = tunable(plan, given.only)
    part = Part(Part(plan, tuple(names.values())).top, tuple(names.values()))
    need_one_chain(part, names)
    needed_gepa()
    rows = labelled(session, part, gold)
    kept, held = parted(rows.fed, part.reads, given.holdout, seed=given.seed)
    if not kept:
        raise SettingError(f"{VERB}: gold has {rows.fed.height} rows, of which none is left to learn from beside those that are held out; label more.")
    scorer = scorer_of(part, names, rows, given.metric)
    key = key_of(part, names, rows, given)
    found = session.findings.find(key, schema_of(names))
    if found is None:
        trials = RunTrials(session, part, names, rows, given.by, scorer, Limits(given.calls, given.budget, len(held)))
        if short := trials.limits.need(len(kept), trials.each):
            raise SettingError(f"{VERB}: {short}.")
        found = candidates(trials, names, kept, held, given)
        session.findings.keep(key, VERB, f"TUNE {', '.join(names)}", found, kind="Tune")
    return with_best(plan, names, found, key=key, n_held=len(held))


# What is tuned, and on what


def tunable(plan: Step, only: str | Sequence[str] | None) -> dict[str, PromptStep]:
    """The steps whose prompts are tuned, by name. Raises SettingError for a prompt that has no text of its own."""
    steps = {name_of(step): step for step in asking(plan, only, verb=VERB)}
    texts = {name: step for name, step in steps.items() if text_of(step.prompt) is not None}
    others = [name for name in steps if name not in texts]
    if others and (only is not None or not texts):
        kind = type(steps[others[0]].prompt).__name__
        raise SettingError(f"{VERB}: the prompt of {others[0]!r} is a {kind}, which has no single text; templates, dr.Instruct and the like can be tuned.")
    return texts


def need_one_chain(part: Part, names: Mapping[str, PromptStep]) -> None:
    """Raise SettingError for steps of which not all stand over the same rows."""
    chain = {id(node) for node in part.chain}
    if apart := [name for name, step in names.items() if id(step) not in chain]:
        raise SettingError(
            f"{VERB}: {listed(names)} do not all stand over the same rows, one after the other, with nothing between that leaves rows out; tune them one by "
            f"one: only={apart[0]!r}."
        )


def needed_gepa() -> str:
    """The version of gepa. Raises MissingExtraError where it is not installed."""
    try:
        return version("gepa")
    except PackageNotFoundError as exc:
        raise MissingExtraError("gepa", extra="tune", needed_for="df.tune") from exc


def labelled(session: ActiveSession, part: Part, gold: Gold) -> Labelled:
    """The rows with right answers. Raises SettingError where they are not what the plan reads."""
    schema = part.below.schema
    if isinstance(gold, str):
        if gold not in schema:
            raise SettingError(
                f"{VERB}: gold={gold!r} is not a column of the rows that {name_of(part.steps[0])!r} is asked about; they have {listed(schema)}."
            )
        rows = session.collect(part.below).filter(pl.col(gold).is_not_null())
        made = Labelled(rows, pl.DataFrame(), gold)
    else:
        rows = gold if isinstance(gold, pl.DataFrame) else session.collect(gold)
        made = _split(part, rows)
    if made.fed.height < 2:
        raise SettingError(f"{VERB}: gold has {made.fed.height} rows with a right answer; some are to learn from, and others to see whether it holds.")
    return made


def _split(part: Part, rows: pl.DataFrame) -> Labelled:
    """Rows of a frame of their own as what the plan is run over and what stands beside it."""
    schema = part.below.schema
    if missing := [c for c in part.needs if c not in rows.columns]:
        raise SettingError(f"{VERB}: gold has no column {missing[0]!r}, which the plan reads; it has {listed(rows.columns)}.")
    others = [c for c in rows.columns if c not in schema]
    written = [c for c in others if c in part.top.schema]
    right = others[0] if len(others) == 1 else written[0] if len(written) == 1 else None
    rows = rows if right is None else rows.filter(pl.col(right).is_not_null())
    try:
        fed = rows.select(pl.col(c).cast(dtype) if c in rows.columns else pl.lit(None, dtype=dtype).alias(c) for c, dtype in schema.items())
    except pl.exceptions.PolarsError as exc:
        raise SettingError(f"{VERB}: the columns of gold are not of the types that the plan reads: {exc}") from exc
    return Labelled(fed, rows.select(others), right)


def scorer_of(part: Part, names: Mapping[str, PromptStep], rows: Labelled, metric: Metric | None) -> Any:
    """A function that scores rows of the plan with what stands beside them. Raises SettingError where nobody knows what is right."""
    have = part.top.schema.names()
    if metric is not None:
        need_score_of_row(metric, verb=VERB)
        need_metric(metric, rows.row_of(pl.DataFrame(schema=part.top.schema), []).schema, verb=VERB)
        return lambda beside: scored(beside, metric, verb=VERB)
    last = list(names.values())[-1]
    possible = (rows.right if rows.right in rows.beside.columns else None, last.into, column_of(last))
    answer = next((c for c in possible if c in have), None)
    if rows.right is None or answer is None:
        told = f"gold has {listed(rows.beside.columns)}" if rows.beside.width else "gold has no column"
        raise SettingError(
            f"{VERB}: {told} besides what the plan reads, and it is not known which is right; keep one, or say metric=, as pl.col('mood') == pl.col('label')."
        )
    right = rows.named(rows.right, have)
    return lambda beside: [Score(value or 0.0) for value in same(beside.get_column(answer).to_list(), beside.get_column(right).to_list())]


# The search, and what is kept of it


def key_of(part: Part, names: Mapping[str, PromptStep], rows: Labelled, given: Settings) -> str:
    """32 hexadecimal digits of everything that decides what comes out."""
    over, _ = part.over(rows.fed)
    held = given.budget, given.calls, given.seed, given.holdout, given.max_chars
    asked = reflecting(given.by, [""]).key({})
    return fingerprint((VERB, VERSION, needed_gepa(), over.key({}), frame_digest(rows.beside), rows.right, tuple(names), asked, held, given.metric))


def candidates(trials: RunTrials, names: Mapping[str, PromptStep], kept: Sequence[int], held: Sequence[int], given: Settings) -> pl.DataFrame:
    """Search on the rows that are kept, and see on those that are held out whether the best is better than what there was."""
    texts = {name: str(text_of(step.prompt)) for name, step in names.items()}
    most = {name: given.max_chars or max(MAX_CHARS, len(text)) for name, text in texts.items()}
    search = Search(
        trials,
        texts,
        kept,
        requests={name: request_template(step, most[name]) for name, step in names.items()},
        flaw=lambda name, text, now: flaw(names[name], text, now=now, max_chars=most[name]),
        seed=given.seed,
    )
    search.run()
    search.tried[0].note += f"; the search ended since {search.ended}"
    trials.is_searching = False
    first, best = search.tried[0], search.best()
    on_held: dict[int, float] = {}
    if best is not first:
        for one in (first, best):
            on_held[id(one)] = sum(o.score for o in trials.outcomes(one.texts, held)) / len(held)
            search.charge(one)
    chosen = best if on_held and on_held[id(best)] > on_held[id(first)] else first
    told = [_told(i, one, search.score(one), on_held.get(id(one)), is_chosen=one is chosen) for i, one in enumerate(search.tried)]
    return pl.DataFrame(told, schema=schema_of(names))


def _told(number: int, one: Tried, train: float | None, held_out: float | None, *, is_chosen: bool) -> dict[str, Any]:
    texts = {f"{name}_prompt": text for name, text in one.texts.items()}
    counts = {"calls": one.calls, "cost": None if math.isnan(one.cost) else one.cost}
    return {"candidate": number, "parent": one.parent, **texts, "train": train, "held_out": held_out, **counts, "chosen": is_chosen, "note": one.note}


def with_best(plan: Step, names: Mapping[str, PromptStep], found: pl.DataFrame, *, key: str, n_held: int) -> Step:
    """The plan with the prompts that were chosen, which say how they were found."""
    chosen, first = found.filter("chosen").row(0, named=True), found.row(0, named=True)
    is_better = chosen["candidate"] != 0
    if is_better:
        said = f"{first['held_out']:.3g} → {chosen['held_out']:.3g} on {n_held} held-out row{'' if n_held == 1 else 's'}, by GEPA"
    else:
        said = "no better prompt was found, by GEPA"
        tell_once(f"{VERB}: no prompt of {listed(names)} was better than the one there is; the plan is as it was. df.candidates() tells what was tried.")
    texts = {name: chosen[f"{name}_prompt"] for name in names}

    def change(step: PromptStep) -> PromptStep:
        made = with_texts(step, texts) if is_better else step
        papers = tuple(dict.fromkeys((*made.techniques, GEPA))) if is_better else made.techniques
        told = said if is_better else dict(step.tuned).get("said", said)  # of an earlier search, which found this prompt
        return made.but(tuned=(("run", key), ("said", told)), techniques=papers)

    return changed(plan, list(names.values()), change)
