"""A session as its page reads it: nothing is written or asked, and what has not changed since is not read again."""

from __future__ import annotations

import calendar
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import polars as pl

from dreamframe.errors import CorruptFileError, SettingError, StoreError
from dreamframe.plan.compare import is_plan, on_record
from dreamframe.redaction.visible import visible
from dreamframe.run.at_hand import lenient
from dreamframe.session.plans import load
from dreamframe.session.records import ModelRecord, PlanRecord, RunRecord, StepRecord, model_record, plan_record, run_records, step_record
from dreamframe.store.layout import Layout, check_manifest
from dreamframe.store.models import Models, metrics_of
from dreamframe.store.nothing import NoOutputs, NoPlans, NoSources
from dreamframe.store.plans import Plans
from dreamframe.store.runlog import NAME, read_log
from dreamframe.store.sources import Sources
from dreamframe.store.steps import StepOutputs
from dreamframe.store.stores import files_to_read

if TYPE_CHECKING:
    from dreamframe.plan.estimate import Looked
    from dreamframe.plan.step import Memo, Step
    from dreamframe.redaction.redactor import Redactor
    from dreamframe.run.options import RunOptions
    from dreamframe.run.why.story import RowStory
    from dreamframe.store.address import Address
    from dreamframe.store.stores import Stores

T = TypeVar("T")
QUIET_S = 60.0  # a run that has written nothing for so long was probably killed: while it goes on it writes every ten seconds at least
AT_HAND = "plan "  # begins what the rows of a plan are called that are not stored, since not all of them have their answers
TRAINING = ("logged", "model")  # lines of a run log
MOST_KNOWN = 200
MOST_TABLES = 4  # outputs whose rows are kept mapped


class Reader(Protocol):
    """What of a session is needed to read its plans: one that is offline, or nothing would keep it from asking."""

    def estimate(self, step: Step) -> Looked:
        """What a plan would ask if it ran now."""
        ...

    def card(self, step: Step) -> str:
        """The card of what a plan makes."""
        ...

    def why(self, frame: Step, row: int) -> RowStory:
        """How a row of a plan was made."""
        ...

    def _at_hand(self, step: Step) -> pl.DataFrame:
        """The rows of a plan that have all their answers."""
        ...

    def _replayed(self, work: Callable[[Stores, RunOptions, Redactor], Coroutine[Any, Any, T]]) -> T:
        """What some work finds in what is kept."""
        ...


class _Kept(NamedTuple):
    """What plans are read from."""

    plans: Plans
    sources: Sources


class Held:
    """What a session keeps, by kind. `opened` gives the session itself, which reads all of its answers first: plans alone need it. Without a folder, a
    session in memory, `events` are the lines of its runs."""

    def __init__(
        self,
        name: str,
        folder: Path | None,
        *,
        opened: Callable[[], Reader],
        events: Callable[[], Iterable[Mapping[str, Any]]] = tuple,
        address: Address | None = None,  # of a session in a bucket: the folder is its working copy
    ) -> None:
        self.name, self._events, self.folder, self._opened = name, events, folder, opened
        self.known: dict[Any, Any] = {}  # what was worked out before, by what it was worked out from
        self.lock = threading.RLock()
        self._locks: dict[Any, threading.RLock] = {}
        self._logs: dict[str, tuple[int, RunRecord, list[dict[str, Any]]]] = {}  # bytes that were read, the run, what trainings in it logged
        self._tables: dict[str, pl.DataFrame] = {}
        self._reading = threading.RLock()
        self.files = files_to_read(folder or Path(), address=address)
        self.layout = None if folder is None else Layout(self.files.root)
        self._outputs = NoOutputs() if self.layout is None else StepOutputs(self.files, self.layout)
        self._plans = NoPlans() if self.layout is None else Plans(self.files, self.layout)
        self._models = None if self.layout is None else Models(self.files, self.layout)
        self._sources = NoSources() if self.layout is None else Sources(self.files, self.layout)

    def check(self) -> None:
        """Raises SettingError where there is no session, CorruptFileError or SessionFormatError for one that cannot be read."""
        if self.layout is None:
            return
        if self.files.kind(self.layout.manifest) is None:
            what = f"there is no session in {visible(repr(str(self.folder)))}: it holds no {self.layout.manifest.name}"
            raise SettingError(f"view: {what}. Name the folder of a session that ran.")
        check_manifest(self.files, self.layout, called=str(self.folder))

    @property
    def session(self) -> Reader:
        """The session, opened at first use."""
        return self.once("session", self._opened)

    def stamp(self) -> tuple[Any, ...]:
        """Changes whenever there is something new to see."""
        if self.layout is None:
            return ()
        logs = tuple((name, self._size(self.layout.runs / name)) for name in self._names("runs"))
        return (logs, *(self._names(part) for part in ("steps", "plans", "models")))

    def _names(self, part: str) -> tuple[str, ...]:
        """What is in a folder of the session, and finished."""
        return () if self.layout is None else tuple(n for n in self.files.listdir(getattr(self.layout, part)) if not n.startswith("."))

    def _size(self, path: Path) -> int:
        try:
            return self.files.size(path)
        except StoreError:
            return -1  # it went meanwhile

    def once(self, what: Any, made: Callable[[], T]) -> T:
        """What was made of the same before, else it is made now."""
        with self.lock:
            lock = self._locks.setdefault(what, threading.RLock())
        with lock:  # of this one alone: what takes long keeps nothing else waiting
            if what not in self.known:
                found = made()
                with self.lock:
                    self.known[what] = found
                    while len(self.known) > MOST_KNOWN:
                        oldest = next(key for key in self.known if key != "session")
                        self.known.pop(oldest), self._locks.pop(oldest, None)
                return found
            return self.known[what]  # type: ignore[no-any-return]

    def outputs(self) -> list[StepRecord]:
        """The stored outputs, oldest first."""
        names = self._names("steps")
        return self.once(("outputs", names), lambda: [step_record(r) for r in self._outputs.all()])

    def by_key(self) -> dict[str, str]:
        """The names of the stored outputs, by the first digits of the keys of their steps as they were written."""
        return {str(o.plan[-1]["key"]): o.name for o in self.outputs() if is_plan(list(o.plan))}

    def output(self, name: str) -> StepRecord:
        """The stored output of this name. Raises SettingError where there is none."""
        found = next((record for record in self.outputs() if record.name == name), None)
        if found is None and name.startswith(AT_HAND):
            found = self._unstored(name)
        if found is None:
            raise SettingError(f"there is no stored output {name[:80]!r}")
        return found

    def _unstored(self, name: str) -> StepRecord | None:
        """What a record of a plan's rows would say, had they been stored: some have failed, or were not asked."""
        plan = next((p for p in self.plans() if AT_HAND + p.name == name and p.problem is None and p.kind == "frame"), None)
        if plan is None:
            return None
        step = self.plan(plan.name)
        nodes: list[dict[str, Any]] = self.once(("nodes", plan.name), lambda: on_record(step, {}))
        columns = {c: str(dtype) for c, dtype in step.schema.items()}
        return StepRecord(name=name, key=plan.key, label=plan.label, describe=str(nodes[-1]["describe"]), columns=columns, plan=nodes)

    def version(self, name: str) -> object:
        """What changes when the rows of an output do: those that are stored never change."""
        return self.stamp() if name.startswith(AT_HAND) else None

    def plans(self) -> list[PlanRecord]:
        """The plans that were run."""
        return [plan_record(r) for r in self.plan_files()]

    def plan(self, name: str) -> Step:
        """The last step of a kept plan. Reads no answers. Raises PlanFormatError for one that cannot be read."""
        loaded: Step = self.once(("loaded", name), lambda: load(_Kept(self._plans, self._sources), name).step)
        return loaded

    def lenient(self, name: str) -> Step:
        """The last step of a kept plan in which rows that have failed stay, as nulls."""

        def made() -> Step:
            memo: Memo = {}
            step = self.plan(name)
            stored = self.by_key()
            return lenient(step, is_stored=lambda node: node.key(memo)[:12] in stored)

        return self.once(("lenient", name, len(self.outputs())), made)

    def plan_files(self) -> list[dict[str, Any]]:
        """The plans as they are kept."""
        names = self._names("plans")
        return self.once(("plans", names), self._plans.all)

    def models(self) -> list[ModelRecord]:
        """The trained models, oldest first."""
        names = self._names("models")
        models = self._models
        return [] if models is None else self.once(("models", names), lambda: [model_record(r) for r in models.all()])

    def runs(self) -> list[RunRecord]:
        """All runs, oldest first; only logs that grew are read."""
        if self.layout is None:
            return run_records(self._events())
        with self.lock:
            names = [n for n in self._names("runs") if NAME.fullmatch(n)]
            for name in names:
                size = self._size(self.layout.runs / name)
                if size >= 0 and self._logs.get(name, (-1,))[0] != size:
                    events, _ = read_log(self.files, self.layout.runs / name)
                    day = f"{name[:4]}-{name[4:6]}-{name[6:8]}"
                    read = run_records({**e, "run": name, "day": day} for e in events)
                    told = [event for event in events if event["event"] in TRAINING]
                    self._logs[name] = size, read[0] if read else RunRecord(name=name, day=day, is_over=False), told
            return [self._logs[name][1] for name in sorted(names, key=lambda n: (n[:15], -self._age_s(n), n)) if name in self._logs]

    def logged(self, run: RunRecord) -> Sequence[Mapping[str, Any]]:
        """What trainings have logged in one of `runs`, and the models that they became, as lines of its log."""
        if self.layout is None:
            return [e for e in self._events() if e["event"] in TRAINING and e["run"] == run.name]
        return self._logs[run.name][2]

    def _age_s(self, log: str) -> float:
        try:
            return self.files.age_s(self.files.root / "runs" / log)
        except StoreError:
            return 0.0

    def is_live(self, run: RunRecord) -> bool:
        """Whether a run seems to go on: it is not over, and it, or an answer, was written a moment ago."""
        if run.is_over or self.layout is None:
            return False
        paths = [self.layout.runs / run.name, *(self.layout.answers / n for n in self.files.listdir(self.layout.answers)[-3:])]
        try:
            return min(self.files.age_s(path) for path in paths) < QUIET_S
        except StoreError:
            return False

    def rows(self, name: str) -> pl.DataFrame:
        """The rows of an output, memory-mapped: reading some of them reads only those. Raises SettingError where they are gone or damaged."""
        if name.startswith(AT_HAND):
            return self._rows_at_hand(name)
        with self._reading:
            if name not in self._tables:
                stored = self._outputs.find(self.output(name).key)
                if stored is None:
                    raise SettingError(f"the rows of {name[:80]!r} are gone, or not as they were written")
                while len(self._tables) >= MOST_TABLES:
                    self._tables.pop(next(iter(self._tables)))
                self._tables[name] = stored.rows()
            return self._tables[name]

    def _rows_at_hand(self, name: str) -> pl.DataFrame:
        """The rows of a plan that have their answers by now. Those of an hour ago are not kept beside them."""
        plan, now = self.output(name).name.removeprefix(AT_HAND), ("at hand", name, self.version(name))
        found = self.once(now, lambda: self.session._at_hand(self.lenient(plan)))
        with self.lock:
            for old in [key for key in self.known if isinstance(key, tuple) and key[:2] == now[:2] and key != now]:
                self.known.pop(old), self._locks.pop(old, None)
        return found

    def curves(self, name: str) -> pl.DataFrame:
        """The log of a training, by the name of the model; empty where it wrote none."""
        record = next((m for m in self.models() if m.name == name), None)
        if record is None or self.layout is None:
            raise SettingError(f"there is no model {name[:80]!r}")
        try:
            log = metrics_of(self.layout.models / record.name)
        except CorruptFileError:
            log = None
        return pl.DataFrame() if log is None else log


def seconds_since(run: RunRecord, now: float | None = None) -> float | None:
    """Since a run began, by the name of its log."""
    began = began_at(run)
    return None if began is None else max(0.0, (time.time() if now is None else now) - began)


def began_at(run: RunRecord) -> float | None:
    """When a run began, in seconds since 1970, by the name of its log; None in memory."""
    return float(calendar.timegm(time.strptime(run.name[:15], "%Y%m%dT%H%M%S"))) if NAME.fullmatch(run.name) else None
