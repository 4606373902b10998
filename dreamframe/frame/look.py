"""Ways to look at a plan without running it, or for its first rows alone."""

from __future__ import annotations

from typing import Any, Literal

import polars as pl

from dreamframe.errors import SettingError, one_of
from dreamframe.frame.base import Verbs, whole
from dreamframe.models.habits import described
from dreamframe.plan.estimate import Estimate, Looked
from dreamframe.plan.explain import plan_dot, plan_text
from dreamframe.plan.optimizer.rules import Optimize, chosen, optimise
from dreamframe.plan.page import Explained, explained, frame_html
from dreamframe.plan.picture import plan_svg
from dreamframe.plan.rows_page import rows_html, written_by_models
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import relational
from dreamframe.redaction.visible import in_line, visible
from dreamframe.run import notebook
from dreamframe.run.active import current
from dreamframe.run.confirm import need_confirmed
from dreamframe.run.options import Mode


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
        chosen(optimized)
        return explained(looked_at(self.step, optimized, cost=cost), rules=rules and optimized is not False)

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
        return estimated(self.step, probe, mode, optimize)

    def collect_schema(self) -> pl.Schema:
        """Names and types of the columns, as `schema`; nothing is run.

        >>> dr.frame({"a": [1]}).collect_schema()
        Schema([('a', Int64)])
        """
        return self.step.schema.copy()

    def show_graph(self, *, format: Literal["dot", "svg"] = "dot", optimized: Optimize = False, cost: bool = False) -> str:
        """The plan in Graphviz' DOT language; with `format="svg"`, as a picture that needs no Graphviz. `optimized` and `cost` as of `explain`.

        >>> dr.frame({"a": [1]}).show_graph().splitlines()[0]
        'digraph plan {'
        """
        one_of(format, ("dot", "svg"), "format", where="show_graph")
        looked = looked_at(self.step, optimized, cost=cost)
        draw = plan_svg if format == "svg" else plan_dot
        return draw(looked.plans[0], note=looked.note)

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
        rows = self._first(n, "show", optimize, confirm)
        notebook.show(lambda: rows_html(rows, by_models=written_by_models(self.step)), lambda: visible(str(rows)))

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
        columns = in_line(plan_redactor([self.step]).text(", ".join(f"{name}: {dtype}" for name, dtype in self.schema.items())))
        return f"dreamframe [{columns}]\n{plan_text(self.step)}\n(lazy: .collect() runs it, .show() looks at some rows)"

    def _repr_html_(self) -> str:
        return frame_html(self.step)


def looked_at(step: Step, optimized: Optimize, *, cost: bool) -> Looked:
    """A plan as it would run, or as it was written; with what of it is kept, or with what it would cost."""
    if cost:
        return current(step).estimate(step, optimize=optimized)
    if optimized is False:
        return Looked((step,), {})
    if any(node.authority is not None for node in step.walk()):
        made = optimise([step], rules=chosen(optimized))
        return Looked(made.plans, {}, made=made)
    return current(step).looked(step, optimize=optimized)


def estimated(step: Step, probe: int, mode: Mode, optimize: Optimize) -> Estimate:
    """What is left to pay for a plan. Raises SettingError for a number of probes that is none."""
    if isinstance(probe, bool) or not isinstance(probe, int) or probe < 0:
        raise SettingError(f"estimate: probe={described(probe)} is not a number of rows; give 0 (ask nothing) or more, as probe=20.")
    made = current(step).estimate(step, probe=probe, mode=mode, optimize=optimize).estimate
    assert made is not None
    return made
