"""What the story of a row tells of a step and of its values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from dreamframe.plan.hidden import readable
from dreamframe.plan.ledgers import words
from dreamframe.plan.model_columns import column_of
from dreamframe.plan.step import ModelStep, Source, Step
from dreamframe.plan.steps.apply import MapBatches, MapRows
from dreamframe.plan.steps.cascade import Cascaded, Certify
from dreamframe.plan.steps.head_guess import DrawLearnt
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


def is_of_all(step: Step) -> bool:
    """Whether its rows say something of all rows below together, so that the story of one row goes no further down."""
    return isinstance(step, (Certify, DrawLearnt))


def said_of_all(step: Step, rows: pl.DataFrame) -> str:
    """What such a step found."""
    return ", ".join(words(step.told(rows))) if isinstance(step, Certify) else f"{rows.height:,} rows were drawn from all"


def unasked(step: Step, values: Mapping[str, Any]) -> str | None:
    """Whose the values of a row are that its step asked nothing about."""
    is_answered = any(value is not None for value in values.values())
    return "decided by the proxy, as the certificate allows; the strong model was not asked" if isinstance(step, Cascaded) and is_answered else None


def named(step: Step, column: str) -> str:
    """The name of a column as the user knows it."""
    return column_of(step) if column == getattr(step, "into", None) else readable(column)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they are shown."""
    return {name: v.to_list() if isinstance(v, pl.Series) else v for name, v in values.items()}
