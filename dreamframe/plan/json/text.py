"""A plan as one JSON text."""

from __future__ import annotations

import json

import polars as pl

from dreamframe.errors import PlanFormatError
from dreamframe.plan.json.write import plan_record
from dreamframe.plan.secrets import stands_in
from dreamframe.plan.step import Step
from dreamframe.store.layout import version_of


def to_json(step: Step) -> str:
    """The plan as text."""
    text = json.dumps({"dreamframe": version_of("dreamframe"), "polars": pl.__version__, **plan_record(step)})
    if stands_in(step, text):
        del text  # debuggers show it
        raise PlanFormatError(f"{step.label}: this plan cannot be written as JSON: a key of its models stands in it as plain text, in a prompt or a setting.")
    return text
