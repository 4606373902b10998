"""How the table of `df.compare_models` is made. Apart from the verb: building plans needs none of it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from dreamframe.errors import SettingError, listed
from dreamframe.frame.arguments import as_llm
from dreamframe.frame.base import whole
from dreamframe.frame.model import Model
from dreamframe.frame.scoring import CONFIDENCE, DRAWS, Metric, figure, mean_of, need_metric, same
from dreamframe.measure.statistic import Statistic
from dreamframe.models.base import LLM
from dreamframe.models.habits import described
from dreamframe.plan.by_content import sample
from dreamframe.plan.step import Step
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.variants import Part, asked_of, asking, name_of
from dreamframe.prompts.base import Prompt
from dreamframe.run.active import ActiveSession, current

if TYPE_CHECKING:
    from dreamframe.run.why.story import CallTold

VERB = "compare_models"


class Variant(NamedTuple):
    """A row of the table."""

    model: str
    llm: LLM
    prompt: str | None = None  # its name
    text: Prompt | None = None


def compared(
    plan: Step,
    models: Any,
    *,
    prompts: Mapping[str, str | Prompt] | None,
    on: int | None,
    by: LLM | Model | str | None,
    metric: Metric | None,
    only: str | None,
    seed: int,
) -> pl.DataFrame:
    """The table. Raises what `df.compare_models` says."""
    steps = asking(plan, only, verb=VERB)
    if len(steps) != 1:
        names = [name_of(s) for s in steps]
        raise SettingError(f"{VERB}: {len(steps)} steps of this plan ask a model ({listed(names)}); say which one is compared: only={names[-1]!r}.")
    made = variants(steps[0], models, prompts, by)
    if metric is not None:
        need_metric(metric, plan.schema, verb=VERB)
    if metric is not None and by is not None:
        raise SettingError(f"{VERB}: by= is the model that the others are to agree with, and metric= scores otherwise; give one of them.")
    n = None if on is None else whole(on, "on", verb=VERB, least=1)
    return table(current(plan), Part(plan, tuple(steps)), made, n=n, metric=metric, seed=whole(seed, "seed", verb=VERB, least=None))


def variants(step: PromptStep, models: Any, prompts: Any, by: LLM | Model | str | None) -> list[Variant]:
    """The rows of the table, in their order. Raises SettingError for what is not a model or not a prompt, and for names that stand twice."""
    if models is None and prompts is None:
        raise SettingError(f"{VERB}: give the models to try, as df.{VERB}([llm, 'openai/gpt-4o-mini']), or prompts={{'short': '…', 'long': '…'}}, or both.")
    if isinstance(models, (str, LLM, Model)):
        models = [models]
    if isinstance(models, Mapping):
        named = [(str(name), as_llm(model, verb=VERB)) for name, model in models.items()]
    else:
        named = [(llm.label, llm) for llm in ([step.llm] if models is None else [as_llm(model, verb=VERB) for model in models])]
    if by is not None:
        strong = as_llm(by, verb=VERB)
        named = [next(((name, llm) for name, llm in named if llm == strong), (strong.label, strong)), *((n, m) for n, m in named if m != strong)]
    if twice := next((name for name, _ in named if [n for n, _ in named].count(name) > 1), None):
        raise SettingError(f"{VERB}: two models are called {twice!r}; give them names: {{'cold': …, 'warm': …}}.")
    if not named:
        raise SettingError(f"{VERB}: models= is empty; give one model or more.")
    if prompts is None:
        return [Variant(name, llm) for name, llm in named]
    if not isinstance(prompts, Mapping) or not prompts:
        raise SettingError(f"{VERB}: prompts={described(prompts)} is not a dict of names and prompts; write prompts={{'short': 'Sum up {{text}}', …}}.")
    texts = {str(name): Prompt.of(text, step=f"{VERB} (prompt {name!r})") for name, text in prompts.items()}
    for name, text in texts.items():
        text.check(step.inputs[0].schema, step=f"{VERB} (prompt {name!r})")
    return [Variant(model, llm, name, text) for model, llm in named for name, text in texts.items()]


def table(session: ActiveSession, part: Part, made: Sequence[Variant], *, n: int | None, metric: Metric | None, seed: int) -> pl.DataFrame:
    """Run all variants as one run, and tell what each was worth."""
    for one in made:  # what is wrong with one of them is said before anything is asked
        asked_of(part.steps[0], one.llm, one.text)
    rows = session.collect(part.below)
    if n is not None and n < rows.height:
        rows = rows[sample(rows, part.reads, n, seed=seed)]
    plans = [part.over(rows, change=lambda step, one=one: asked_of(step, one.llm, one.text)) for one in made]  # type: ignore[misc]
    steps = [own[0] for _, own in plans]
    wanted: list[Step] = steps if metric is None else [plan for plan, _ in plans]
    frames = session.collect_all(wanted, is_trial=True)
    reference = frames[0].get_column(part.steps[0].into).to_list() if metric is None else []
    told = []
    for one, step, plan, frame in zip(made, steps, wanted, frames, strict=True):
        failed = session.failures(plan).filter(pl.col("step") == step.label).height
        found = _quality(frame, part.steps[0].into, reference, metric, n_lost=min(failed, rows.height - frame.height))
        low, high = found.interval(CONFIDENCE, seed=seed, draws=DRAWS)
        told.append(
            {
                "model": one.model,
                **({} if one.prompt is None else {"prompt": one.prompt}),
                "quality": found.value,
                "low": low,
                "high": high,
                "rows": found.n,
                "failed": failed,
                **_spent(next(calls for asked, calls in session.findings.asked(plan) if asked is step)),
            }
        )
    schema = {"model": pl.String, "prompt": pl.String, **dict.fromkeys(("quality", "low", "high"), pl.Float64), "rows": pl.Int64, "failed": pl.Int64, **SPENT}
    return pl.DataFrame(told, schema={name: dtype for name, dtype in schema.items() if name in told[0]})


def _quality(frame: pl.DataFrame, into: str, reference: Sequence[Any], metric: Metric | None, *, n_lost: int) -> Statistic:
    """The figure of the rows; a failed row that the plan goes on to leave out is no better than one that stays."""
    if metric is not None:
        return figure(frame, metric, n_lost=n_lost, verb=VERB)
    return mean_of([value for value in same(frame.get_column(into).to_list(), reference) if value is not None])


SPENT = {"calls": pl.Int64, "tokens_in": pl.Int64, "tokens_out": pl.Int64, "cost": pl.Float64, "seconds": pl.Float64}


def _spent(calls: Sequence[CallTold]) -> dict[str, Any]:
    """What requests took, each once."""
    once = [call for call in {call.key: call for call in calls}.values() if call.is_kept]
    costs, seconds = [call.cost for call in once], [call.seconds for call in once if call.seconds is not None]
    return {
        "calls": len(once),
        "tokens_in": sum(call.tokens_in or 0 for call in once),
        "tokens_out": sum(call.tokens_out or 0 for call in once),
        "cost": None if None in costs else sum(cost or 0.0 for cost in costs),
        "seconds": statistics.median(seconds) if seconds else None,
    }
