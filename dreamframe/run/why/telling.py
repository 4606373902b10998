"""What the story of a row tells of a step and of its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from dreamframe.plan.hidden import readable
from dreamframe.plan.model_columns import column_of
from dreamframe.plan.step import ModelStep, Source, Step
from dreamframe.plan.steps.apply import MapBatches, MapRows
from dreamframe.run.why.story import Kind


def kind(step: Step) -> Kind:
    """What kind of step it is."""
    if isinstance(step, Source):
        return "source"
    if isinstance(step, ModelStep):
        return "model"
    if isinstance(step, (MapRows, MapBatches)):
        return "function"
    return "asked" if step.models() else "rows"


def is_told(step: Step) -> bool:
    """Whether its rows are told also where nothing was asked about them."""
    return isinstance(step, MapRows) or bool(step.models())


def named(step: Step, column: str) -> str:
    """The name of a column as the user knows it."""
    return column_of(step) if column == getattr(step, "into", None) else readable(column)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they are shown."""
    return {name: v.to_list() if isinstance(v, pl.Series) else v for name, v in values.items()}
