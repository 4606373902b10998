"""One step in one run, as the run keeps account of it: its counts, the rows that failed in it, the numbers of its samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dreamframe.models.request import Failure
from dreamframe.plan.model_columns import column_of
from dreamframe.plan.step import Step
from dreamframe.run.samples import Samples
from dreamframe.run.stats import FailedRow, StepStats


class Stage:
    """The account of a step."""

    def __init__(self, step: Step, stats: StepStats, told: set[int] | None = None) -> None:
        self.step, self.stats = step, stats
        self._told: set[int] = set() if told is None else told  # rows whose failure is on this account, or on another of the same step
        self.samples = Samples()
        self.checked: set[str] = set()  # digests of the questions whose weights are those that the step's key names
        self.n_in = 0  # rows that entered
        self.failed: list[tuple[int, Failure]] = []  # (row of the step's input, failure), in input order

    def add(self, rows_in: int, rows: int, failures: Iterable[tuple[int, Failure]] = ()) -> list[FailedRow]:
        """Count a batch: rows that entered and left, and failures by position among those that entered. Batches come in input order.

        Gives the rows that failed.
        """
        stats = self.stats
        found = [(self.n_in + position, failure) for position, failure in sorted(failures, key=lambda found: found[0])]
        new = [(row, failure) for row, failure in found if row not in self._told]
        self._told.update(row for row, _ in new)
        for _, failure in new:
            stats.errors[failure.error] = stats.errors.get(failure.error, 0) + 1
        stats.failed += len(new)
        stats.rows_in += rows_in
        stats.rows += rows
        self.n_in += rows_in
        self.failed += new
        return [self._row(*found) for found in new]

    def found(self, rows_in: int, rows: int, told: Mapping[str, object]) -> None:
        """Count what an earlier run has made of the same rows."""
        self.stats.total, self.stats.told = rows_in, told
        self.add(rows_in, rows)

    def failed_rows(self) -> list[FailedRow]:
        """The failures with their row numbers, in input order."""
        return [self._row(*found) for found in self.failed]

    def _row(self, row: int, failure: Failure) -> FailedRow:
        return FailedRow(self.step.label, row, column_of(self.step), failure)
