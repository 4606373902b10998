"""The verb that makes preference pairs of answers with scores."""

from __future__ import annotations

from typing import TypeVar

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SchemaError
from dreamframe.frame.base import Verbs

V = TypeVar("V", bound="BestWorstVerbs")  # Self, as jedi understands it too
WHERE = "best_worst"


class BestWorstVerbs(Verbs):
    """best_worst."""

    __slots__ = ()

    def best_worst(self: V, answer: str, by: str, *, prompt: str) -> V:
        """Make a preference pair of the answers to each question: `prompt`, `chosen` (the best by score), `rejected` (the worst), `score_chosen` and
        `score_rejected`, one row a question, ready for `dr.DPO`.

        Rows with the same value in the column `prompt` answer one question, in any order of rows; `answer` and `by` may also be lists of equal length, as
        `prompt(n=4)` makes them. `by` is a column of numbers, or of true and false as `verify` makes it; the higher the better. Of equal scores the first
        row counts. A question whose answers all have one score, or whose best and worst answer are the same text, makes no pair; answers and scores that
        are missing (null, NaN) are left out. Which pairs are far apart: `.filter(pl.col("score_chosen") - pl.col("score_rejected") >= 2)`.

        Raises ColumnNotFoundError, or SchemaError for scores that are not numbers.

        >>> tried = dr.frame({"q": ["2+2?", "2+2?", "1+1?"], "a": ["4", "5", "2"], "gold": ["4", "4", "2"]})
        >>> tried.verify(dr.verify.number("a", "gold"), into="ok").best_worst("a", by="ok", prompt="q").to_dicts()
        [{'prompt': '2+2?', 'chosen': '4', 'rejected': '5', 'score_chosen': 1.0, 'score_rejected': 0.0}]
        """
        schema = self.step.schema
        for column in (answer, by, prompt):
            if column not in schema:
                raise ColumnNotFoundError(column, columns=schema.names(), step=WHERE)
        of_lists = [isinstance(schema[c], pl.List) for c in (answer, by)]
        scores = getattr(schema[by], "inner", None) if all(of_lists) else schema[by]
        is_chat = isinstance(getattr(schema[answer], "inner", None), pl.Struct)
        lone = any(of_lists) and not all(of_lists) and not is_chat
        if lone or scores is None or not (scores.is_numeric() or scores == pl.Boolean):
            hint = f" Make a row of each answer first: .explode({answer!r})." if any(of_lists) else " Give a number of each answer."
            raise SchemaError(f"{WHERE}: by={by!r} has type {schema[by]}, and {answer!r} {schema[answer]}; scores are numbers, or true and false.{hint}")
        rows = self._relational("select", [pl.col(prompt).alias("prompt"), pl.col(answer).alias("answer"), pl.col(by).alias("by")], named=WHERE)
        if all(of_lists):
            rows = rows._relational("explode", ["answer", "by"], named=WHERE)
        score = pl.col("by").cast(pl.Float64)
        known = rows._relational("filter", [pl.col("answer").is_not_null() & score.is_not_null() & score.is_not_nan()], named=WHERE)
        best, worst = score.arg_max(), score.arg_min()
        values = [pl.col("answer").get(best).alias("chosen"), pl.col("answer").get(worst).alias("rejected")]
        values += [score.max().alias("score_chosen"), score.min().alias("score_rejected")]
        pairs = known._relational("aggregate", [pl.col("prompt")], values, named=WHERE)
        differ = (pl.col("score_chosen") > pl.col("score_rejected")) & (pl.col("chosen") != pl.col("rejected"))
        return pairs._relational("filter", [differ], named=WHERE)
