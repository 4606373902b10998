"""Where rows come from: tables in memory and files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import polars as pl

from dreamframe.errors import NotAllowedError, PlanError, SourceChangedError
from dreamframe.identity.files import WRITEBACK_S
from dreamframe.identity.fingerprint import FileMemo, file_digest, fingerprint, frame_digest
from dreamframe.models.authority import shown
from dreamframe.models.provenance import Provenance
from dreamframe.plan.step import Memo, Source, runtime, step
from dreamframe.plan.steps.ailing import ailing, said
from dreamframe.plan.steps.files import files_of, is_marked, names_in_rows
from dreamframe.plan.steps.scanners import scan, widened
from dreamframe.redaction.secret import hidden, is_secret_name
from dreamframe.redaction.visible import harmless

if TYPE_CHECKING:
    from dreamframe.store.sources import SourceContext

T = TypeVar("T")
FAR_AWAY = {"storage_options", "credential_provider", "cloud_options", "retries", "file_cache_ttl", "source", "with_column_names"}
FILES = FileMemo(rest_s=WRITEBACK_S)  # digests of unchanged files, so that a large one is not read twice


@step
class Table(Source):
    """Rows in memory. Their identity is their content."""

    data: pl.DataFrame = runtime()

    @cached_property
    def digest(self) -> str:
        return frame_digest(self.data)

    def content(self, memo: Memo) -> str:  # noqa: ARG002  frozen: the content cannot change
        return self.digest

    def key_fields(self) -> Mapping[str, object]:
        return {}

    def output_schema(self) -> pl.Schema:
        return self.data.schema

    def lazy(self) -> pl.LazyFrame:
        return self.data.lazy()

    def n_out(self, *n_in: int | None) -> int | None:  # noqa: ARG002
        return self.data.height

    def provenance(self) -> tuple[Provenance, ...]:
        own = self.data.columns != ["__sample"]  # the counter behind dr.generate holds no data
        return (Provenance("dataset", f"rows in memory ({', '.join(self.data.columns)})"),) if own else ()

    def describe(self) -> str:
        return f"TABLE {self.data.height} rows"


@step
class ReadTable(Table):
    """Rows that polars read from elsewhere when the plan was built: an address, an open file, a spreadsheet, a database. Their identity is their content."""

    origin: str = runtime()  # for people: where they were

    def provenance(self) -> tuple[Provenance, ...]:
        return (Provenance("dataset", self.origin),)

    def describe(self) -> str:
        return f"READ {self.origin} [{self.data.height} rows]"


def of_the_hub(repo: str, revision: str, license: str | None, citation: str | None) -> Provenance:
    """A data set of the Hub, for the cards."""
    url = f"https://huggingface.co/datasets/{repo}"
    return Provenance("dataset", repo, revision=revision, license=license, citation=citation, url=url, is_on_hub=True)


@step
class HubTable(Table):
    """Rows of a data set of the Hub at one commit. Their identity is their content: a commit that changes the README alone changes nothing."""

    repo: str = runtime()
    config: str | None = runtime()
    split: str = runtime(default="train")
    revision: str = runtime(default="")  # the commit
    license: str | None = runtime()
    citation: str | None = runtime()

    def provenance(self) -> tuple[Provenance, ...]:
        return (of_the_hub(self.repo, self.revision, self.license, self.citation),)

    def describe(self) -> str:
        return f"HUB {self.repo}{f' {self.config}' if self.config else ''} {self.split} @ {self.revision[:7]} [{len(self.schema)} columns]"


@step
class HubStream(Source):
    """Rows of a data set of the Hub at one commit. The record names them; a run reads them, out of its session or from the Hub."""

    repo: str
    config: str | None = None
    split: str = "train"
    revision: str  # the commit
    columns: tuple[tuple[str, Any], ...]  # (name, polars type)
    license: str | None = runtime()
    citation: str | None = runtime()
    token: str | bool | None = field(default=None, repr=False, metadata={"runtime": True, "secret": True})  # of the Hub, where the user gave one
    streaming: bool = runtime(default=True)  # no further than a limit needs; else the whole split at once
    limit: int | None = None  # rows that are needed: part of the key, since two plans of one run may need different ones

    def first(self, n: int) -> Source:
        if not self.streaming or (self.limit is not None and self.limit <= n):
            return self
        return self.but(limit=n)

    def output_schema(self) -> pl.Schema:
        return pl.Schema(dict(self.columns))

    def lazy(self) -> pl.LazyFrame:
        return self._rows(None)

    def read(self, ctx: SourceContext) -> pl.LazyFrame:
        return self._rows(ctx)

    def _rows(self, ctx: SourceContext | None) -> pl.LazyFrame:
        """Out of the session, else from the Hub. A plan that was read tells the Hub who the user is only where that was allowed."""
        from dreamframe.hub.datasets import HubSplit
        from dreamframe.store.sources import SourceContext

        told = False if self.authority is not None and not self.authority.has_repository(self.repo) else self.token
        hub = HubSplit(self.repo, self.config, self.split, ctx or SourceContext(), token=told, authority=self.authority)
        return hub.rows(self.revision, self.limit, self.schema, is_streamed=self.streaming).lazy()

    def provenance(self) -> tuple[Provenance, ...]:
        return (of_the_hub(self.repo, self.revision, self.license, self.citation),)

    def describe(self) -> str:
        how = "" if not self.streaming else " streamed" if self.limit is None else f" streamed, the first {self.limit} rows"
        return f"HUB {self.repo}{f' {self.config}' if self.config else ''} {self.split} @ {self.revision[:7]}{how} [{len(self.schema)} columns]"


@step
class Scan(Source):
    """Rows of one or more files. Their identity is the files' content and the options, not time, and not their paths unless these are in the rows."""

    format: str
    paths: tuple[str, ...] = runtime()
    options: tuple[tuple[str, Any], ...] = ()
    columns: tuple[tuple[str, Any], ...] | None = runtime(default=None)  # (name, polars type) as a plan that was read tells them: reading it opens no file

    def check_reach(self) -> None:
        """Raise NotAllowedError for what a plan that was read may not read. Nothing was looked at before."""
        if self.authority is not None:
            for path in self.paths:
                self.authority.path(path, who=f"scan_{self.format}")
            self.authority.arguments({k: v for k, v in self.options if k.startswith("_") or k in FAR_AWAY}, who=f"scan_{self.format}")

    def check(self) -> None:  # storage_options= may hold keys
        hiding = ((name, hidden(value, name) if name == "storage_options" or is_secret_name(name) else value) for name, value in self.options)
        object.__setattr__(self, "options", tuple(hiding))

    def files(self) -> list[str]:
        """The files as they are now; a glob's matches, and those of a folder, sorted by name. Raises NotAllowedError for those that a plan that was read
        may not read."""
        self.check_reach()
        files = files_of(self.format, self.paths, as_they_are=dict(self.options).get("glob") is False)
        if self.authority is not None:
            for file in files:  # a link may lead anywhere
                self.authority.path(file, who=f"scan_{self.format}")
        return files

    def content(self, memo: Memo) -> str:  # noqa: ARG002
        files = self.files()
        digests = [file_digest(f, FILES) for f in files]
        has_late = widened(self.format, files, dict(self.options), self.schema)
        names = names_in_rows(self.format, self.paths, files, dict(self.options))
        if self.format == "text" and any(map(is_marked, files)):
            names.append("without marks")  # read with them once, which rows that were kept then would still be
        if has_late:
            names.append("all columns")  # those that the first 100 lines did not name were left out once
        return fingerprint([digests, *names] if names else digests)

    def check_unchanged(self, memo: Memo) -> None:
        """Raise SourceChangedError if the files are no longer what their key in `memo` says: what was read may be half of each."""
        known = memo.get(("content", id(self)))
        if known is None:
            return
        try:
            is_same = self.content({}) == known[1]
        except (PlanError, FileNotFoundError):  # they are gone
            is_same = False
        if not is_same:
            raise SourceChangedError(f"scan_{self.format}: {', '.join(self.paths)} changed while it was read; run again.")

    def output_schema(self) -> pl.Schema:
        if self.columns is not None:
            return pl.Schema(self.columns)
        unlisted = [p for p in self.paths if self.authority is not None and not self.authority.has_path(p)]
        if unlisted:
            what = f"scan_{self.format}: the plan does not say which columns {', '.join(map(shown, unlisted))} has, and reading it opens no file to find out"
            raise NotAllowedError(f"{what}. If it may be opened: allow=[{', '.join(map(shown, unlisted))}].")
        schema = self._whole(lambda: self._read().collect_schema())
        if self.format == "csv" and any("\0" in name for name in schema):  # text of 16 bits, read as if it were of 8
            raise PlanError(f"scan_{self.format}: {ailing(self.format, self.paths, self.files(), dict(self.options))}")
        return schema

    def _whole(self, read: Callable[[], T]) -> T:
        """What a reader gives; its error as a PlanError that names the file."""
        try:
            return read()
        except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as exc:
            found = ailing(self.format, self.paths, self.files(), dict(self.options)) or f"{', '.join(self.paths)}: {said(exc)}"
            raise PlanError(f"scan_{self.format}: {found}") from harmless(exc)

    @property
    def is_cut_anywhere(self) -> bool:
        """Whether any piece of the rows can be read without those before it."""
        return self.format in ("parquet", "ipc")

    def n_bytes(self) -> int:
        """What the files have."""
        return sum(Path(f).stat().st_size for f in self.files())

    def ailing(self) -> str:
        """What is wrong with a file, found by reading each whole; nothing if each can be read."""
        return ailing(self.format, self.paths, self.files(), dict(self.options), is_read=True)

    def lazy(self) -> pl.LazyFrame:
        rows = self._whole(self._read)
        if (now := self._whole(rows.collect_schema)) != self.schema:
            raise SourceChangedError(
                f"scan_{self.format}: {', '.join(self.paths)} has other columns than when the plan was made: {_columns(now)} instead of "
                f"{_columns(self.schema)}. Make the frame anew."
            )
        return rows

    def _read(self) -> pl.LazyFrame:
        return scan(self.format, self.paths, self.files(), dict(self.options))

    def provenance(self) -> tuple[Provenance, ...]:
        return tuple(Provenance("dataset", Path(p).name) for p in self.paths)

    def describe(self) -> str:
        return f"SCAN {self.format} {', '.join(Path(p).name for p in self.paths)} [{len(self.schema)} columns]"

    def explained(self) -> str:
        paths = ", ".join(p if p.isprintable() and "," not in p else shown(p) for p in self.paths)
        return f"SCAN {self.format} {paths} [{len(self.schema)} columns]"


def _columns(schema: pl.Schema, *, most: int = 10) -> str:
    told = [f"{name}: {dtype}" for name, dtype in schema.items()]
    return ", ".join(told[:most] + [f"and {len(told) - most} more"] * (len(told) > most))


@step
class KeptScan(Source):
    """Rows of files that are elsewhere, as a session kept them. Its key is the scan's, so that what was made of it is found again."""

    data: pl.DataFrame = runtime()
    described: str = runtime(default="")
    kept_key: str
    is_claimed: bool = False  # a text says that these are the rows of that key, and no session

    @property
    def label(self) -> str:
        return self.name or "kept"

    def check(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{32}", self.kept_key):
            raise PlanError(f"{self.label}: {self.kept_key!r} is not the key of a step: 32 hexadecimal digits.")

    @cached_property
    def _claimed_key(self) -> str:
        return fingerprint((self.kept_key, frame_digest(self.data)))

    def key_now(self, memo: Memo) -> str:  # noqa: ARG002  known since the files were read
        """That of the scan. Rows that only a text says are those files' are something else: what is made of them is not filed under the files' key."""
        return self._claimed_key if self.is_claimed else self.kept_key

    def output_schema(self) -> pl.Schema:
        return self.data.schema

    def n_out(self, *n_in: int | None) -> int | None:  # noqa: ARG002
        return self.data.height

    def lazy(self) -> pl.LazyFrame:
        return self.data.lazy()

    def provenance(self) -> tuple[Provenance, ...]:
        return (Provenance("dataset", self.described),)

    def describe(self) -> str:
        return f"KEPT {self.described} [{len(self.schema)} columns]"


@step
class LeftOut(Source):
    """Rows that were not published with their plan. It has their key, so that what a session holds of them is found, and no rows."""

    columns: tuple[tuple[str, Any], ...] = runtime(default=())  # (name, polars type)
    n_rows: int = runtime(default=0)
    kept_key: str

    def check(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{32}", self.kept_key):
            raise PlanError(f"{self.label}: {self.kept_key!r} is not the key of a step: 32 hexadecimal digits.")

    def key_now(self, memo: Memo) -> str:  # noqa: ARG002  known since the plan was published
        return self.kept_key

    def output_schema(self) -> pl.Schema:
        return pl.Schema(dict(self.columns))

    def lazy(self) -> pl.LazyFrame:
        wanted = ", ".join(f"{name}: {dtype}" for name, dtype in self.columns)
        raise PlanError(
            f"{self.label}: the {self.n_rows} rows that this plan began with were not published with it, and the session does not hold what was made of "
            f"them. Hand over rows of your own with the columns {wanted}: dr.from_hub(…, rows=[frame])."
        )

    def provenance(self) -> tuple[Provenance, ...]:
        return (Provenance("dataset", f"rows in memory ({', '.join(name for name, _ in self.columns)})"),)

    def describe(self) -> str:
        return f"ROWS that were not published [{len(self.columns)} columns]"
