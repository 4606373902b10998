"""Verbs whose answers are those of a head that learnt them from the strong model: what `distil=` puts below the prompt of that model."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.nearest import one_text
from dreamframe.models.edges import Trained
from dreamframe.models.task_models.linear import LinearClassifier
from dreamframe.plan.hidden import hidden
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.cascade import Cascade, Cascaded, cascaded
from dreamframe.plan.steps.distil import need_distil
from dreamframe.plan.steps.embed import Embed
from dreamframe.plan.steps.head_guess import DrawLearnt, HeadGuess
from dreamframe.plan.steps.once import AskedOnce
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.train import Train
from dreamframe.trainers.logistic_regression import LogisticRegression

L2 = 0.3  # for vectors of length 1 and a hundred labels: 1.0 leaves the weights too small, 0.1 fits wrong labels


def distilled(strong: PromptStep, given: object) -> tuple[Cascaded, list[str]]:
    """The prompt of a verb with a head that decides where that is certified, and the columns to drop after it."""
    where, below = strong.where, strong.inputs[0]
    distil = need_distil(given, where=where)
    columns, labels = _checked(strong)
    n = len(below.schema)
    text, vector, guess, likely, label = (hidden(what, n=n) for what in ("text", "vector", "guess", "likely", "label"))
    called = strong.label

    def embedded(rows: Step) -> Step:
        read, told = one_text(rows, columns, text, name=called)
        return Embed.over(told, distil.embedder, column=read, into=vector, on_error="null", name=f"{called} vectors")

    table = relational("select", inputs=(below,), args=([pl.col(c) for c in columns],), name=called)
    drawn = DrawLearnt(inputs=(table,), columns=columns, n=distil.n_learnt, seed=distil.seed, name=called)
    asks: dict[str, Any] = {f.name: getattr(strong, f.name) for f in fields(PromptStep)}
    asks |= {"into": label, "probability": None, "keep": (), "on_error": "null", "name": f"{called} labels"}
    learnt = AskedOnce(**{**asks, "inputs": (embedded(drawn), *strong.inputs[1:])})
    trainer = LogisticRegression(may_abstain=True, l2=L2)
    head = Train(inputs=(learnt,), trainer=trainer, columns=(("embedding", vector), ("label", label)), name=f"{called} head")
    rows = embedded(below)
    guessed = HeadGuess(
        inputs=(rows, drawn, head), llm=LinearClassifier(Trained(head)), embedding=vector, columns=columns, seed=distil.seed, into=guess, likely=likely,
        labels=labels, name=f"{called} head",
    )  # fmt: skip
    promise = Cascade(accuracy=distil.accuracy, delta=distil.delta, labels=distil.labels - distil.n_learnt, seed=distil.seed)
    own = [c for c in guessed.schema if c not in below.schema]
    return cascaded(strong, guessed, promise, guess=guess, likely=likely), own


def _checked(strong: PromptStep) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """The columns that the prompt reads, and the labels that it may answer with; None for yes and no."""
    where, columns = strong.where, tuple(dict.fromkeys(strong.prompt.columns))
    if not columns:
        raise SettingError(f"{where}: distil= learns from the columns that the prompt reads, and it reads none.")
    if nested := [c for c in columns if strong.inputs[0].schema[c].is_nested() or strong.inputs[0].schema[c] in (pl.Binary, pl.Object)]:
        raise SettingError(f"{where}: distil= embeds what the prompt reads, and column {nested[0]!r} is {strong.inputs[0].schema[nested[0]]}, not a text.")
    if strong.dtype == pl.Boolean:
        return columns, None
    if not isinstance(strong.dtype, pl.Enum):
        raise SettingError(f"{where}: distil= is for yes and no, or for labels that are texts; the answers are {strong.dtype}.")
    return columns, tuple(strong.dtype.categories.to_list())
