"""The verb that tries a plan with other models and other prompts on some of its rows."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from dreamframe.errors import SettingError, listed
from dreamframe.frame.arguments import as_llm
from dreamframe.frame.base import Verbs, whole
from dreamframe.frame.model import Model
from dreamframe.frame.scoring import Metric, need_metric, same, scored
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
Asked = LLM | Model | str


class Variant(NamedTuple):
    """A row of the table."""

    model: str
    llm: LLM
    prompt: str | None = None  # its name
    text: Prompt | None = None


class CompareVerbs(Verbs):
    """compare_models."""

    __slots__ = ()

    def compare_models(
        self,
        models: Iterable[Asked] | Mapping[str, Asked] | None = None,
        *,
        prompts: Mapping[str, str | Prompt] | None = None,
        on: int | None = 50,
        by: Asked | None = None,
        metric: Metric | None = None,
        only: str | None = None,
        seed: int = 0,
    ) -> pl.DataFrame:
        """Run this plan with each of several models in the place of its own, on some rows, and tell how good, how dear and how fast each was.

        `models` is a list of models or of their names, or a dict that gives them names for the table. With `prompts`, a dict of names and prompts, each
        model is asked with each of them; without `models`, the plan's own model is. Where several steps of the plan ask a model, `only` names the column
        of the one that is meant.

        `on` is how many rows: of those that the lowest model of the plan is asked about, drawn by their content and `seed`, so that the same rows are
        drawn wherever they stand; None is all of them. Every answer is kept as any other, so that the whole plan, when it runs with one of these models
        and prompts, asks nothing about these rows again; a second call asks nothing at all.

        The frame has a row for each variant, in their order: `model` and `prompt` (if there are prompts); `quality`, from the more the better;
        `rows` that were scored; `failed` rows; `calls`, `tokens_in`, `tokens_out` and `cost` of this step (US dollars; null where a price is not known);
        and `seconds`, the median of its calls. It does not matter when the answers came: tokens, cost and seconds are those of the kept answers.

        `quality` is the mean of `metric` over the rows that the plan gives: an expression, such as `pl.col("mood") == pl.col("gold")`, or a function of
        a row, a dict. What is null counts as 0, and so does a row that failed. Without a metric it is the share of rows whose answer equals that of the model
        `by`, which is asked too and stands first, or else that of the first row of the table: for labels and numbers, not for long texts.

        Raises SettingError for what does not fit together, before anything is asked; RunError where the metric raises. Rows that fail stop nothing.

        >>> yes, no = (dr.testing.Scripted(lambda asked, said=said: said, model=said) for said in ("yes", "no"))
        >>> df = dr.frame({"t": ["tea", "jam"], "gold": ["yes", "no"]}).prompt(yes, "Is {t} a drink?", into="drink")
        >>> df.compare_models([yes, no], metric=pl.col("drink") == pl.col("gold")).select("model", "quality", "rows", "calls").rows()
        [('yes', 0.5, 2, 2), ('no', 0.5, 2, 2)]
        >>> df.compare_models(prompts={"short": "{t}?", "long": "Is {t} a drink?"}).select("model", "prompt", "quality").rows()
        [('yes', 'short', 1.0), ('yes', 'long', 1.0)]
        """
        steps = asking(self.step, only, verb=VERB)
        if len(steps) != 1:
            names = [name_of(s) for s in steps]
            raise SettingError(f"{VERB}: {len(steps)} steps of this plan ask a model ({listed(names)}); say which one is compared: only={names[-1]!r}.")
        made = variants(steps[0], models, prompts, by)
        if metric is not None:
            need_metric(metric, self.step.schema, verb=VERB)
        if metric is not None and by is not None:
            raise SettingError(f"{VERB}: by= is the model that the others are to agree with, and metric= scores otherwise; give one of them.")
        n = None if on is None else whole(on, "on", verb=VERB, least=1)
        return table(current(self.step), Part(self.step, tuple(steps)), made, n=n, metric=metric, seed=whole(seed, "seed", verb=VERB, least=None))


def variants(step: PromptStep, models: Any, prompts: Any, by: Asked | None) -> list[Variant]:
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
        values = _quality(frame, part.steps[0].into, reference, metric)
        failed = session.failures(plan).filter(pl.col("step") == step.label).height
        values += [0.0] * min(failed, rows.height - frame.height)  # a failed row that the plan goes on to leave out is no better than one that stays
        told.append(
            {
                "model": one.model,
                **({} if one.prompt is None else {"prompt": one.prompt}),
                "quality": statistics.fmean(values) if values else None,
                "rows": len(values),
                "failed": failed,
                **_spent(next(calls for asked, calls in session.findings.asked(plan) if asked is step)),
            }
        )
    schema = {"model": pl.String, "prompt": pl.String, "quality": pl.Float64, "rows": pl.Int64, "failed": pl.Int64, **SPENT}
    return pl.DataFrame(told, schema={name: dtype for name, dtype in schema.items() if name in told[0]})


def _quality(frame: pl.DataFrame, into: str, reference: Sequence[Any], metric: Metric | None) -> list[float]:
    if metric is not None:
        return [score.value for score in scored(frame, metric, verb=VERB)]
    return [value for value in same(frame.get_column(into).to_list(), reference) if value is not None]


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
