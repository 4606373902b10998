"""Ways to look at a plan without running it, or for its first rows alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from dreamframe.frame.base import Verbs, whole
from dreamframe.plan.optimizer.choice import Optimize
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import relational
from dreamframe.run.active import current
from dreamframe.run.confirm import need_confirmed
from dreamframe.run.options import Mode

if TYPE_CHECKING:
    from dreamframe.plan.estimate import Estimate
    from dreamframe.plan.page import Explained


class LookVerbs(Verbs):
    """explain, estimate, show."""

    __slots__ = ()

    @property
    def schema(self) -> pl.Schema:
        """Names and types of the columns; nothing is run.

        >>> dr.frame({"a": [1]}).schema
        Schema([('a', Int64)])
        """
        return self.step.schema.copy()

    @property
    def columns(self) -> list[str]:
        """Names of the columns.

        >>> dr.frame({"a": [1]}).columns
        ['a']
        """
        return self.step.schema.names()

    def explain(self, *, optimized: Optimize = True, rules: bool = False, cost: bool = False) -> Explained:
        """The plan as text as it will run, the last step first; with `optimized=False`, as it was written; with `rules=True`, also what each rule did,
        and why one that would save calls did not.

        Of a session that keeps something it tells what of each step is kept: `stored` (its rows), `kept` (all answers), `9,997 of 10,000 kept, 3 to ask`,
        `unknown until said is asked`. That is looked up where it is quick; what would take seconds, or run a function of yours, is said to be left out.

        With `cost=True`, also what each step would ask and cost now, as `estimate()` finds it: nothing is asked, files and kept answers are read.

        In a notebook the text is shown with the prompts folded. Of models that are not at their provider's own address it names the address, of files and
        weights the whole path. For a plan that was read no file is looked at. `optimized={"limit_down": False}` leaves one rule out.

        >>> print(dr.frame({"a": [1]}).filter(pl.col("a") > 0).explain())
        FILTER [[(col("a")) > (dyn int: 0)]]
          TABLE 1 rows
        """
        from dreamframe.frame.looking import explained

        return explained(self.step, optimized=optimized, rules=rules, cost=cost)

    def estimate(self, *, probe: int = 0, mode: Mode = "calls", optimize: Optimize = True) -> Estimate:
        """What is left to pay when this plan is collected now: calls, tokens, US dollars as a range, seconds; in all and step by step.

        Nothing is asked, unless `probe` says how many rows of each step may be: they are asked and kept, so that the length of answers and the part of
        the rows that pass a filter are known; the figures are then of the rest. The plan is run as far as it goes with kept answers, functions of yours
        too; in the place of an answer that is not there stands a kept one to the same question. `mode="batch"` counts what batches cost,
        `optimize=` is as of `collect`.

        Prices are list prices and `dr.Session(prices=)`; where one is not known, `cost` is None. Raises OfflineError for probes of an offline session.

        >>> with dr.Session(None):
        ...     found = dr.frame({"t": ["tea", "jam", "rye"]}).prompt(dr.testing.Echo(), "Say {t}", into="said").estimate(probe=2)
        >>> found.calls, found.steps[0].state
        (1, '2 of 3 kept, 1 to ask')
        """
        from dreamframe.frame.looking import estimated

        return estimated(self.step, probe, mode, optimize)

    def collect_schema(self) -> pl.Schema:
        """Names and types of the columns, as `schema`; nothing is run.

        >>> dr.frame({"a": [1]}).collect_schema()
        Schema([('a', Int64)])
        """
        return self.step.schema.copy()

    def show_graph(self, *, format: Literal["dot", "svg"] = "dot", optimized: Optimize = False, cost: bool = False) -> str:
        """The plan in Graphviz' DOT language; with `format="svg"`, as a picture that needs no Graphviz, which a notebook shows. Others as of `explain`.

        >>> dr.frame({"a": [1]}).show_graph().splitlines()[0]
        'digraph plan {'
        """
        from dreamframe.frame.looking import drawn

        return drawn(self.step, format, optimized=optimized, cost=cost)

    def show(self, n: int = 5, *, optimize: Optimize = True, confirm: float | None = None) -> None:
        """Run for the first n rows and print them; a notebook shows them as a table, with whole texts that fold. Over prompts, only these n rows are
        asked; `optimize` and `confirm` as of `collect`.

        >>> dr.frame({"a": [1, 2]}).show(1)
        shape: (1, 1)
        ┌─────┐
        │ a   │
        │ --- │
        │ i64 │
        ╞═════╡
        │ 1   │
        └─────┘
        """
        from dreamframe.frame.looking import show_rows

        show_rows(self.step, self._first(n, "show", optimize, confirm))

    def preview(self, n: int = 5, *, optimize: Optimize = True, confirm: float | None = None) -> pl.DataFrame:
        """Run for the first n rows and give them. Over prompts, only these n rows are asked; `optimize` and `confirm` as of `collect`.

        >>> dr.frame({"a": [1, 2]}).preview(1).to_dicts()
        [{'a': 1}]
        """
        return self._first(n, "preview", optimize, confirm)

    def _first(self, n: int, verb: str, optimize: Optimize, confirm: float | None) -> pl.DataFrame:
        plan = relational("head", inputs=(self.step,), args=(whole(n, "n", verb=verb),))
        self._confirmed(verb, confirm, plan=plan, optimize=optimize)
        return current(plan).collect(plan, optimize=optimize)

    def _confirmed(self, verb: str, confirm: float | None, *, plan: Step | None = None, **settings: Any) -> None:
        """Estimate a run before it begins, and ask, if it may cost more than `confirm` US dollars."""
        plan = self.step if plan is None else plan
        need_confirmed(lambda: current(plan).estimate(plan, **settings), confirm, where=verb)

    def __repr__(self) -> str:
        from dreamframe.frame.looking import frame_text

        return frame_text(self.step)

    def _repr_html_(self) -> str:
        from dreamframe.plan.page import frame_html

        return frame_html(self.step)
