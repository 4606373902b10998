"""Why a plan is not found among the stored outputs of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dreamframe.plan.compare import why_miss
from dreamframe.plan.step import ModelStep, Step
from dreamframe.run.storing import Worth

if TYPE_CHECKING:
    from dreamframe.run.execute import Run


def why(run: Run, step: Step) -> str:
    """Which parts of the plan's key differ from those of the nearest stored output. `run` has not begun, and knows keys and stores."""
    (plan,) = run.planned(step)
    if run.stores.layout is None:
        return "A session in memory stores no outputs of steps; the answers of models are found again one by one."
    if isinstance(plan, ModelStep):
        return "A model is found by its settings and the content of its rows: it is trained again only if one of them differs."
    if not Worth().is_kept(plan):
        return "This plan is never stored: no model and no function of yours has a part in it, or it reads files that its rows name or a function opens."
    return why_miss(step, run.memo, run.stores.steps.all(), key=plan.key(run.memo))
