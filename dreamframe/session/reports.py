"""What a session writes for people who do not have it: one file that shows it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from dreamframe.frame.tracebacks import short_in
from dreamframe.plan.steps.files import expanded

if TYPE_CHECKING:
    import polars as pl

    from dreamframe.plan.step import Step
    from dreamframe.redaction.redactor import Redactor
    from dreamframe.run.options import RunOptions
    from dreamframe.session.opening import Opening
    from dreamframe.session.running import Running
    from dreamframe.store.stores import Stores

T = TypeVar("T")


@short_in
class Reports:
    """`report`. A part of the session."""

    folder: Path | None
    _opening: Opening
    _running: Running

    def report(self, path: str | Path, *, rows: int = 1000) -> Path:
        """Write what `dreamframe view` shows into one HTML file that opens without a network; gives its path. Nothing is asked.

        In it are the plans and their prompts, the first rows of the stored outputs (`rows` of them, 1,000 at most, shared out among the outputs), what
        failed, what was spent, the trainings and the cards. Whoever gets the file reads all that: it holds no key, and what models wrote cannot do
        anything in it.

        Raises SettingError for another number of rows or where there is no session yet, StorageError where the file cannot be written.

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
        ...     session.report("report.html").name
        'report.html'
        """
        from dreamframe.session.page.report import Held, write  # as many rooms as a run needs

        self._opening.looked_at().answers.flush()
        name = "session in memory" if self.folder is None else self.folder.name
        return write(Held(name, self.folder, opened=self._to_look_at, events=self._events), expanded(str(path)).absolute(), rows=rows)

    def _to_look_at(self) -> Any:
        """The session once more, to be looked at alone."""
        return self if self.folder is None else self.existing(self.folder)

    def _at_hand(self, step: Step) -> pl.DataFrame:
        """The rows of a plan that have all their answers."""
        return self._running.at_hand(step)

    def _replayed(self, work: Callable[[Stores, RunOptions, Redactor], Coroutine[Any, Any, T]]) -> T:
        """What some work finds in what is kept."""
        return self._running.replayed(work)

    @classmethod
    def existing(cls, folder: str | Path) -> Self:
        """A session that is looked at."""
        raise NotImplementedError

    def _events(self) -> Iterator[dict[str, Any]]:
        raise NotImplementedError
