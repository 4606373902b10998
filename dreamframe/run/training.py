"""Trainings of a run: keyed by settings and the content of the rows, so that the same rows from another plan train nothing again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.errors import AnswerError, FingerprintError, TrainingError
from dreamframe.identity.fingerprint import answer_keys, fingerprint, frame_digest, reads_files
from dreamframe.identity.whose_code import is_library
from dreamframe.models.answer import usable
from dreamframe.models.base import Artefact
from dreamframe.models.pinned import changed
from dreamframe.models.request import Question
from dreamframe.plan.hidden import readable
from dreamframe.plan.step import ModelStep, Step
from dreamframe.plan.steps.train import Train, model_name
from dreamframe.run.engines.base import Engine
from dreamframe.run.stage import Stage
from dreamframe.run.state import RunState
from dreamframe.trainers.job import TrainJob

Whole = Callable[[Step, Sequence[Step]], Awaitable[tuple[pl.DataFrame, ...]]]
POLL_S = 0.5  # how often to look whether another session has trained a model


class Trainings:
    """Finds or makes the artefact of each model step of a run."""

    def __init__(self, state: RunState, engine: Engine, whole: Whole) -> None:
        self._state, self._engine = state, engine
        self._whole = whole  # all rows of a step's inputs
        self._tasks: dict[str, asyncio.Task[Artefact]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def artefact(self, step: ModelStep) -> Artefact:
        """The folder a step was trained into; trained now if it was not before."""
        key = self._state.written_key(step)
        if key not in self._tasks:
            assert isinstance(step, Train)
            self._tasks[key] = asyncio.create_task(self._find_or_train(step))
        made = await self._tasks[key]
        self._state.trained[key] = self._state.trained[self._state.key(step)] = made  # a model among fields is the step as written, an input as it runs
        self._state.stats.models[key] = made.key
        return made

    async def _find_or_train(self, step: Train) -> Artefact:
        await asyncio.gather(*(self.artefact(i) for i in step.inputs if isinstance(i, ModelStep)))
        tables = [self._as_roles(step, t) for t in await self._whole(step, step.inputs)]
        trainer = step.trainer.resolve(lambda model: self._state.trained[self._state.key(model.step)])
        digests = [await asyncio.to_thread(frame_digest, t) for t in tables]
        if is_library(type(trainer)) and reads_files(dict(trainer.key_fields())):
            raise FingerprintError(
                f"{step.label}: a function of yours (a reward, a metric) reads files or runs a program, and the model would be kept when they change. "
                "Wrap it: dr.versioned(function, version=1, depends=[path])."
            )
        identity = await asyncio.to_thread(trainer.identity_fields)
        if step.key_now(self._state.memo) != self._state.key(step):
            raise changed(step, "that it starts from")
        key = fingerprint((identity, digests, (trainer.kept_by_validation() or True) if step.has_validation else False))
        models = self._state.stores.models
        if (folder := models.find(key)) is not None:
            self._found()
            return Artefact(str(folder), key)
        self._may_train(step)
        if tables[0].height == 0 and trainer.needs_rows:
            raise TrainingError(f"{step.label}: there are no rows to train on; look at the frame with .show() or at df.failures().")
        while not models.lease(key):  # another session trains it now: its model is ours, too
            await asyncio.sleep(POLL_S)
        try:
            if (folder := models.find(key)) is not None:
                self._found()
                return Artefact(str(folder), key)
            async with self._one_at_a_time:  # each wants the whole machine
                if fingerprint(await asyncio.to_thread(trainer.identity_fields)) != fingerprint(identity):
                    raise changed(step, "that it starts from")
                folder = await self._train(step, trainer, tables, key)
        finally:
            models.release(key)
        self._state.stats.trained += 1
        return Artefact(str(folder), key)

    def _found(self) -> None:
        self._state.stats.reused += 1
        self._state.stats.models_reused += 1

    def _may_train(self, step: Train) -> None:  # noqa: ARG002  an estimate names it
        """Raise what speaks against a training, before it begins."""
        self._state.asking.check_ready()

    def _as_roles(self, step: Train, table: pl.DataFrame) -> pl.DataFrame:
        return table.select(pl.col(column).alias(role) for role, column in step.columns)

    async def _train(self, step: Train, trainer: Any, tables: list[pl.DataFrame], key: str) -> Path:
        models = self._state.stores.models
        workdir = models.workdir(key, step.label)
        paths = [workdir / f"{name}.arrow" for name, _ in zip(("rows", "validation"), tables, strict=False)]
        for path, table in zip(paths, tables, strict=True):
            table.write_ipc(path, compat_level=pl.CompatLevel.oldest())
        stats = self._state.stats.step(step.label, model=model_name(step.trainer.base), key=self._state.written_key(step))
        stats.unit, stats.place = "steps", self._state.place(step)
        stats.learns({"step": 0.0})  # whoever looks on sees a training from its begin

        job = TrainJob(
            rows=paths[0],
            validation=paths[1] if step.has_validation else None,
            workdir=workdir,
            out=workdir / "out",
            progress=stats.learns,
            ask=self._asker(step),
        )
        began = time.time()
        summary = await self._engine.train(replace(step, trainer=trainer), job)
        stats.ended = time.monotonic()
        made = {"trainer": type(trainer).__name__, "describe": readable(step.describe()), "rows": tables[0].height}
        record = {**made, "began": began, "took_s": time.time() - began, **summary}
        return Path(models.commit(key, step.label, job.out, self._state.hides([step]).value(record)))

    def _asker(self, step: Train) -> Callable[[Question, Sequence[str]], list[str | None]]:
        """Asking for a trainer's thread: through the run's journal, limits and counts. Equal requests are one request."""
        loop = asyncio.get_running_loop()
        stages: dict[str, Stage] = {}

        def ask(question: Question, prompts: Sequence[str]) -> list[str | None]:
            label = f"{step.label} reward"
            stage = stages.setdefault(question.digest, Stage(step, self._state.stats.step(label, model=getattr(question.llm, "label", ""))))
            texts, samples = pl.Series(prompts, dtype=pl.String), [0] * len(prompts)
            asking = self._state.ask(stage, question, answer_keys(question.key_prefix, texts, samples), texts, samples, 0)
            replies = asyncio.run_coroutine_threadsafe(asking, loop).result()
            if replies.failures:
                first = replies.failures[min(replies.failures)]
                raise TrainingError(f"{label}: {len(replies.failures)} of {len(prompts)} requests failed; the first: {first.error}: {first.message}")
            stage.stats.rows += len(prompts)
            limit = question.sampling.max_tokens
            return [_text_of(text, finish, limit) for text, finish in replies.answers.select("text", "finish").iter_rows()]

        return ask


def _text_of(text: str | None, finish: str, max_tokens: int | None) -> str | None:
    """A judge's words; None where it gave none."""
    try:
        return usable(text, finish, max_tokens=max_tokens)
    except AnswerError:
        return None
