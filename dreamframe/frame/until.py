"""The verb that refills: candidates are made and judged until enough of them pass."""

from __future__ import annotations

from typing import TypeVar

import polars as pl

from dreamframe.errors import PlanError, SettingError
from dreamframe.frame.base import whole
from dreamframe.frame.relational import RelationalVerbs
from dreamframe.plan.model_columns import into_exprs
from dreamframe.plan.steps.relational import is_separable
from dreamframe.plan.steps.until import Until, with_candidates
from dreamframe.prompts.verifier import Verifier

V = TypeVar("V", bound="UntilVerbs")  # Self, as jedi understands it too


class UntilVerbs(RelationalVerbs):
    """until."""

    __slots__ = ()

    def until(self: V, n: int, *, where: pl.Expr | Verifier, max_candidates: int | None = None, name: str | None = None) -> V:
        """Take candidates in rounds until n rows pass `where`, and ask about no more of them than that needs.

        The rows are those of `.filter(where).head(n)`; the plan below is run for n candidates first, then for as many as the rate so far calls for. A
        frame of `dr.generate` or `.repeat_to(m)` makes as many candidates as it takes, whatever its m; of other frames the rows are taken in order.
        At most `max_candidates` (ten for each row, if not given) are tried. Rounds follow from the answers alone, so a second run takes the same rows
        and asks nothing. `where` may hold model calls; it must be decidable row by row. What stands below a sort, a join or any other step that needs
        all rows is run as it is: candidates are the rows that such a step gives. One of `dr.verify` may stand as `where` too.

        Raises TooFewRowsError when the bound is hit or the rows come to an end; all answers are kept. If a candidate fails under on_error="raise", no
        further round is begun.

        >>> llm = dr.testing.Scripted(["7", "3", "9", "2"])
        >>> candidates = dr.generate(llm, "A number, please.", n=2, into="number")
        >>> candidates.until(2, where=pl.col("number").cast(pl.Int64) > 5).to_dicts()
        [{'number': '7'}, {'number': '9'}]
        """
        label = name or "until"
        if isinstance(where, Verifier):
            (where,) = into_exprs([where], {}, verb=label)
        if not isinstance(where, pl.Expr):
            raise SettingError(f"{label}: where= is a {type(where).__name__}; give an expression, e.g. pl.col('score') >= 4.")
        if not is_separable(where):
            raise PlanError(f"{label}: where= ({where}) looks at more than its own row, and rows are judged as they come. Compare columns of one row.")
        n = whole(n, "n", verb=label)
        most = 10 * n if max_candidates is None else max_candidates
        passing = self._kept([where], named=label)
        return self._over(Until(inputs=(with_candidates(passing.step, most, label=label),), n=n, max_candidates=most, name=name))
