"""What plans will ask and cost: two looks at them, and the figures of each step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dreamframe.plan.estimate import PROBE, Looked, StepEstimate, added
from dreamframe.plan.step import Step
from dreamframe.run.calls.dry import Asked
from dreamframe.run.calls.spend import Spend
from dreamframe.run.dry_run import DryRun
from dreamframe.run.forecast import Forecast, forecast, pace_of, range_of, seconds_of
from dreamframe.run.options import RunOptions
from dreamframe.run.stats import RunStats
from dreamframe.store.stores import Stores

ENOUGH_TO_PASS = 0.5  # of a row: a step that no row reached so far may be reached by some


async def estimated(
    stores: Stores, options: RunOptions, stats: RunStats, steps: Sequence[Step], *, probe: int = 0, seen: Sequence[RunStats] = (), **more: Any
) -> Looked:
    """What plans will ask and cost, run as one. `probe` rows of each step are asked, on the account of `stats`; `seen` are earlier runs, for the time."""
    run = DryRun(stores, options, stats, probe=probe, **more)
    await run.look(steps)
    _forget_failures(stats)
    if options.retry is not None:  # what cannot be read is asked anew
        options = replace(options, retry=None, renew=run.unreadable)
    probed = {place: (a.probed, a.probe_s, a.failed) for place, a in run.dry.asked.items()}
    if probe or options.renew or (any(a.chars for a in run.dry.asked.values()) and any(run.dry.donors.values())):  # now that all kept answers are known
        run = DryRun(stores, options, RunStats(), donors=run.dry.donors, **more)
        await run.look(steps)
    for place, account in run.dry.asked.items():
        account.probed, account.probe_s, account.failed = probed.get(place, (0, 0.0, ""))
        account.kept = max(0, account.kept - account.probed)
    return _looked(run, seen)


def _forget_failures(stats: RunStats) -> None:
    """Rows that were not asked did not fail: what is on account is what was paid for."""
    stats.failures, stats.failed_so_far = [], []
    for step in stats.steps:
        step.failed, step.errors = 0, {}


def accounts_of(run: DryRun) -> dict[str, list[Asked]]:
    """What was asked, by key of the step as it was written."""
    accounts: dict[str, list[Asked]] = {}
    for account in run.dry.asked.values():
        accounts.setdefault(account.stats.key, []).append(account)
    return accounts


def below(run: DryRun, node: Step, accounts: Mapping[str, list[Asked]]) -> list[Asked]:
    """What the steps below one ask."""
    own = run.state.written_key(node)
    return [a for key in dict.fromkeys(map(run.state.written_key, node.walk())) if key != own for a in accounts.get(key, ())]


def _looked(run: DryRun, seen: Sequence[RunStats]) -> Looked:
    accounts = accounts_of(run)
    spend = Spend(purse=run.options.purse, prices=run.options.prices, mode=run.options.mode)
    found: dict[str, StepEstimate] = {}
    forecasts: list[Forecast] = []
    notes: dict[int, str] = {}
    by_pool: dict[str, list[float | None]] = {}
    for node in run.reached():
        key = run.state.written_key(node)
        if run.is_stored(node):
            notes[id(node)] = "stored"
        if key not in accounts:
            continue
        mine = accounts[key]
        if key not in found:
            lower = below(run, node, accounts)
            made = [_forecast(run, a, spend, lower, seen) for a in mine]
            is_guess = any(a.is_guess for a in lower)  # perhaps no row comes
            is_spared = any(a.chars and a.step.needs_real for a in lower) or (is_guess and any(i.needs_real for i in node.inputs))
            if is_spared or is_guess:
                made = [f.from_nothing() for f in made]
            forecasts += made
            found[key] = _step(mine, made, lower, least=0 if is_spared else None)
            for a, f in zip(mine, made, strict=True):
                by_pool.setdefault(str(a.question.llm.pool_key()), []).append(f.seconds)  # type: ignore[attr-defined]
        if any(a.step is node for a in mine):
            notes[id(node)] = str(found[key])
    rounds = [f.rounds for f in forecasts if f.rounds is not None]
    is_open = any(f.is_open for f in forecasts if f.calls)
    told = _notes(run, found)
    pools = [None if None in times else sum(t for t in times if t is not None) for times in by_pool.values()]
    seconds = None if None in pools else max((p for p in pools if p is not None), default=0.0)
    whole = added(list(found.values()), notes=told, cost=range_of(rounds, is_open=is_open or bool(run.problems)), seconds=seconds)
    return Looked(tuple(run.plans), notes, whole, run.made)


def _forecast(run: DryRun, account: Asked, spend: Spend, lower: Sequence[Asked], seen: Sequence[RunStats]) -> Forecast:
    donors = run.dry.donors.get(account.question.digest, [])
    made = forecast(account, donors, spend.price(account.question), doubt=_doubt(account, lower, run))
    each_s = next((each for stats in reversed(seen) if (each := _each_s(stats, account)) is not None), None)
    each_s = pace_of(donors, account.concurrency) if each_s is None else each_s  # of another program's, on this folder
    n_tokens = made.tokens_in + (made.tokens_out or 0.0)
    return replace(made, seconds=seconds_of(account, n_tokens, each_s=each_s, mode=run.options.mode))


def _doubt(account: Asked, lower: Sequence[Asked], run: DryRun) -> float:
    """How far the number of requests may be off, where answers that are still to come decide how many rows there are."""
    doubt = 0.0
    for other in lower:
        n = len(run.dry.donors.get(other.question.digest, ()))
        if other.chars and n:
            share = min(1.0, max(account.rows / max(1, other.rows), ENOUGH_TO_PASS / n))
            doubt += (1 - share) / share * (1 / n + 1 / len(other.chars))
    return math.sqrt(doubt)


def _each_s(stats: RunStats, account: Asked) -> float | None:
    """How long a call took in an earlier run of the step, or of its model."""
    for step in stats.steps:
        if step.asked and step.first_asked is not None and step.last_answered is not None and step.model == account.stats.model:
            return (step.last_answered - step.first_asked) / math.ceil(step.asked / account.concurrency)
    return None


def _step(accounts: Sequence[Asked], made: Sequence[Forecast], lower: Sequence[Asked], *, least: int | None = None) -> StepEstimate:
    first = accounts[0]
    outs = [f.tokens_out for f in made]
    rounds = [f.rounds for f in made if f.rounds is not None]
    guessed = tuple(dict.fromkeys(a.stats.label for a in lower if a.is_guess))
    is_open = any(f.is_open for f in made if f.calls)
    return StepEstimate(
        label=first.stats.label,
        key=first.stats.key,
        model=first.stats.model,
        kept=sum(a.kept for a in accounts),
        calls=sum(f.calls for f in made),
        least=least,
        probed=sum(a.probed for a in accounts),
        tokens_in=round(sum(f.tokens_in for f in made)),
        tokens_out=None if None in outs else round(sum(n for n in outs if n is not None)),
        cost=range_of(rounds, is_open=is_open) if len(rounds) == len(made) else None,
        seconds=None if any(f.seconds is None for f in made) else sum(f.seconds or 0.0 for f in made),
        rests_on=guessed,
    )


def _notes(run: DryRun, found: Mapping[str, StepEstimate]) -> list[str]:
    notes = [f"not in these figures: {problem}" for problem in run.problems]
    notes += dict.fromkeys(a.failed for a in run.dry.asked.values() if a.failed)
    blind = list(dict.fromkeys(s.label for s in found.values() if s.calls and s.tokens_out is None))
    if blind or any(s.rests_on for s in found.values()):
        notes.append(f"no answer of {', '.join(blind) or 'the steps below'} is known: {PROBE} how long they are and how many rows pass")
    return notes
