"""The rows in which something failed, with the columns that the frame had where it failed."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dreamframe.plan.hidden import HINT, OWN
from dreamframe.plan.step import RowStep, Step
from dreamframe.plan.steps.apply import MapRows
from dreamframe.plan.steps.comparison import Comparison
from dreamframe.plan.steps.ordinals import Ordinals
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.run.stats import FailedRow
from dreamframe.run.why.trace import CUT, Replay

MOST_ALONE = 1_000  # rows that are made again one by one; of more, all rows of the step are
SUFFIX = "_right"  # of a column of the frame that is called like one of `failures`, as polars' joins have it
HIDDEN = (HINT, "#", "__")


class FailedRows(Replay):
    """Finds the rows of failures again."""

    async def beside(self, failed: Sequence[FailedRow], names: Sequence[str]) -> pl.DataFrame:
        """The frame's own columns of each failed row, in their order; nulls where a row is not found. `names` are taken already."""
        async with self._running([self._written]):
            self._as_run()
            parts = [await self._of_step(label, [f for f in failed if f.step == label]) for label in dict.fromkeys(f.step for f in failed)]
        made = pl.concat(parts, how="diagonal_relaxed") if parts else pl.DataFrame()
        order = [i for label in dict.fromkeys(f.step for f in failed) for i, f in enumerate(failed) if f.step == label]
        back = sorted(range(len(order)), key=order.__getitem__)
        return made[back].rename({c: f"{c}{SUFFIX}" for c in made.columns if c in names}) if made.width else made

    async def _of_step(self, label: str, failed: Sequence[FailedRow]) -> pl.DataFrame:
        """The rows of one step's failures. Their numbers are those of the plan as it is written, or as it ran: what they were asked tells which."""
        written = [n for n in self._written.walk() if isinstance(n, RowStep | Comparison) and n.label == label]
        run = [n for n in self._optimised.plans[0].walk() if isinstance(n, RowStep | Comparison) and not isinstance(n, Ordinals) and n.label == label]
        best, score = pl.DataFrame([pl.Series("", [None] * len(failed))]).select([]), -1
        for node in dict.fromkeys((*written, *run)):
            rows = await self._entering(node, [f.row for f in failed])
            if rows is not None and (found := _matches(node, rows, failed)) > score:
                best, score = rows, found
                if score == len(failed):
                    break
        kept = [c for c in best.columns if not (HINT in c or OWN.match(c) or c.startswith("__"))]
        return best.select(kept) if kept else pl.DataFrame({"row": [f.row for f in failed]}).select([])

    async def _entering(self, node: Step, rows: Sequence[int]) -> pl.DataFrame | None:
        """Rows that enter a step, by their numbers; None where there are not so many."""
        below = node.inputs[0]
        found = await self._stream(below)
        if found is not None and found[0].is_one_to_one and len(rows) <= MOST_ALONE and self._kept(below) is None:
            stream = found[0]
            if max(rows) >= stream.source.height:
                return None
            made = [(at, (await stream.one(at, is_noted=False)).out) for at in rows]
            return pl.concat([out if out.height else await stream.row(at) for at, out in made], how="diagonal_relaxed")
        table = await self._all_of(below)
        return table[list(rows)] if max(rows) < table.height else None


def _matches(node: Step, rows: pl.DataFrame, failed: Sequence[FailedRow]) -> int:
    """How many rows were asked, or given to a function, what the failures say."""
    if isinstance(node, MapRows):
        asked = [repr(row) for row in rows.select(c for c in rows.columns if c in node.inputs[0].schema).iter_rows(named=True)]
    elif isinstance(node, Comparison):  # a request holds what of the row is compared
        return sum(str(text)[: CUT // 4] in f.failure.request for text, f in zip(node.texts(rows), failed, strict=True))
    elif isinstance(node, PromptStep) and not node.prompt.models and not node.prompt.inputs and all(c in rows.columns for c in node.prompt.columns):
        asked = [str(text) for text in node.as_asked(node.prompt.render(rows))]
    else:
        return 0
    return sum(text[:CUT] == f.failure.request for text, f in zip(asked, failed, strict=True))
