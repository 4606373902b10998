"""What a session has on record: stored outputs, runs, models, plans, answers, and what they cost. Looking at it runs nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args, overload

import polars as pl

from dreamframe.errors import SettingError, one_of
from dreamframe.session.frames import RUNS, STEPS, By, Records, answers_frame, usage_frame
from dreamframe.session.opening import Opening
from dreamframe.session.running import HasStep, Running, step_of
from dreamframe.session.usage import in_a_line, used, used_by

if TYPE_CHECKING:  # imported when a plan is read: building one needs neither Arrow nor the engine
    from dreamframe.frame.frame import Frame
    from dreamframe.frame.model import Model
    from dreamframe.plan.estimate import Looked
    from dreamframe.plan.json.read import Given
    from dreamframe.plan.step import Step
    from dreamframe.session.records import ModelRecord, PlanRecord, RunRecord, StepRecord
    from dreamframe.store.runlog import Follower


class OnRecord:
    """The part of a session that lists."""

    folder: Path | None
    _opening: Opening
    _running: Running

    @overload
    def usage(self) -> dict[str, Any]: ...

    @overload
    def usage(self, *, by: By) -> pl.DataFrame: ...

    @overload
    def usage(self, *, of: Step | HasStep) -> dict[str, Any]: ...

    def usage(self, *, by: By | None = None, of: Step | HasStep | None = None) -> dict[str, Any] | pl.DataFrame:
        """What this session object has used: calls, answers from the journal, tokens, cost in US dollars (None where a price is not known), trainings,
        stored outputs reused.

        With `by="step"`, `"model"`, `"run"` or `"day"`, a frame of what all runs on record have used, of every program that used the folder. A row stands
        for a step and the model that it asks (`step`, `model`), a model, a run (`run`, `began_at`, `is_over`) or a day (`day`, UTC), and has `runs`,
        `calls`, `from_cache`, `tokens_in`, `tokens_out`, `tokens_cached`, `tokens_reasoning`, `cost` (US dollars; null where a price is not known),
        `failed` (rows), `truncated` (answers) and `retries`. With `of=frame`, what the plan of one frame has used in all runs on record, and `seconds`, that
        the runs took which made its kept rows (None: not known).

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea", "jam"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
        ...     session.usage(by="step").select("step", "model", "calls", "cost").rows()
        [('said', 'echo', 2, 0.0)]
        """
        if of is not None:
            return used_by(step_of(of), self._events(), self._opening.looked_at().steps.all())
        if by is None:
            return used(self._running.stats)
        one_of(by, get_args(By), "by", where="usage")
        return usage_frame(self.runs(), by)

    def summary(self) -> str:
        """What this session object has done, in one line: what it took from the session, calls, trainings, failed rows.

        >>> with dr.Session(None) as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}").collect()
        ...     session.summary()
        '1 model call, trained nothing'
        """
        return in_a_line(self._running.stats)

    def steps(self) -> Records[StepRecord]:
        """The stored outputs of steps, oldest first. Raises SettingError where there is no session yet.

        A list of records that shows itself as a frame; `to_frame()` is that frame, with `label`, `step`, `rows`, `calls` and `cost` of the run that made
        it, `seconds`, `bytes`, `made_at` (UTC), `name` (of its folder), `key` and `describe`.

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
        ...     [(step.label, step.rows, step.calls) for step in session.steps()]
        [('said', 1, 1)]
        >>> session.steps().to_frame().select("label", "rows", "calls").rows()
        [('said', 1, 1)]
        """
        outputs = self._opening.looked_at().steps
        return Records((_records().step_record(held) for held in outputs.all()), STEPS)

    def runs(self) -> Records[RunRecord]:
        """All runs, oldest first: of every program that used the folder; in memory, of this object. One that goes on is as it was a second ago.

        A list of records that shows itself as a frame; `to_frame()` is that frame, with `began_at` (UTC), `calls`, `cached`, `cost` (US dollars; null where a
        price is not known), `trained`, `reused`, `failed`, `is_over` and `name` (of its log). `usage(by="run")` has the tokens.

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
        ...     [(run.calls, [step.label for step in run.steps]) for run in session.runs()]
        [(1, ['said'])]
        """
        self._opening.looked_at()
        return Records(_records().run_records(self._events()), RUNS)

    def answers(self) -> pl.DataFrame:
        """All kept answers, oldest first, those of other programs on the folder too: `at` (UTC), `model` (as the server called it), `text`, `reasoning`,
        `dimensions` (of a vector), `finish`, `tokens_in`, `tokens_out`, `tokens_cached`, `tokens_reasoning`, `attempts`, `seconds` (null for answers of a
        dreamframe that did not keep them) and `key`, by which `df.why` names them. An answer does not hold its request: `df.why` tells it.

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "Say {t}", into="said").collect()
        ...     session.answers().select("model", "text", "finish", "attempts").rows()
        [('echo', 'Say tea', 'stop', 1)]
        """
        return answers_frame(self._opening.looked_at().answers.everything())

    def models(self) -> list[ModelRecord]:
        """The trained models, oldest first."""
        return [_records().model_record(held) for held in self._opening.looked_at().models.all()]

    def follow(self) -> Follower:
        """What runs on the folder do, as they do it, in this process or another: each `news()` gives the lines that are new in the logs of all runs, as
        dicts with `event` ("begin", "progress", "logged", "alive", "failure", "model", "step", "run"), `run`, `day` and what the event says. What is new is
        written within two seconds, and after ten without news an "alive"; a "progress" has the counts of one step that have changed, a "logged" the numbers
        of a training, its `step` among them, as `values`. Raises SettingError for a session in memory.

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
        ...     watched = session.follow()
        ...     [(line["event"], line.get("asked")) for line in watched.news()], watched.news()
        ([('begin', None), ('step', 1), ('run', None)], [])
        """
        if self.folder is None:
            raise SettingError("follow: a session in memory writes no log; its runs are in session.runs().")
        return self._opening.looked_at().log.follow()

    def _failed_requests(self) -> dict[tuple[str, str], str]:
        found: dict[tuple[str, str], str] = _records().failed_requests(self._events())
        return found

    def _with_ledgers(self, looked: Looked) -> Looked:
        from dreamframe.session.ledgers import with_ledgers  # which only looking needs

        return with_ledgers(looked, self._events)

    def _events(self) -> Iterator[dict[str, Any]]:
        """The lines of all runs, oldest first."""
        from dreamframe.cards.gather import events_of

        if self.folder is None:
            return events_of(self._running.stats)
        return self._opening.stores.log.read() if self._opening.is_there else iter(())

    def plans(self) -> list[PlanRecord]:
        """The plans that were run here and asked a model, ran a function of yours or trained.

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
        ...     [(plan.label, plan.kind, plan.columns) for plan in session.plans()]
        [('said', 'frame', ('t', 'said'))]
        """
        from dreamframe.session.plans import listed

        return listed(self._opening.looked_at())

    def plan(
        self, name: str, *, functions: Given = (), allow: Iterable[str | os.PathLike[str]] = (), trust_remote_code: bool = False
    ) -> Frame | Model:
        """A kept plan, by its name, label or key: the frame or model that was run, with its rows, wherever the session came from.

        Reading it runs nothing; look at its `.explain()` before you collect a stranger's. Like every plan that was read it has none of your authority:
        what the session holds needs none, and what it reaches for beyond that is listed in `allow`. `functions`, `allow` and `trust_remote_code` as of
        `dr.from_json`.
        Raises PlanFormatError where there is none, or several of that label.

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
        >>> with dr.Session("./output", offline=True) as session:
        ...     session.plan("said").collect().rows()
        [('tea', 'tea')]
        """
        from dreamframe.session.plans import load

        return load(self._opening.looked_at(), name, functions=functions, allow=allow, trust_remote_code=trust_remote_code)

    def as_dict(self) -> dict[str, Any]:
        """What is on record, ready for JSON: a list of dicts with the fields of each kind of record.

        >>> dr.Session(None).as_dict()
        {'steps': [], 'models': [], 'plans': [], 'runs': []}
        """
        found: dict[str, Sequence[Any]] = {"steps": self.steps(), "models": self.models(), "plans": self.plans(), "runs": self.runs()}
        return {kind: [r.as_dict() for r in records] for kind, records in found.items()}


def _records() -> ModuleType:
    from dreamframe.session import records  # which running a plan does not need

    return records
