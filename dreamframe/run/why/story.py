"""The story of one row, as frozen values: the source rows, and step by step what was asked and answered. `as_dict()` of each is ready for JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from dreamframe.redaction.redactor import Redactor
from dreamframe.run.why.html import story_html
from dreamframe.run.why.text import story_text

T = TypeVar("T")
Kind = Literal["source", "asked", "function", "rows", "model"]


class _Told:
    """A record of plain values."""

    def as_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON: dicts, lists, texts and numbers."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class CallTold(_Told):
    """One request for a row, and the answer that is kept. None stands for what is not on record."""

    model: str  # that was asked, as the plan names it
    messages: tuple[Mapping[str, Any], ...] = ()  # as they were sent: role and content
    text: str | None = None  # what was sent to an embedder or a task model
    sampling: Mapping[str, Any] = field(default_factory=dict)  # temperature, max_tokens, …: what was set
    json_schema: Mapping[str, Any] | None = None  # that the answer was held to
    sample: int = 0  # the request was the so many-th of its kind in the step, from 0
    key: str = ""  # of the kept answer, 32 hexadecimal digits
    is_kept: bool = True  # False: the session has no answer to this request
    answer: str | None = None  # as it came, without the thoughts
    probabilities: Mapping[str, float] | None = None  # of each label, where the answer is the likeliest of them
    outside: float | None = None  # the probability that was on none of them
    reasoning: str | None = None  # the model's thoughts
    dimensions: int | None = None  # of the vector, where the answer is one
    finish: str | None = None  # how the answer ended: stop, length, …
    answered_by: str | None = None  # the model, as the server called it
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None  # of tokens_in: those that the provider had in its cache
    tokens_reasoning: int | None = None  # of tokens_out
    cost: float | None = None  # US dollars, at the prices that the session knows now; None where one is not known
    at: str | None = None  # when the answer came: UTC, as 2026-01-31T10:20:30Z
    seconds: float | None = None  # that the call took, from its last try to the answer
    attempts: int | None = None  # tries that it took
    note: str | None = None  # what is not on record, and why


@dataclass(frozen=True, kw_only=True)
class RowTold(_Told):
    """One row in one step."""

    row: int | None = None  # of a source: the position
    values: Mapping[str, Any] = field(default_factory=dict)  # of a source: its columns; of another step: the columns that it wrote
    calls: tuple[CallTold, ...] = ()  # in the order in which they were made
    error: str | None = None  # why the row failed here
    note: str | None = None  # whose its values are, where the model of the step was not asked


@dataclass(frozen=True, kw_only=True)
class StepTold(_Told):
    """What one step did for the row."""

    label: str  # what the user called the step, else its column or its verb
    kind: Kind
    describe: str  # its line in explain()
    n_rows: int = 0  # rows of this step that the row was made of
    rows: tuple[RowTold, ...] = ()  # the first of them
    note: str | None = None


@dataclass(frozen=True, kw_only=True)
class RowStory(_Told):
    """One row of a frame, and how it was made: `df.why(row)`. Prints as text; a notebook shows it as HTML."""

    row: int  # its position in the frame
    found: tuple[int, ...] = ()  # the positions of all rows that were asked for, where a condition said which: this is the first
    values: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[StepTold, ...] = ()  # as the user wrote them, the first one first

    @property
    def calls(self) -> tuple[CallTold, ...]:
        """All requests of the row, step by step."""
        return tuple(call for step in self.steps for row in step.rows for call in row.calls)

    @property
    def cost(self) -> float | None:
        """US dollars that the calls cost together; None where a price is not known."""
        costs = [c.cost for c in self.calls if c.is_kept]
        return None if None in costs else sum(c or 0.0 for c in costs)

    def __str__(self) -> str:
        return story_text(self.as_dict())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return story_html(self.as_dict())


def _plain(value: Any) -> Any:
    if isinstance(value, _Told):
        return value.as_dict()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def without_secrets(value: T, redactor: Redactor) -> T:
    """A story, or a part of one, with stars for the secrets in its texts."""
    return _hidden(value, redactor) if redactor else value


def _hidden(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, _Told):
        told: Any = value
        return dataclasses.replace(told, **{f.name: _hidden(getattr(told, f.name), redactor) for f in dataclasses.fields(told)})
    if isinstance(value, tuple):
        return tuple(_hidden(v, redactor) for v in value)
    return redactor.value(value)
