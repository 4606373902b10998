"""A plan as one JSON text, and back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl

from dreamframe.errors import PlanFormatError
from dreamframe.plan_secrets import stands_in
from dreamframe.step import Step

if TYPE_CHECKING:
    from dreamframe.frame import Frame
    from dreamframe.model import Model
    from dreamframe.plan_json.read import Given


def to_json(step: Step) -> str:
    """The plan as text."""
    import dreamframe
    from dreamframe.plan_json.write import plan_record

    text = json.dumps({"dreamframe": dreamframe.__version__, "polars": pl.__version__, **plan_record(step)})
    if stands_in(step, text):
        del text  # debuggers show it
        raise PlanFormatError(f"{step.label}: this plan cannot be written as JSON: a key of its models stands in it as plain text, in a prompt or a setting.")
    return text


def from_json(text: str | bytes, *, functions: Given = (), trust_remote_code: bool = False) -> Frame | Model:
    """Read a plan that `df.to_json()` or `model.to_json()` wrote. Nothing in the text is run: only known records, polars expressions without Python
    functions, and validated rows are made of it. Collecting a stranger's plan asks its models and reads its files: look at its `.explain()` first.

    `functions` (a dict by name, or a list) hands over what no text can hold: your functions, classes and objects. Each must be the very one that the plan
    was made with, by its fingerprint. Keys are not in a plan; models find theirs in the environment. A plan that wants code of a model's repository to
    run is refused without `trust_remote_code=True`.

    Raises PlanFormatError for a text that is no plan, for a function that is missing or differs, and for what a newer dreamframe wrote.

    >>> def shout(row): return {"loud": row["t"].upper()}
    >>> text = dr.frame({"t": ["tea"]}).map(shout, schema={"loud": pl.String}).to_json()
    >>> dr.from_json(text, functions=[shout]).collect().rows()
    [('tea', 'TEA')]
    >>> try:
    ...     dr.from_json(text)
    ... except dr.errors.PlanFormatError as exc:
    ...     print(str(exc).partition(". ")[2])
    Import it and hand it over: functions={'shout': shout}.
    """
    from dreamframe.plan_json.read import as_user_sees, plan_of

    try:
        record = json.loads(text)
    except (ValueError, RecursionError, TypeError) as exc:
        raise PlanFormatError(f"from_json: this is no JSON: {exc}") from exc
    return as_user_sees(plan_of(record, functions=functions, trust_remote_code=trust_remote_code))
