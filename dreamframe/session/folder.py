"""Looking after a session: is it whole, what may go, the plans that it keeps, and taking it elsewhere."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from dreamframe.errors import SettingError
from dreamframe.plan.step import ModelStep, Step
from dreamframe.plan.steps.source import HubStream, HubTable

if TYPE_CHECKING:
    from dreamframe.frame.frame import Frame
    from dreamframe.frame.model import Model
    from dreamframe.plan.json.read import Given
    from dreamframe.store.care import Kept
    from dreamframe.store.stores import Stores


class HasStep(Protocol):
    """A frame or a model."""

    @property
    def step(self) -> Step: ...


class SessionCare:
    """What a session can do with its folder, besides running plans."""

    folder: Path | None

    if TYPE_CHECKING:

        @property
        def stores(self) -> Stores: ...

        def __init__(self, folder: str | Path | None, **settings: Any) -> None: ...

        def planned(self, step: Step) -> Step: ...

    # Plans

    def plans(self) -> list[dict[str, Any]]:
        """The plans that were run here and asked a model, ran a function of yours or trained: `name`, `key`, `kind` ("frame" or "model"), `columns`,
        `explain`, the versions of Python and the libraries, the `script` that ran it (a file in `scripts/`, with `dr.Session(keep_script=True)`; where it
        could not be kept, `script_problem` says why), and the `problem` of one that no text can hold.

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
        ...     [(plan["label"], plan["kind"], plan["columns"]) for plan in session.plans()]
        [('said', 'frame', ['t', 'said'])]
        """
        from dreamframe.session import plans as kept_plans

        return kept_plans.listed(self.stores)

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
        from dreamframe.session import plans as kept_plans

        return kept_plans.load(self.stores, name, functions=functions, allow=allow, trust_remote_code=trust_remote_code)

    # Care

    def verify(self) -> list[dict[str, str]]:
        """Read every byte of the folder and say what is not as it was written: `path` and `problem` of each. Nothing is changed.

        The next run sets damaged files aside with a warning, and makes what they held again when it is needed.

        >>> with dr.Session("./output") as session:
        ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="a").collect()
        ...     session.verify()
        []
        """
        return [{"path": p.path, "problem": p.what} for p in self.stores.verify()]

    def gc(self, *, keep: Sequence[HasStep] | None = None, dry_run: bool = False) -> list[dict[str, Any]]:
        """Remove what nobody needs, and say what it was and what it is worth: `path`, `bytes`, `why`, `cost` (US dollars that the calls behind it cost;
        None where a price is not known) and `seconds` (that a training took) of each. With `dry_run=True` nothing is removed.

        Without `keep`: what interrupted sessions left, and damaged files that were set aside. With frames and models to `keep`: also the outputs, models,
        kept plans, rows and scripts of all other plans. Answers are never removed, so whatever went is made again without paying; a model is trained
        again. No model is removed while it is not known which one a kept plan trained. Other sessions may be at work meanwhile.

        >>> with dr.Session("./output") as session:
        ...     kept = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="a")
        ...     _ = dr.collect_all([kept, kept.prompt(dr.testing.Echo(), "{a}", into="b")])
        ...     [(gone["path"].split("-")[0], gone["why"], gone["cost"]) for gone in session.gc(keep=[kept])]
        [('steps/b', 'not kept', 0.0), ('plans/b', 'not kept', 0.0)]
        """
        kept = None if keep is None else self._reachable([plan for frame in keep for plan in (frame.step, self.planned(frame.step))])
        removed = self.stores.gc(kept=kept, dry_run=dry_run)
        return [{"path": r.path, "bytes": r.n_bytes, "why": r.why, "cost": r.cost, "seconds": r.seconds} for r in removed]

    def _reachable(self, plans: Sequence[Step]) -> Kept:
        """What the plans are found by: the keys of their steps and models, the files that their records name."""
        from dreamframe.store.care import Kept

        memo: dict[Any, Any] = {}
        nodes = [node for plan in plans for node in plan.walk()]
        steps = {node.key(memo) for node in nodes}
        known = {e["key"]: str(e["model"]) for e in self.stores.log.read() if e.get("event") == "model" and e.get("key") in steps}
        trained = {node.key(memo) for node in nodes if isinstance(node, ModelStep)}
        files: set[str] = set()
        for record in self.stores.plans.all():
            if record.get("key") in steps:
                files |= {f"{record['name']}.json", str(record.get("script")), *_rows_of(record)}
        for node in nodes:
            if isinstance(node, HubTable | HubStream):
                files |= self.stores.sources.names_of(repo=node.repo, config=node.config, split=node.split)
        return Kept(steps=steps, models=set(known.values()) if trained <= known.keys() else None, files=files)

    def export(self, archive: str | Path) -> Path:
        """Write the whole session into one file that ends in .tar, .tar.gz or .tar.zst; the same session gives the same bytes.

        Whoever loads it replays every run over the same data without a key: `dr.Session.load(archive, folder)`, then the same script, or
        `session.plan(name).collect()`. It holds no key and no path of this machine, but every prompt and answer, the rows, the plans and the scripts
        that were kept. Files that no session writes are left out, with a warning. Raises SettingError for a session in memory.
        """
        from dreamframe.store import archive as archives

        if self.folder is None:
            raise SettingError("Session.export: a session in memory has no folder to write; open it with dr.Session(folder).")
        self.stores.answers.flush()
        return archives.export(self.folder, Path(archive).absolute())

    @classmethod
    def load(cls, archive: str | Path, folder: str | Path, *, max_bytes: int | None = None, **settings: Any) -> Self:
        """Make a new folder out of an exported session, and open it; settings as of `dr.Session`.

        The folder is there when all of it was read and is as it was exported; else there is none. Only what `export` writes is taken: no checkpoint, no
        pickle, no link. Nothing is executed, and nothing is written outside `folder`. But the answers, rows and models are those of whoever made the
        archive, and are used as they are: load what you would believe.

        An archive may unfold to 1 GiB or, if that is more, to 200 times its own size, and never to more than 1 TiB; `max_bytes` says another limit.
        Raises CorruptFileError for what is damaged or is not a session, SessionFormatError for one of a newer dreamframe, SettingError if the folder is
        not empty.
        """
        from dreamframe.store.unpack import unpack

        made = cls(folder, **settings)  # a wrong setting is said before anything is written
        unpack(Path(archive).absolute(), Path(folder).absolute(), max_bytes=max_bytes)
        return made


def _rows_of(record: Mapping[str, Any]) -> Iterator[str]:
    """The files of the rows that a kept plan names."""
    from dreamframe.store.layout import entry_name

    for step in record.get("steps") or ():
        held = step.get("rows") if isinstance(step, Mapping) else None
        if isinstance(held, Mapping) and "kept" in held and "label" in held:
            yield from (f"{entry_name(str(held['label']), str(held['kept']))}{suffix}" for suffix in (".json", ".arrow"))
