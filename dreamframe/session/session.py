"""The session: the folder where everything that was paid for is kept, and the settings that runs share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.models.base import Artefact
from dreamframe.plan.optimizer.choice import Optimize
from dreamframe.plan.optimizer.rules import Optimised, optimise
from dreamframe.plan.step import ModelStep, Step
from dreamframe.plan.steps.files import expanded
from dreamframe.redaction.visible import visible
from dreamframe.run import active, loop
from dreamframe.run.calls.spend import prices_of
from dreamframe.run.engines.base import Engine, batches_of, check_engine
from dreamframe.run.options import Mode, Purse, Retry, RunOptions, check_retry, names_to_refresh
from dreamframe.session import folder as folders
from dreamframe.session.findings import Findings
from dreamframe.session.folder import united
from dreamframe.session.on_record import OnRecord
from dreamframe.session.opening import Opening
from dreamframe.session.reports import Reports
from dreamframe.session.running import HasStep, Running, Telemetry, step_of
from dreamframe.session.why import why
from dreamframe.store.address import address_of
from dreamframe.store.records import Problem, Removed
from dreamframe.store.sources import SourceContext

if TYPE_CHECKING:  # imported when a plan runs: building one needs neither Arrow nor the engine
    from dreamframe.plan.estimate import Looked
    from dreamframe.run.why.story import RowStory
    from dreamframe.session.diff import SessionDiff
    from dreamframe.session.shards import Sharded
    from dreamframe.store.merge import Merged
    from dreamframe.store.stores import Stores


class Session(OnRecord, Reports):
    """A folder of answers, step outputs and models, and how runs behave while it is active.

    `dr.Session("./output")` keeps everything in the folder: a second run of the same script makes no call and trains nothing. `dr.Session(None)`
    keeps everything in memory. Without any session, the folder is `./.dreamframe`. `dr.Session("s3://bucket/path")`, `gs://` or `az://` (pip install
    'dreamframe[remote]'), keeps it in a bucket, with a working copy here, `session.folder`; keys come from the environment. `engine`, where rows run,
    is "local", "ray" (a Ray cluster; with settings: `dr.RayEngine`), or a `dreamframe.run.engines.base.Engine` of your own.
    `budget` is in US dollars and covers the session object's life: a run stops before a call that could pass it, with everything kept. Processes that
    ask on one folder at the same time spend one sum together. `prices` go over the list prices that are known, by "provider/model" or model: (input, output),
    or with what input costs that the provider's cache had, and keeps, (input, output, cached, written); US dollars for a million tokens.
    `offline=True` allows no call at all; `progress` shows bars (default: when standard error is a terminal or a notebook). Models of this process stay
    loaded until another needs their memory; with `max_models_in_memory` no more than so many are loaded at once, and steps whose models do not fit
    together run one after the other. `batch_rows` rows walk through a step together. With `keep_script=True` each plan that is kept from then on comes with
    the script or notebook that ran it, in `scripts/`: without keys, passwords and paths, as far as its syntax tree tells them.

    `telemetry=True` (pip install 'dreamframe[otel]') gives each run, each of its steps and each request a span of OpenTelemetry, by its conventions
    `gen_ai.*`: models, sampling, tokens, ends and errors; with "content" also questions and answers. They go where the SDK of your program sends
    them, below the span that is active when the run begins. Raises SettingError or MissingExtraError when it is made, StorageError when the first run cannot
    make the folder.

    >>> with dr.Session(None) as session:
    ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}").collect()
    ...     session.usage()["calls"]
    1
    >>> with dr.Session(None, telemetry=True):  # with the SDK of OpenTelemetry set up: three spans, of the run, the step and the call
    ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
    """

    def __init__(
        self,
        folder: str | Path | None = active.DEFAULT_FOLDER,
        *,
        engine: str | Engine = "local",
        budget: float | None = None,
        prices: Mapping[str, Any] | None = None,
        offline: bool = False,
        progress: bool | None = None,
        batch_rows: int = 128,
        max_models_in_memory: int | None = None,
        keep_script: bool = False,
        telemetry: Telemetry = False,
    ) -> None:
        check_engine(engine)
        if telemetry not in (False, True, "content"):
            raise SettingError(f"Session: telemetry={telemetry!r}; give True for spans without texts, 'content' for texts too, or False.")
        if batch_rows < 1:
            raise SettingError(f"Session: batch_rows={batch_rows}; a batch has one row or more.")
        if max_models_in_memory is not None and max_models_in_memory < 1:
            raise SettingError(f"Session: max_models_in_memory={max_models_in_memory}; give 1 or more, or None for as many as memory holds.")
        self.address = None if folder is None else address_of(folder)
        self.folder = None if folder is None else self.address.folder() if self.address else expanded(str(folder)).absolute()
        options = RunOptions(
            offline=offline, purse=Purse(budget), prices=prices_of(prices), batch_rows=batch_rows, engine=engine, max_models=max_models_in_memory
        )
        self._opening = Opening(self.folder, address=self.address)
        self._running = Running(self, self._opening, options, progress=progress, keep_script=keep_script, telemetry=telemetry)

    # Life

    @classmethod
    def existing(cls, folder: str | Path) -> Session:
        """Open a session to look at it: nothing in the folder is made, changed or locked, and nothing is asked.

        What ran there may be listed, checked and read: `steps()`, `plans()`, `runs()`, `verify()`, and `plan(name).collect()` with the answers that are
        kept. What would write, such as `gc()`, raises StorageError.

        Raises SettingError where there is no session, CorruptFileError for a folder that is damaged, SessionFormatError for one of a newer dreamframe.

        >>> try:
        ...     dr.Session.existing("nowhere")
        ... except dr.errors.SettingError as exc:
        ...     print(str(exc).partition("session.json. ")[2])
        Name the folder of a session that ran, or run a plan in this one first.
        """
        made = cls(folder, offline=True, progress=False)
        made._opening.is_read_only = True
        made._opening.looked_at()
        return made

    @property
    def stores(self) -> Stores:
        """The stores, opened at first use. Raises SessionFormatError for a folder of a newer dreamframe."""
        return self._opening.stores

    def use(self) -> Self:
        """Make this the session of the whole process from here on, as a notebook or a REPL wants it: until another one is used, or `close()`.

        A `with` of another session goes before it inside its block, in every thread. Raises what entering it would raise.

        >>> session = dr.Session("./output").use()
        >>> dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect().rows()
        [('tea', 'tea')]
        >>> session.close()
        """
        self._opening.check()  # a folder that cannot be used fails here
        self._opening.hold()
        before = active.use(self)
        if isinstance(before, Session):
            before._opening.let_go(is_left=True)
        return self

    def close(self) -> None:
        """Write what is pending, let go of the folder, and end `use()`. A closed session opens again at its next use."""
        if active.no_longer_use(self):
            self._opening.let_go()
        self._opening.close()

    def __enter__(self) -> Session:
        self._opening.check()  # a folder that cannot be used fails here, and is then nobody's active session
        self._opening.hold()
        active.enter(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        active.leave(self)
        self._opening.let_go(is_left=True)

    @property
    def is_offline(self) -> bool:
        """Whether nothing may leave this machine."""
        return self._running.options.offline

    # Running: a frame, or its step

    def collect(self, step: Step | HasStep, **settings: Any) -> pl.DataFrame:
        """Run a frame, or its step, and give its rows; settings as of `collect_all`.

        >>> dr.Session(None).collect(dr.frame({"a": [1]})).to_dicts()
        [{'a': 1}]
        """
        return self.collect_all([step], **settings)[0]

    def collect_all(self, steps: Sequence[Step | HasStep], *, retry: Retry | None = None, refresh: Sequence[str] = (), **options: Any) -> list[pl.DataFrame]:
        """Run several plans as one run; options as of `df.collect`."""
        check_retry(retry)
        plans = [step_of(one) for one in steps]
        return self._running.collect(plans, retry=retry, refresh=names_to_refresh(plans, refresh), **options)

    async def collect_async(self, step: Step | HasStep, **options: Any) -> pl.DataFrame:
        """Run a plan without blocking the caller's event loop; options as of `df.collect_async`."""
        return await self._running.collect_async(step_of(step), **options)

    def batches(self, step: Step | HasStep, **options: Any) -> Iterator[pl.DataFrame]:
        """Run a plan and give its rows batch by batch; at most a few finished batches wait for the caller."""
        if self._running.together.are_several:
            yield from batches_of(self.collect(step, **options), self._running.options.batch_rows)
            return
        with self._opening.held():
            plan, run = step_of(step), self._running.begin(**options)
            handed = loop.Handover[pl.DataFrame](lambda: run.batches(plan))
            job = loop.Job(self._running.whole([plan], run, handed.fill))
            try:
                yield from handed.taken(job)
            finally:
                job.cancel()

    def fit(self, step: ModelStep, **options: Any) -> Artefact:
        """Train a model, unless it was trained before."""
        return self._running.fit(step, **options)

    def run_shard(self, frame: Step | HasStep, i: int, n: int, *, mode: Mode = "calls") -> Sharded:
        """Ask what shard i of n (numbered from 0) of a frame is to ask, and keep the answers: n processes or machines share a plan, and nobody leads them.

        Each on the same folder, or each on its own, which `merge` unites; then `collect()` makes the rows, in order, of kept answers. Rows are parted by what
        they hold, so a row is in the same shard wherever it stands, equal requests are asked by one shard, and other rows or another n ask nothing again.
        What needs all rows (a sort, join, group_by, training) is left to the run of the whole plan; a row step above it, to a later round: run the shards
        again when all have ended and their folders are one. The record names both. With `mode="batch"` as of `df.collect`.

        Failed rows are told, not raised: run the shard again. Raises SettingError for a number that is not one of 0 … n - 1, BudgetExceededError as a run.

        >>> df = dr.frame({"t": ["tea", "jam", "rain"]}).prompt(dr.testing.Echo(), "{t}", into="said").sort("said")
        >>> with dr.Session("./output") as session:
        ...     [session.run_shard(df, i, 2).asked for i in range(2)], session.run_shard(df, 0, 2).asked, session.usage()["calls"]
        ...     df.collect()["said"].to_list(), session.usage()["calls"]
        ([1, 2], 0, 3)
        (['jam', 'rain', 'tea'], 3)
        """
        from dreamframe.session.shards import run_shard

        return run_shard(self._running, step_of(frame), i, n, mode=mode)

    def optimised(self, step: Step) -> Optimised:
        """The plan as it would run now, and the rules that made it so. Looks at a folder that is there, and makes none."""
        return self._running.look().optimised(step) if self._opening.is_there else optimise([step])

    def looked(self, step: Step, *, optimize: Optimize = True) -> Looked:
        """The plan as it would run now, and what of it is kept."""
        return self._with_ledgers(self._running.looked(step, optimize))

    def estimate(self, *steps: Step, **settings: Any) -> Looked:
        """What plans will ask and cost, and the plans as they would run; settings as of `df.estimate`, and `retry` and `refresh` as of `df.collect`."""
        return self._with_ledgers(self._running.estimate(steps, **settings))

    # Looking

    def failures(self, step: Step | HasStep) -> pl.DataFrame:
        """The failed rows of a plan's last run in this session."""
        return self._running.failures(step_of(step))

    @property
    def findings(self) -> Findings:
        """What plans asked, request by request, and results that verbs keep: for `df.compare_models` and `df.tune`."""
        return Findings(self._running)

    def why(self, frame: Step | HasStep, row: int | pl.Expr, *, most: int = 20) -> RowStory:
        """How a row of a plan was made: see `df.why`. Raises SettingError where nothing has run here."""
        self._opening.looked_at()
        return self._running.why(step_of(frame), row, most=most, failed=self._failed_requests)

    def training_record(self, step: ModelStep) -> dict[str, Any]:
        """What training.json says of a model; trains it if need be."""
        return self.stores.models.record(self.fit(step).key)

    def why_miss(self, frame: HasStep) -> str:
        """Say which parts of a frame's key differ from those of the nearest stored output. Runs nothing.

        >>> frame = dr.frame({"t": ["tea"]})
        >>> with dr.Session("./output") as session:
        ...     _ = frame.prompt(dr.testing.Echo(), "Sum up {t}", into="sum").collect()
        ...     print(session.why_miss(frame.prompt(dr.testing.Echo(), "Shorten {t}", into="sum")).partition("differs:")[2].strip())
        PROMPT sum ← echo 'Shorten {t}': prompt (was: PROMPT sum ← echo 'Sum up {t}')
        """
        return why(self._running.look(), frame.step)

    def diff(self, other: Session) -> SessionDiff:
        """What differs here from another session: changed steps, flipped rows, metrics of models and what was spent. Runs nothing.

        >>> rows = dr.frame({"t": ["tea", "jam"]})
        >>> with dr.Session("./before") as before:
        ...     _ = rows.prompt(dr.testing.Echo(), "{t}!", into="a", name="said").collect()
        >>> with dr.Session("./after") as after:
        ...     _ = rows.prompt(dr.testing.Echo(), "{t}?", into="a", name="said").collect()
        >>> after.diff(before).steps
        ["PROMPT a ← echo '{t}?': prompt (was: PROMPT a ← echo '{t}!')"]
        >>> after.diff(before).rows.select("row", "before", "after").rows()
        [(0, 'tea!', 'tea?'), (1, 'jam!', 'jam?')]
        """
        from dreamframe.session.diff import diff

        return diff(self._opening.looked_at(), other._opening.looked_at())

    @property
    def source_context(self) -> SourceContext:
        """Where the rows of sources that are far away are kept, and whether more may be fetched."""
        return SourceContext(self.stores.sources, is_offline=self.is_offline)

    def card(self, step: Step, *, repo: str | None = None, n_rows: int | None = None) -> str:
        """README.md of the rows or the model that a plan makes: see `df.card` and `model.card`. `n_rows`: how many are published."""
        from dreamframe.session.published import card

        stores = self.stores if self._opening.is_there else None
        return card(step, stores, self._events(), self._running, repo=repo, n_rows=n_rows)

    def published(self, step: Step) -> dict[str, bytes]:
        """The files that go to the Hub beside rows or a model: the plan, which `dr.from_hub` reads, and the script where the session kept it."""
        from dreamframe.session.published import published

        return published(step, self.stores if self._opening.is_there else None)

    # Care

    def verify(self) -> list[Problem]:
        """Read every byte of the folder and say what is not as it was written: `path` and `what` of each. Nothing is changed.

        The next run sets damaged files aside with a warning, and makes what they held again when it is needed.

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="a").collect()
        ...     session.verify()
        []
        """
        return self._opening.looked_at().verify()

    def gc(self, *, keep: Sequence[HasStep] | None = None, dry_run: bool = False) -> list[Removed]:
        """Remove what nobody needs, and say what it was and what it is worth: `path`, `n_bytes`, `why`, `cost` (US dollars that the calls behind it cost;
        None where a price is not known) and `seconds` (that a training took) of each. With `dry_run=True` nothing is removed.

        Without `keep`: what interrupted sessions left, and damaged files that were set aside. With frames and models to `keep`: also the outputs, models,
        kept plans, rows and scripts of all other plans. Answers are never removed, so whatever went is made again without paying; a model is trained
        again. No model is removed while it is not known which one a kept plan trained. Other sessions may be at work meanwhile.

        >>> with dr.Session("./output") as session:
        ...     kept = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="a")
        ...     _ = dr.collect_all([kept, kept.prompt(dr.testing.Echo(), "{a}", into="b")])
        ...     [(gone.path.split("-")[0], gone.why, gone.cost) for gone in session.gc(keep=[kept])]
        [('steps/b', 'not kept', 0.0), ('plans/b', 'not kept', 0.0)]
        """
        kept = None if keep is None else [plan for frame in keep for plan in (frame.step, self.optimised(frame.step).plans[0])]
        return folders.tidy(self._opening.looked_at(), keep=kept, dry_run=dry_run)

    def export(self, archive: str | Path, *, models: bool = True) -> Path:
        """Write the whole session into one file that ends in .tar, .tar.gz or .tar.zst; the same session gives the same bytes.

        Whoever loads it replays every run over the same data without a key: `dr.Session.load(archive, folder)`, then the same script, or
        `session.plan(name).collect()`. It holds no key and no path of this machine, but every prompt and answer, the rows, the plans and the scripts
        that were kept. With `models=False` the trained models stay here, which may be most of the bytes: rows that were made with them are replayed all
        the same, and a model that is asked about new rows is trained anew. Files that no session writes are left out, with a warning. Raises SettingError
        for a session in memory.
        """
        if self.folder is None:
            raise SettingError("Session.export: a session in memory has no folder to write; open it with dr.Session(folder).")
        return folders.pack(self._opening.looked_at(), expanded(str(archive)), models=models)

    def merge(self, *folders: str | Path) -> Merged:
        """Take into this session what others hold, in folders or buckets: the union of answers, stored rows, models, plans and logs. What is here stays;
        merging again adds nothing, and a merge that is interrupted is a part of one.

        Every byte is checked against its checksum first. What is damaged is left out and named in the record's `problems`, and is asked or made again when it
        is needed. As by `load`, nothing is executed, no link is followed, nothing is written elsewhere, and the folders are not changed; but their answers,
        rows and models are used as they are: merge what you would believe. Batches that were submitted and not collected stay with their folder.

        Raises SettingError for a session in memory, for this folder itself and where there is no session, SessionFormatError for one of a newer dreamframe.

        >>> df = dr.frame({"t": ["tea", "jam", "rain"]}).prompt(dr.testing.Echo(), "{t}", into="said")
        >>> for i in range(2):
        ...     with dr.Session(f"./part{i}") as part:
        ...         _ = part.run_shard(df, i, 2)
        >>> with dr.Session("./output") as session:
        ...     session.merge("./part0", "./part1").answers, session.merge("./part0").answers
        ...     _ = df.collect()
        ...     session.runs()[-1].calls
        (3, 0)
        0
        """
        if self.folder is None:
            raise SettingError("Session.merge: a session in memory keeps no folder to merge into; open one with dr.Session(folder).")
        return united(self.stores, self.folder, folders)

    @classmethod
    def load(cls, archive: str | Path, folder: str | Path, *, max_bytes: int | None = None, **settings: Any) -> Session:
        """Make a new folder out of an exported session, and open it; settings as of `dr.Session`.

        The folder is there when all of it was read and is as it was exported; else there is none. Only what `export` writes is taken: no checkpoint, no
        pickle, no link. Nothing is executed, and nothing is written outside `folder`. But the answers, rows and models are those of whoever made the
        archive, and are used as they are: load what you would believe.

        An archive may unfold to 1 GiB or, if that is more, to 200 times its own size, and never to more than 1 TiB; `max_bytes` says another limit.
        Raises CorruptFileError for what is damaged or is not a session, SessionFormatError for one of a newer dreamframe, SettingError if the folder is
        not empty.
        """
        made = cls(folder, **settings)  # a wrong setting is said before anything is written
        folders.unpacked(expanded(str(archive)), expanded(str(folder)), max_bytes=max_bytes)
        return made

    def __repr__(self) -> str:
        return f"Session({'in memory' if self.folder is None else visible(repr(self.address.text if self.address else str(self.folder)))})"

    def _repr_html_(self) -> str:
        from dreamframe.session.notebook import session_html

        return session_html(self.folder, self._running.stats, summary=self.summary(), is_there=self._opening.is_there)
