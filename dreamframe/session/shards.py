"""One shard of a plan in a session: asked, and told as a record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from dreamframe.errors import one_of
from dreamframe.plan.step import Step
from dreamframe.plan.steps.part import check_part
from dreamframe.run import loop
from dreamframe.run.options import Mode
from dreamframe.run.shards import Left, Sharding, labels
from dreamframe.run.stats import FailedRow, RunStats
from dreamframe.session.running import Running


@dataclass(frozen=True)
class Sharded:
    """What became of one shard of a plan.

    `rows` are those of its part where it was asked first, `asked` the calls that were answered, `kept` the requests that needed none; `failed` rows have no
    answer, and `failures` tells of each the step, the error, the message, the request and the attempts. `left` names the steps that are left to a later
    round or to the run of the whole plan, and why.
    """

    shard: str  # "0/4"
    rows: int
    asked: int
    kept: int
    failed: int
    left: tuple[Left, ...] = ()
    failures: tuple[dict[str, object], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {**vars(self), "left": [one._asdict() for one in self.left], "failures": list(self.failures)}

    def __repr__(self) -> str:
        counts = f"shard {self.shard} · {self.rows:,} row{'' if self.rows == 1 else 's'} · {self.asked:,} asked, {self.kept:,} kept, {self.failed:,} failed"
        return "\n".join((counts, *labels(self.left)))


def run_shard(running: Running, step: Step, i: int, n: int, *, mode: Mode = "calls") -> Sharded:
    """Ask what shard i of n of a plan is to ask now. Raises SettingError for a number that is none of n, and what stops a run; failed rows are told."""
    check_part(i, n, where="run_shard")
    one_of(mode, get_args(Mode), "mode", where="run_shard")
    running.opening.write()
    with running.opening.held():
        options = running.look(mode=mode).options
        sharding = Sharding(running.opening.stores, options, i, n, knows=running.hides)
        parts, left = loop.run(sharding.parts(step))
        told: list[RunStats] = []
        rows = 0
        failed: list[FailedRow] = []
        for part in parts:
            told.append(RunStats())
            run = sharding.run_of(part, told[-1])
            running.stats.append(run.stats)
            with running.shown(run):
                loop.run(running.whole([part.step], run, run.ask_all))
            n_rows, waiting = run.told()
            rows += n_rows
            left += waiting
            failed += run.stats.failures
    return _told(f"{i}/{n}", rows, told, left, failed)


def _told(shard: str, rows: int, runs: Iterable[RunStats], left: Iterable[Left], failed: list[FailedRow]) -> Sharded:
    counts = [(run.calls, run.cached) for run in runs]
    own = tuple({name: value for name, value in row.as_dict().items() if name != "row"} for row in failed)
    return Sharded(shard, rows, sum(c for c, _ in counts), sum(c for _, c in counts), len(failed), tuple(left), own)
