"""What failed in a run, as the one error that says it: how many rows, of which kinds, and what running again would do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from dreamframe.errors import BudgetExceededError, OfflineError, ParseError, RefusedError, RowsFailedError, TruncatedError
from dreamframe.plan.step import Step
from dreamframe.plan.steps.apply import MapRows
from dreamframe.run.stage import Stage
from dreamframe.run.stats import FailedRow

UNREADABLE = frozenset({ParseError.__name__, RefusedError.__name__, TruncatedError.__name__})  # kinds of failure in which a kept answer is to blame


def raise_failures(step: Step, stages: Sequence[Stage]) -> None:
    """Raise what kept rows of these stages from being whole, if there is something. `step` is what could not go on."""
    failed = [f for stage in stages for f in stage.failed_rows()]
    missing = [f for f in failed if f.failure.error == OfflineError.__name__]
    if missing:
        what = f"{_of(missing, step)}: offline, and {len(missing):,} requests have no answer in the session"
        raise OfflineError(listing(what, missing, "Run once without offline=True: every answer that is there is kept"))
    unpaid = [f for f in failed if f.failure.error == BudgetExceededError.__name__]
    if unpaid:
        what = f"{_of(unpaid, step)}: {len(unpaid):,} rows were not asked"
        raise BudgetExceededError(listing(what, unpaid, "Every answer is kept; with more budget, only these are asked"))
    raising = [f for stage in stages if getattr(stage.step, "on_error", "") == "raise" for f in stage.failed_rows()]
    if raising:
        total = _n_rows([stage for stage in stages if stage.failed])
        by_function = {stage.step.label for stage in stages if isinstance(stage.step, MapRows)}
        what = f"{_of(raising, step)}: {len(raising):,} of {total:,} rows failed"
        then = f"Every other answer is kept. {_next(raising, by_function)}"
        raise RowsFailedError(listing(what, raising, then, by_function=by_function), [f.as_dict() for f in raising])


def _n_rows(stages: Sequence[Stage]) -> int:
    """The rows that entered steps in which some failed: of steps over one another those of the lowest, of steps beside one another those of each."""
    if len(stages) == 1:
        return stages[0].n_in
    own = {id(stage.step) for stage in stages}
    is_over: dict[int, bool] = {}  # by node: whether one of them is below it
    for stage in stages:
        for node in stage.step.walk() if id(stage.step) not in is_over else ():
            is_over[id(node)] = any(id(i) in own or is_over[id(i)] for i in node.inputs)
    return max(sum(s.n_in for s in stages if not is_over[id(s.step)]), max((s.n_in for s in stages), default=0))


def _of(failed: Sequence[FailedRow], needed_by: Step) -> str:
    """The steps in which the rows failed, each once."""
    return ", ".join(dict.fromkeys(f.step for f in failed)) or needed_by.label


def _next(failed: Sequence[FailedRow], by_function: Collection[str]) -> str:
    """What running again would really do, and what helps where that is nothing. `by_function`: steps that run one of the user's, whose rows are kept only
    when all of them are there."""
    asked = [f for f in failed if f.step not in by_function]
    if len(asked) < len(failed):
        return f"{_next(asked, ())}, and calls your function for every row again" if asked else "Running again calls your function for every row again"
    n_read = sum(f.failure.error in UNREADABLE for f in failed)
    if not n_read:
        return "Running again asks only these"
    others = f"asks about the {len(failed) - n_read:,} rows that have no answer, and " if n_read < len(failed) else ""
    return (
        f"Running again {others}finds the same answers to the {n_read:,} that were answered and cannot be read: "
        "df.retry() asks these anew, and another schema= or parse= may read them"
    )


def listing(what: str, failed: Sequence[FailedRow], then: str, *, most: int = 3, by_function: Collection[str] = ()) -> str:
    """A message that counts the failures by kind, shows the first few and says what to do then. What failed alike is shown once."""
    kinds = Counter(f.failure.error for f in failed)
    counts = ", ".join(f"{n:,} × {kind}" for kind, n in kinds.most_common())
    alike: dict[tuple[object, ...], list[FailedRow]] = {}
    for f in failed:
        alike.setdefault((f.step, f.failure.error, f.failure.message, f.failure.text if f.failure.error in UNREADABLE else None), []).append(f)
    shown = list(alike.values())[:most]
    left = len(failed) - sum(map(len, shown))
    more = [f"  … and {left:,} more: df.failures() has them all"] if left else []
    return "\n".join([f"{what} ({counts}).", *(_shown(rows, is_given=rows[0].step in by_function) for rows in shown), *more, f"{then}."])


def _shown(alike: Sequence[FailedRow], *, is_given: bool) -> str:
    """Rows that failed in the same way, with what the first of them was asked; a function is given its row."""
    f, n = alike[0].failure, len(alike)
    numbers = ", ".join(str(row.row) for row in alike[:3])
    rows = f"row {numbers}" if n == 1 else f"rows {numbers}{f' and {n - 3:,} more' if n > 3 else ''}"
    word = ("given" if is_given else "asked") if n == 1 else ("first given" if is_given else "first asked")
    lines = [f"  {rows} of {alike[0].step}: {f.error}: {_cut(f.message)}", f"    {word}: {_cut(f.request, 120)}"]
    if f.error in UNREADABLE and f.text is not None:
        lines.append(f"    answered: {_cut(f.text, 120)!r}")
    return "\n".join(lines)


def _cut(text: str, most: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
