"""An attribute of each side of a join: what is asked about a row by itself, where a question about pairs comes down to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dreamframe.errors import SettingError, listed
from dreamframe.models.habits import Settings, described
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.base import Template
from dreamframe.prompts.templates import literal, need_whole, placeholder

SIDES = ("left", "right")  # what the label of a left row and that of a right row are called in `on`


@dataclass(frozen=True, eq=False)
class Attribute(Settings):
    """One of some labels for each row of both sides, and which labels go together: a way to ask a join, `df.join_by(…, asked=dr.Attribute(…))`.

    `name` is what the labels say of a row ("sentiment"), `labels` a list of texts, a Literal or an Enum, and `on` an expression over `pl.col("left")` and
    `pl.col("right")`, the labels of a left and of a right row. `question` replaces the question about a row; what the join's prompt reads of the row
    follows it.

    Raises SettingError for labels that are not texts, and for an `on` that reads anything else or is not true or false.

    >>> sentiment = dr.Attribute("sentiment", ["positive", "negative"], pl.col("left") != pl.col("right"))
    >>> sentiment.pairs
    (('positive', 'negative'), ('negative', 'positive'))
    """

    name: str
    labels: Any
    on: pl.Expr
    question: str | None = None

    def __post_init__(self) -> None:
        for what, value in (("name", self.name), *((("question", self.question),) if self.question is not None else ())):
            if not isinstance(value, str) or not value.strip():
                raise SettingError(f"Attribute: {what}= is a text such as 'sentiment', not {described(value)}.")
            need_whole(value, f"{what}=", step="Attribute")
        schema = AnswerSchema.of(self.labels, step="Attribute")
        known = schema.schema.get("enum") if schema is not None else None
        if not known or not all(isinstance(one, str) for one in known) or len(known) < 2:
            raise SettingError(f"Attribute: labels={self.labels!r}; give two texts or more, as ['positive', 'negative'].")
        object.__setattr__(self, "labels", tuple(known))
        object.__setattr__(self, "_pairs", _matching(self.on, known))

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The labels of a left and of a right row that go together."""
        found: tuple[tuple[str, str], ...] = vars(self)["_pairs"]
        return found

    def prompt(self, columns: Sequence[tuple[str, str]]) -> Template:
        """The question about a row, which reads these columns of it: (what it is called, the column)."""
        ask = self.question or f"What is the {self.name}? Answer with one of these alone: {', '.join(self.labels)}."
        texts = [f"{literal('Text' if len(columns) == 1 else called)}: {placeholder(column)}" for called, column in columns]
        return Template(literal(ask) + "\n\n" + "\n".join(texts))

    def matches(self, left: str, right: str) -> pl.Expr:
        """Whether the labels in two columns go together; null where one has none."""
        together = [f"{one}\x1f{other}" for one, other in self.pairs]
        return pl.concat_str([pl.col(left).cast(pl.String), pl.lit("\x1f"), pl.col(right).cast(pl.String)]).is_in(together)


def _matching(on: object, labels: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The pairs of labels for which an expression is true."""
    wanted = "an expression over pl.col('left') and pl.col('right'), the labels of a left and of a right row, as pl.col('left') != pl.col('right')"
    if not isinstance(on, pl.Expr):
        raise SettingError(f"Attribute: on= is {described(on)}; give {wanted}.")
    if unknown := [c for c in on.meta.root_names() if c not in SIDES]:
        raise SettingError(f"Attribute: on= reads {listed(unknown)}; give {wanted}.")
    every = pl.DataFrame({"left": [one for one in labels for _ in labels], "right": [other for _ in labels for other in labels]})
    try:
        told = every.select(on.alias("on")).to_series()
    except pl.exceptions.PolarsError as exc:
        raise SettingError(f"Attribute: on={on} cannot be computed of two labels ({exc}); give {wanted}.") from exc
    if told.dtype != pl.Boolean or len(told) != every.height:
        raise SettingError(f"Attribute: on={on} is not true or false for two labels; give {wanted}.")
    if not told.any() or told.all():
        raise SettingError(f"Attribute: on={on} is {'never true' if not told.any() else 'always true'} of {listed(labels)}: the attribute decides nothing.")
    return tuple(every.filter(told).iter_rows())


