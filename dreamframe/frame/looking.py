"""What a plan looks like, as text, page or picture, and what it would cost. Apart from the verbs: building and running a plan needs none of it."""

from __future__ import annotations

from typing import Literal

import polars as pl

from dreamframe.errors import SettingError, one_of
from dreamframe.models.habits import described
from dreamframe.plan.estimate import Estimate, Looked
from dreamframe.plan.explain import plan_dot, plan_text
from dreamframe.plan.optimizer.choice import Optimize
from dreamframe.plan.optimizer.rules import chosen, optimise
from dreamframe.plan.page import Explained
from dreamframe.plan.page import explained as page
from dreamframe.plan.picture import plan_svg
from dreamframe.plan.rows_page import rows_html, written_by_models
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Step
from dreamframe.redaction.visible import in_line, visible
from dreamframe.run import notebook
from dreamframe.run.active import current
from dreamframe.run.options import Mode


def explained(step: Step, *, optimized: Optimize, rules: bool, cost: bool) -> Explained:
    """The plan as text and as a page: see `df.explain`."""
    chosen(optimized)
    return page(looked_at(step, optimized, cost=cost), rules=rules and optimized is not False)


def drawn(step: Step, format: Literal["dot", "svg"], *, optimized: Optimize, cost: bool) -> Explained:
    """The plan as a picture: see `df.show_graph`."""
    one_of(format, ("dot", "svg"), "format", where="show_graph")
    looked = looked_at(step, optimized, cost=cost)
    draw = plan_svg if format == "svg" else plan_dot
    return Explained(draw(looked.plans[0], note=looked.note), lambda: plan_svg(looked.plans[0], note=looked.note))  # a notebook shows the picture


def frame_text(step: Step) -> str:
    """A frame as `repr` shows it."""
    columns = in_line(plan_redactor([step]).text(", ".join(f"{name}: {dtype}" for name, dtype in step.schema.items())))
    return f"dreamframe [{columns}]\n{plan_text(step)}\n(lazy: .collect() runs it, .show() looks at some rows)"


def show_rows(step: Step, rows: pl.DataFrame) -> None:
    """Rows of a frame, printed, or as a table in a notebook: see `df.show`."""
    notebook.show(lambda: rows_html(rows, by_models=written_by_models(step)), lambda: visible(str(rows)))


def model_text(step: Step) -> str:
    """A model as `repr` shows it."""
    return f"Model, trained by\n{plan_text(step)}\n(lazy: .fit() trains it)"


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
