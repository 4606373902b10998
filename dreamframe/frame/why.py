"""The verb that tells how a row was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.base import Verbs, whole
from dreamframe.models.habits import described
from dreamframe.plan.model_columns import need_columns
from dreamframe.run.active import current

if TYPE_CHECKING:
    from dreamframe.run.why.story import RowStory


class WhyVerbs(Verbs):
    """why."""

    __slots__ = ()

    def why(self, row: int | pl.Expr = 0, *, most: int = 20) -> RowStory:
        """How one row was made, step by step: the rows of the sources, each request as it was sent, the raw answer, the model's thoughts, who answered,
        the sample, tokens, price, time, tries and the key of the answer. Out of the session alone: nothing is asked.

        `row` is the position of a row of this frame, from the end if it is negative, or a condition such as `pl.col("mood") == "negative"`: of several
        rows that it finds, the story is that of the first, and `found` has the positions of all. It follows the row through filters, joins, explodes,
        groups, dedup and until, in the order of the steps as they are written, whatever order the plan ran in; rows and columns that nobody reads were
        not asked about, and it says so. Of a row that was made of many, as in a group, it tells `most` rows of each step.

        The story prints as text, a notebook shows it as HTML, `as_dict()` is ready for JSON. A function of yours is called again for the row it tells of.
        What an older dreamframe did not keep is None, and said to be missing. The price is what the session's prices say now.

        Raises SettingError where there is no session yet, or no such row.

        >>> with dr.Session("./output"):
        ...     moods = dr.frame({"t": ["tea", "jam"]}).prompt(dr.testing.Echo(), "Say {t}", into="said").filter(pl.col("t") == "jam")
        ...     _ = moods.collect()
        ...     call = moods.why(0).calls[0]
        >>> call.messages[0]["content"], call.answer, call.model
        ('Say jam', 'Say jam', 'echo')
        """
        if isinstance(row, pl.Expr):
            need_columns([row], self.step.schema, step="why")
        elif isinstance(row, bool) or not isinstance(row, int):
            raise SettingError(f"why: row={described(row)} is neither a position nor a condition; give a number, as df.why(3), or df.why(pl.col('id') == 7).")
        return current(self.step).why(self.step, row, most=whole(most, "most", verb="why", least=1))
