"""The seam of engines: what a run hands to an engine, what it gives back, and the table of engines.

An engine decides where rows run, in how many parts and how many at once. What is asked, how samples are numbered and what is kept is the run's: an
engine reaches it through `dreamframe.run.context.RunContext`. So every engine gives the same rows in the same order.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import polars as pl

from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.models.request import Failure
from dreamframe.plan.step import Step, TableStep
from dreamframe.plan.steps.train import Train
from dreamframe.run.context import RunContext
from dreamframe.trainers.job import TrainJob

ENGINES = {"local": "dreamframe.run.engines.local", "ray": "dreamframe.run.engines.ray"}  # name → module, whose `engine()` makes it
SHORT_BATCHES = 8  # a run that is over soon, or stopped early, has rows sooner by them
Feed = pl.DataFrame | pl.LazyFrame  # the rows that enter a segment: a frame where they are in memory anyway


@dataclass(frozen=True, eq=False)
class Segment:
    """Row steps, and separable polars steps between them, lowest first: every row walks through all of them, and needs no other row.

    The first input of the lowest step feeds it. In another process it is what `dreamframe.run.engines.wire` makes of it.
    """

    steps: tuple[Step, ...]
    width: int  # rows that its widest step likes to have in flight
    batch_rows: int  # rows that walk through it together
    window: int  # rows in flight, at most

    @property
    def later_rows(self) -> int:
        """Rows that walk through it together when it has been fed for a while: a batch costs the same whatever its length, and one that is as long as
        the row steps are wide holds up no call."""
        return max(self.batch_rows, min(self.width, 2 * self.batch_rows))


class SegmentResult(NamedTuple):
    """What became of some rows of a segment. An engine gives its results in input order, each row in one of them."""

    rows: pl.DataFrame
    counts: tuple[tuple[int, int], ...]  # for each step: rows that entered it, rows that left it
    failures: tuple[tuple[int, int, Failure], ...] = ()  # (place of the step, position among the rows that entered it, failure)


@runtime_checkable
class Engine(Protocol):
    """Runs the parts of a plan. Its name is what `Session(engine=...)` shows."""

    name: str

    async def query(self, lazy: pl.LazyFrame) -> pl.DataFrame:
        """All rows of a polars query, in memory."""
        ...

    def rows(self, segment: Segment, source: Feed, ctx: RunContext) -> AsyncIterator[SegmentResult]:
        """All rows of `source` through a segment. It may be called again for further rows with the same segment and context, never twice at once.

        Within one call its batches are numbered 0, 1, 2, … in input order.
        Steps that fail a row say so through their context; anything else that is raised ends the run. The iterator is closed when nobody wants more.
        """
        ...

    async def table(self, step: TableStep, tables: tuple[pl.DataFrame, ...], ctx: RunContext) -> SegmentResult:
        """A table step over the rows of its inputs. It stands at place 0 of the context."""
        ...

    async def train(self, step: Train, job: TrainJob) -> Mapping[str, Any]:
        """Train a model, and give the trainer's summary. The models that the trainer starts from are named in its settings. When cancelled, it tells the
        trainer to stop, and waits a while for it to save what it has."""
        ...


def check_engine(engine: str | Engine) -> None:
    """Raise SettingError for a name that is not known, or an object that is not an engine; MissingExtraError where what it needs is not installed."""
    if not isinstance(engine, Engine) and (not isinstance(engine, str) or engine not in ENGINES):
        raise SettingError(f"Session: engine={engine!r} is not one of {', '.join(map(repr, ENGINES))}.")
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        raise MissingExtraError("ray", extra="ray", needed_for="Session(engine='ray')")


def engine_of(engine: str | Engine) -> Engine:
    """The engine itself, or the one of this name."""
    if not isinstance(engine, str):
        return engine
    made: Engine = importlib.import_module(ENGINES[engine]).engine()
    return made


def batches_of(frame: Feed, size: int, later: int | None = None) -> Iterator[pl.DataFrame]:
    """The rows of a query in order, in batches of at most `size` rows; from the ninth on, of `later` rows."""
    sizes = itertools.chain(itertools.repeat(size, SHORT_BATCHES), itertools.repeat(later or size))
    for chunk in [frame] if isinstance(frame, pl.DataFrame) else frame.collect_batches(chunk_size=later or size, maintain_order=True):
        at = 0
        while at < chunk.height:
            batch = chunk.slice(at, next(sizes))
            at += batch.height
            yield batch
