"""Verbs whose answers are a cheap model's where that is certified: what `cascade=` puts below the prompt of the strong one."""

from __future__ import annotations

from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.arguments import as_llm
from dreamframe.identity.owned import own_expr
from dreamframe.models.habits import described
from dreamframe.models.task_models.base import TaskModel
from dreamframe.plan.hidden import hidden
from dreamframe.plan.model_columns import need_columns, placeholders_in
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.cascade import Cascade, Cascaded, cascaded
from dreamframe.plan.steps.classify import Classify
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.base import Prompt


def in_cascade(strong: PromptStep, cascade: Cascade, to: Any, *, asked: Prompt, column: str | None = None) -> tuple[Cascaded, list[str]]:
    """The prompt of a verb as a cascade, and the columns to drop after it. `to` is bool, or the labels; `asked` is what the proxy is asked, and `column`
    the text that it reads where it is a task model."""
    where, below = strong.where, strong.inputs[0]
    labels = AnswerSchema.of(to, step=where)
    assert labels is not None
    _check(cascade, labels, column, step=where)
    if strong.n > 1:
        raise SettingError(f"{where}: n={strong.n} asks for several answers, and cascade= is for one; leave one of them out.")
    guess, likely = (hidden(what, n=len(below.schema)) for what in ("guess", "likely"))
    settings: dict[str, Any] = {"into": guess, "on_error": "null", "name": f"{strong.label} proxy"}
    if isinstance(cascade.proxy, pl.Expr):
        scored: Step = _scored(below, cascade.proxy, guess, likely, step=settings["name"])
    elif isinstance(cascade.proxy, TaskModel):
        scored = Classify.over(below, cascade.proxy, labels=tuple(labels.schema["enum"]), column=column, probability=likely, **settings)
    else:
        proxy = as_llm(cascade.proxy, verb=f"{where}: cascade=")
        if (why := proxy.no_probabilities()) is not None:
            raise SettingError(f"{where}: cascade= asks {proxy.label} how likely its answers are, and it {why}; give a model that tells log-probabilities.")
        scored = PromptStep.over(below, proxy, asked, schema_=labels, system=strong.system, probability=likely, **settings)
    return cascaded(strong, scored, cascade, guess=guess, likely=likely), [guess, likely]


def _scored(below: Step, proxy: pl.Expr, guess: str, likely: str, *, step: str) -> Step:
    """Rows whose proxy is an expression: how likely a yes is."""
    if placeholders_in(proxy):
        raise SettingError(f"{step}: a model's column is not computed here; add it first, with df.with_columns(p=...), and give pl.col('p').")
    need_columns([proxy], below.schema, step=step)
    dtype = relational("select", inputs=(below,), args=([proxy.alias("likely")],), name=step).schema["likely"]
    if not (dtype.is_numeric() or dtype == pl.Boolean):
        raise SettingError(f"{step}: the expression is {dtype}; as a proxy, it tells how likely a yes is: a number from 0 to 1.")
    yes = own_expr(proxy).cast(pl.Float64).fill_nan(None)
    says = [(yes >= 0.5).alias(guess), pl.when(yes >= 0.5).then(yes).otherwise(1 - yes).alias(likely)]
    return relational("with_columns", inputs=(below,), args=(says,), name=step)


def _check(cascade: Any, labels: AnswerSchema, column: str | None, *, step: str) -> None:
    if not isinstance(cascade, Cascade):
        raise SettingError(f"{step}: cascade= is {described(cascade)}; give dr.Cascade(small, recall=0.9), with the model that is asked first.")
    if cascade.proxy is None:
        raise SettingError(f"{step}: cascade= names no model that is asked first; write dr.Cascade(small, …).")
    if cascade.accuracy is None and labels.dtype != pl.Boolean:
        raise SettingError(f"{step}: recall= and precision= are of yes and no; of labels, accuracy= can be promised: dr.Cascade(small, accuracy=0.9).")
    if isinstance(cascade.proxy, pl.Expr) and labels.dtype != pl.Boolean:
        raise SettingError(f"{step}: an expression tells how likely a yes is; as the proxy of labels, give a model.")
    if isinstance(cascade.proxy, TaskModel) and (column is None or not all(isinstance(v, str) for v in labels.schema.get("enum", [None]))):
        raise SettingError(f"{step}: {cascade.proxy.label} tells which of some texts fits another; as the proxy of yes or no, give a language model.")
