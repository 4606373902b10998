"""The verb that trains."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SchemaError, SettingError
from dreamframe.frame.arguments import need_trainer
from dreamframe.frame.base import Verbs
from dreamframe.frame.model import Model
from dreamframe.models.habits import described
from dreamframe.plan.steps.train import Train
from dreamframe.trainers.base import Trainer


class TrainVerbs(Verbs):
    """train, models."""

    __slots__ = ()

    def models(self) -> list[Model]:
        """The models that this plan trains, those first that others wait for: to look at, to export and to publish. Trains nothing.

        >>> rows = dr.frame({"text": ["good tea", "bad jam"]})
        >>> kept = rows.filter_by(dr.testing.Echo(), "Is it fine? {text}", distil=dr.Distil(dr.testing.WordEmbedder()))
        >>> [model.step.label for model in kept.models()]
        ['filter_by head']
        """
        return [Model(step) for step in self.step.walk() if isinstance(step, Train)]

    def train(self, trainer: Trainer, *, validation: Verbs | None = None, name: str | None = None, **columns: str) -> Model:
        """Train a model on these rows: lazy, and an edge of every plan that asks the model later.

        `columns` say which column serves as what, e.g. `prompt="question", completion="answer"`: the trainer says which there are (`help(dr.SFT)`).
        `validation` is a frame of rows that are not learnt from; its figures stand in `model.summary()`, and the best weights by them are kept. `name`
        names the model in listings, and is no part of its key. The key is the trainer's settings and the content of the rows, so the same rows from
        another plan train nothing again. `model.fit()` trains now; a plan that asks `model.llm()` trains first.

        Raises ColumnNotFoundError or SettingError when the plan is built, TrainingError when it runs.

        >>> model = dr.frame({"q": ["2+2?"], "a": ["4"]}).train(dr.SFT("base", steps=2), prompt="q", completion="a")
        >>> print(model.explain())
        TRAIN SFT base on completion=a prompt=q
          TABLE 1 rows
        """
        need_trainer(trainer)
        if validation is not None and not isinstance(validation, Verbs):
            raise SettingError(f"train: validation= is {described(validation)}; make it a frame first with dr.frame(...).")
        trainer.check(columns, self.step.schema, has_validation=validation is not None)
        roles = trainer.roles(columns, self.step.schema)
        if validation is not None:
            _need_same_types(trainer.label, roles, self.step.schema, validation.step.schema)
        rows = (self.step,) if validation is None else (self.step, validation.step)
        edges = tuple(e.step for e in trainer.edges())
        step = Train(
            inputs=(*rows, *edges), trainer=trainer, columns=tuple(sorted(roles.items())), has_validation=validation is not None, name=name
        )
        return Model(step)


def _need_same_types(who: str, roles: Mapping[str, str], rows: pl.Schema, validation: pl.Schema) -> None:
    """Raise where the validation frame lacks a column that is learnt from, or has it in another type."""
    for column in roles.values():
        if column not in validation:
            raise ColumnNotFoundError(column, columns=validation.names(), step=f"{who} validation=")
        if validation[column] != rows[column]:
            raise SchemaError(f"{who}: column {column!r} is {rows[column]} in the training rows and {validation[column]} in validation=; cast one of them.")
