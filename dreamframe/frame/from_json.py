"""A plan that was read from JSON, as what users chain."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dreamframe.errors import PlanFormatError
from dreamframe.frame.frame import Frame
from dreamframe.frame.model import Model
from dreamframe.plan.step import Step
from dreamframe.plan.steps.train import Train

if TYPE_CHECKING:
    from dreamframe.plan.json.read import Given


def as_users_see(step: Step) -> Frame | Model:
    """The plan as a frame, or as the model that it trains."""
    return Model(step) if isinstance(step, Train) else Frame(step)


def from_json(
    text: str | bytes, *, functions: Given = (), allow: Iterable[str | os.PathLike[str]] = (), trust_remote_code: bool = False
) -> Frame | Model:
    """Read a plan that `df.to_json()` or `model.to_json()` wrote. Nothing in the text is run: only known records, polars expressions without Python
    functions, and validated rows are made of it. Reading it opens no file and asks nobody; its `.explain()` names every host and whole path.

    A plan that was read has none of your authority. Your keys, and your rows, go to a provider's own address and nowhere else; files are read below the
    working folder, and there nothing that is hidden; the Hub is not told who you are. `allow` lists what it may reach besides: addresses (with all below
    them) or hosts, paths, folders or globs, repositories of the Hub, names of arguments that other libraries get. Whatever else it reaches for when it is
    collected raises NotAllowedError, which names it. What the session has an answer or an output for needs nothing.

    `functions` (a dict by name, or a list) passes what JSON cannot hold: your functions, classes and objects. Each must be the very one that the plan was
    made with, by its fingerprint. Keys are not in a plan; models find theirs in the environment. A plan that wants code of a model's repository to
    run is refused without `trust_remote_code=True`.

    Raises PlanFormatError for text that is not a plan, for a function that is missing or differs, and for what a newer dreamframe wrote.

    >>> def shout(row): return {"loud": row["t"].upper()}
    >>> text = dr.frame({"t": ["tea"]}).map(shout, schema={"loud": pl.String}).to_json()
    >>> dr.from_json(text, functions=[shout]).collect().rows()
    [('tea', 'TEA')]
    >>> there = dr.frame({"t": ["tea"]}).prompt(dr.OpenAI("m", base_url="http://gpu1.invalid/v1"), "{t}")
    >>> dr.from_json(there.to_json(), allow=["http://gpu1.invalid/v1"]).explain().splitlines()[0]
    "PROMPT answer ← m '{t}' at 'http://gpu1.invalid/v1'"
    >>> try:
    ...     dr.from_json(there.to_json()).collect()
    ... except dr.errors.NotAllowedError as exc:
    ...     print(str(exc).partition(". ")[2])
    That is not https://api.openai.com/v1, its provider's own. No key and no row goes there unless you list it where you read the plan: allow=['http://gpu1.invalid/v1'].
    >>> try:
    ...     dr.from_json(text)
    ... except dr.errors.PlanFormatError as exc:
    ...     print(str(exc).partition(". ")[2])
    Import it and pass it: functions={'shout': shout}.
    """
    from dreamframe.plan.json.read import plan_of  # knows every record there is: building a plan needs none of it

    try:
        record = json.loads(text)
    except (ValueError, RecursionError, TypeError) as exc:
        raise PlanFormatError(f"from_json: this is not JSON: {exc}") from exc
    return as_users_see(plan_of(record, functions=functions, allow=allow, trust_remote_code=trust_remote_code))
