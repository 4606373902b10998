"""A small session at work, and what must be true of the folder whenever it is cut short."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import polars as pl

from dreamframe.errors import StoreError
from dreamframe.store.stores import Stores, stores_on
from tests.faults.disk import Crash, Disk
from tests.storing import give, step_key, store_step, table_of, texts, warned

STEPS = 3
ROWS = 8  # answers a step
LONG = "a long answer " * 40  # over several sectors


@dataclass
class Done:
    """What the session was told to be finished before it ended."""

    answers: int = 0  # flushed
    steps: int = 0  # committed
    models: int = 0


def said(i: int) -> str:
    return f"{LONG} {i}"


@lru_cache
def expected(n: int) -> pl.DataFrame:
    return table_of(ROWS, said=f"step {n}, row")


@dataclass
class Work:
    """Three steps: each asks, flushes and stores its output; the last one trains a model. Whatever is there already is not done again."""

    disk: Disk
    at_once: int = 2  # answers a write
    done: Done = field(default_factory=Done)
    asked: int = 0
    trained: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self) -> Done:
        """Do everything, until the disk stops."""
        stores: Stores | None = None
        try:
            stores = stores_on(self.disk)
            for n in range(STEPS):
                self._step(stores, n)
            self._train(stores)
            stores.log.write([{"event": "run", "asked": self.asked}])
            stores.answers.close()
        except Crash:
            if stores is not None:
                end_threads(stores)
        return self.done

    def _step(self, stores: Stores, n: int) -> None:
        assert stores.steps is not None
        if stores.steps.find(step_key(n)) is None:
            wanted = range(n * ROWS, (n + 1) * ROWS)
            missing = [i for i, text in zip(wanted, texts(stores.answers, wanted), strict=True) if text is None]
            self.asked += len(missing)
            for start in range(0, len(missing), self.at_once):
                give(stores.answers, missing[start : start + self.at_once], said=LONG)
                stores.answers._drain()  # as after 20 ms: written, and not synced
            stores.answers.flush()
            self._must(texts(stores.answers, wanted) == [said(i) for i in wanted], f"step {n} reads wrong answers")
            self.done.answers = (n + 1) * ROWS
            self._must(store_step(stores, n, expected(n)).equals(expected(n)), f"step {n} stores other rows")
        self.done.answers = (n + 1) * ROWS
        self.done.steps = n + 1

    def _must(self, holds: bool, else_: str) -> None:
        if not holds:
            self.wrong.append(else_)

    def _train(self, stores: Stores) -> None:
        if stores.models.find(step_key(STEPS)) is None:
            out = stores.models.workdir(step_key(STEPS), "SFT") / "out"
            self.disk.mkdir(out)
            for name in self.disk.listdir(out):
                self.disk.unlink(out / name)
            weights = self.disk.append(out / "adapter.safetensors")
            weights.write(b"weights" * 200)
            weights.close()
            self.trained += 1
            stores.models.commit(step_key(STEPS), "SFT", out, {"loss": 1})
        self.done.models = 1


def end_threads(stores: Stores) -> None:
    """The process of these stores is gone: so are its threads."""
    try:
        stores.answers.close()
    except Crash:
        return


def check(disk: Disk, done: Done) -> list[str]:
    """What is wrong with the folder that a session left after `done`: nothing, if the store keeps its promises. Then run everything again."""
    wrong: list[str] = []
    with warned() as warnings:
        try:
            stores = stores_on(disk)
        except StoreError as exc:
            return [f"the folder cannot be opened: {exc}"]
        assert stores.steps is not None
        found = texts(stores.answers, range(STEPS * ROWS))
        for i, text in enumerate(found):
            if text is None and i < done.answers:
                wrong.append(f"answer {i} is lost")
            if text is not None and text != said(i):
                wrong.append(f"answer {i} is {text[:20]!r}")
        for n in range(STEPS):
            output = stores.steps.find(step_key(n))
            if output is None and n < done.steps:
                wrong.append(f"step {n} is lost")
            if output is not None and not output.rows().equals(expected(n)):
                wrong.append(f"step {n} has other rows")
        if stores.models.find(step_key(STEPS)) is None and done.models:
            wrong.append("the model is lost")
        stores.answers.close()
        again = Work(disk, at_once=ROWS)  # nothing cuts this one short
        if again.run() != Done(STEPS * ROWS, STEPS, 1):
            wrong.append("running again does not finish")
        wrong += again.wrong
        if again.asked > found.count(None):
            wrong.append(f"{again.asked} questions were asked again where {found.count(None)} answers were missing")
    journal = str(disk.root / "answers")
    wrong += [f"torn entry visible: {text}" for text in warnings if not text.startswith(journal)]
    if len(warnings) > 1:
        wrong.append(f"{len(warnings)} warnings")
    return wrong
