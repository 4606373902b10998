"""Asking a person before money is spent."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from dreamframe.errors import BudgetExceededError, SettingError
from dreamframe.models.habits import described
from dreamframe.redaction.visible import visible

if TYPE_CHECKING:
    from dreamframe.plan.estimate import Looked


def need_confirmed(look: Callable[[], Looked], most: float | None, *, where: str) -> None:
    """Return if a plan costs no more than `most` US dollars, or a person on the terminal says yes to it. Raises BudgetExceededError, with the estimate and
    what to do, where there is no terminal, and where the person does not. Asks no model."""
    if most is None:
        return
    if isinstance(most, bool) or not isinstance(most, (int, float)) or not most >= 0:
        raise SettingError(f"{where}: confirm={described(most)} is not an amount; give US dollars, as confirm=5.0.")
    from dreamframe.plan.estimate import PROBE, money

    made = look().estimate
    assert made is not None
    if made.cost is not None and made.cost.high is not None and made.cost.high <= most:
        return
    told = visible(repr(made))
    is_sure = made.cost is not None and made.cost.low > most
    may = "costs" if is_sure else "may cost"
    if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        print(f"{told}\nThis plan {may} more than {money(most)}. Run it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return
        raise BudgetExceededError(f"this plan {may} more than confirm={most:g}, and the answer was not yes. Nothing was asked.")
    learn = f" {PROBE}." if made.cost is not None and made.cost.high is None else ""
    prices = " Give prices that are not known: dr.Session(prices={...})." if made.cost is None else ""
    raise BudgetExceededError(
        f"this plan {may} more than confirm={most:g}, and there is no terminal to ask on. Nothing was asked. To run it, raise confirm= or leave it out; "
        f"dr.Session(budget=) stops a run at an amount.{learn}{prices} The estimate:\n{told}"
    )
