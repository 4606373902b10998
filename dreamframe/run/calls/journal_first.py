"""How a run asks: the journal first, then the model, every answer written as it arrives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import polars as pl

from dreamframe.errors import CallError, DreamframeError, OfflineError
from dreamframe.models.answer import as_read, thoughts_in
from dreamframe.models.request import Completion, Failure, Question, Replies, Request
from dreamframe.run.calls.batch_api import AnyAsker, BatchAskers
from dreamframe.run.calls.caller import Asker
from dreamframe.run.calls.clients import asker_for
from dreamframe.run.calls.renewal import Renewal
from dreamframe.run.calls.spend import Spend
from dreamframe.run.options import RunOptions
from dreamframe.run.stats import RunStats, StepStats
from dreamframe.store.answers import SAID, Answers
from dreamframe.store.shared_limits import SharedLimits
from dreamframe.store.stores import Stores

POLL_S = 0.05  # how often to look for the answers that another session is asking for
PATIENCE_S = 600.0  # how long to wait for one whose session shows no sign of life: it is stuck, and the row is asked for here as well
GRACE_S = 5.0  # how long a run that is stopped waits for the answers that it has paid for
BEAT_S = 60.0  # how often a session that asks for rows of others says that it is at work


class RunAsking:
    """What one run lends to the askers: where answers go, what is counted, whether a call may leave."""

    def __init__(self, answers: Answers, stats: RunStats, *, spend: Spend, options: RunOptions) -> None:
        self._answers = answers
        self._stats = stats
        self._options = options
        self._spend = spend
        self.lacking: DreamframeError | None = None  # what this machine lacks to ask, or to train
        self._batches: BatchAskers | None = None
        self._askers: dict[int, tuple[Any, AnyAsker]] = {}  # id(settings) → they, and whom this run asks
        self._left: list[bytes] = []  # claimed for requests whose asker was cancelled: some may be in flight
        self._renewing = Renewal(answers, options.renew)
        self.asked_now: set[bytes] = set()  # requests without a kept answer so far; filled only where a retry wants to know
        self._beats: list[asyncio.Task[None]] = []  # what is told to other processes on the folder, again and again
        self.limits: SharedLimits | None = None  # what they keep together with this one

    def in_batches(self, stores: Stores) -> None:
        """Ask through the providers' batch APIs, where they have one."""
        if stores.batch_askers is None:
            stores.batch_askers = BatchAskers(stores, keep=self._keep)
        self._batches = stores.batch_askers

    def check_ready(self) -> None:
        """Raise what this machine lacks, before the first call leaves or the first training begins."""
        if self.lacking is not None:
            raise self.lacking

    async def close(self) -> None:
        """The run is over: nothing of it waits any more. Calls that are in flight are paid for, and may come back yet."""
        try:
            await asyncio.gather(*(asker.landed(self, GRACE_S) for asker in {asker for _, asker in self._askers.values()}))
        finally:  # also for one who does not wait for them
            self._answers.release(self._left)
            for beat in self._beats:
                beat.cancel()
            self._beats.clear()
            self._spend.close()
        await self._renewing.commit()

    async def ask(self, stats: StepStats, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:
        """Answers to a batch of prompts, in their order."""
        requested = keys
        keys = self._renewing.keys(keys, all_of=stats.is_refreshed)
        found, as_of = self._answers.lookup(keys), self._answers.n_news
        asked = [(i, key) for i, (key, is_there) in enumerate(zip(keys, found["found"], strict=True)) if key is not None and not is_there]
        missing, n_skipped = [i for i, _ in asked], keys.count(None)
        stats.requests += len(prompts)
        stats.skipped += n_skipped
        stats.cached += len(prompts) - len(missing) - n_skipped
        failures: dict[int, Failure] = {}
        if missing and self._options.retry is not None:
            self.asked_now.update(key for i in missing if (key := requested[i]) is not None)
        if missing:
            texts = prompts.gather(missing).to_list() if len(missing) < len(prompts) else prompts.to_list()
            requests = [Request(question, text, samples[i], key, stats) for (i, key), text in zip(asked, texts, strict=True)]
            while self._answers.is_behind:
                await asyncio.sleep(POLL_S)
            failed = self._missing_offline(requests) if self._options.offline else await self._ask_once(question, requests, stats, order, as_of)
            failures = {missing[i]: failure for i, failure in failed.items()}
            stats.lost += len(failures)
            frame = self._answers.said(keys)
        else:
            frame = found.select(SAID)
        if question.form != "input":
            frame = as_read(frame)
            if question.sampling.max_tokens is not None:
                stats.truncated += int((frame.get_column("finish") == "length").sum())
        thoughts = thoughts_in(self._answers.lookup(keys)) if question.tells_thoughts else ()
        return Replies(frame, failures, samples, requested, thoughts)

    async def _ask_once(self, question: Question, requests: Sequence[Request], stats: StepStats, order: int, as_of: int) -> dict[int, Failure]:
        """Ask what nobody asks now, and wait for the answers that another session on this folder is asking for. Failures by position.

        `as_of` tells which news of other sessions were known when the requests were looked up.
        """
        failures: dict[int, Failure] = {}
        todo = list(range(len(requests)))
        if not self._beats:
            self._spend.begin()
            self._beats += [asyncio.create_task(self._show_life()), asyncio.create_task(self._spend.share())]
            await asyncio.to_thread(self._answers.prepare)
            as_of = -1  # another run of this session may have been answered meanwhile
        others = self._others(question)
        while todo:
            ours = self._answers.claim([requests[i].key for i in todo], patience_s=PATIENCE_S)
            if others:  # the same model, asked with another key or another pace: whoever asks first pays
                ours = [is_ours and not any(o.is_asking(requests[i].key) for o in others) for i, is_ours in zip(todo, ours, strict=True)]
            mine = [i for i, is_ours in zip(todo, ours, strict=True) if is_ours]
            todo = [i for i, is_ours in zip(todo, ours, strict=True) if not is_ours]
            try:
                if mine and (asked := self._still_missing(mine, requests, stats, as_of)):
                    failed = await self._ask(question, [requests[i] for i in asked], stats, order)
                    failures |= {asked[i]: failure for i, failure in failed.items()}
            except asyncio.CancelledError:
                self._left += [requests[i].key for i in mine]
                mine = []
                raise
            finally:
                self._answers.release([requests[i].key for i in mine])
            as_of = -1  # own answers may have come while we waited, too
            if todo:
                await asyncio.sleep(POLL_S)
                todo = self._still_missing(todo, requests, stats, as_of)
        return failures

    def _still_missing(self, positions: list[int], requests: Sequence[Request], stats: StepStats, as_of: int) -> list[int]:
        """Those that no other session has answered meanwhile: all of them if there was no news since."""
        self._answers.refresh()
        if self._answers.n_news == as_of:
            return positions
        found = self._answers.lookup([requests[i].key for i in positions])["found"].to_list()
        stats.cached += sum(found)
        return [i for i, is_found in zip(positions, found, strict=True) if not is_found]

    async def _ask(self, question: Question, requests: Sequence[Request], stats: StepStats, order: int) -> dict[int, Failure]:
        self.check_ready()
        if stats.first_asked is None:
            stats.first_asked = time.monotonic()
        failures = await self._asker(question).ask(requests, self, order=order)
        for position in failures:
            self._spend.release(requests[position])
        return failures

    def _asker(self, question: Question) -> AnyAsker:
        """Who asks a question."""
        llm: Any = question.llm
        known = self._askers.get(id(llm))
        if known is None:  # who it is takes as long to find out as a row to ask
            known = self._askers[id(llm)] = (llm, asker_for(llm) if self._batches is None else self._batches.asker_for(llm))
        return known[1]

    def _others(self, question: Question) -> Sequence[Asker]:
        """Who else asks for this run."""
        if not self._askers or (len(self._askers) == 1 and id(question.llm) in self._askers):
            return []  # most runs ask one model, and what it lacks is not looked for before something is asked
        mine = self._asker(question)
        return [a for a in dict.fromkeys(a for _, a in self._askers.values()) if a is not mine and isinstance(a, Asker)]

    async def _show_life(self) -> None:
        """Say again and again that the rows which this session claims are being asked for: an answer may take longer than others' patience."""
        while True:
            await asyncio.sleep(BEAT_S)
            self._answers.show_life()

    def _missing_offline(self, requests: Sequence[Request]) -> dict[int, Failure]:
        error = OfflineError("no answer in the session, and offline=True allows no call")
        return {i: Failure.of(error, request=r.prompt, attempts=0) for i, r in enumerate(requests)}

    # dreamframe.run.calls.caller.Asking

    def permit(self, request: Request) -> bool:
        return self._spend.permit(request)

    def answered(self, request: Request, completion: Completion, *, paid: bool) -> None:
        c = completion
        if c.text is not None and not isinstance(c.text, str):
            raise TypeError(f"{type(request.question.llm).__name__}: an answer's text is a str or None, and its client gave a {type(c.text).__name__}.")
        if not type(c.n_in) is type(c.n_out) is type(c.n_cached) is type(c.n_reasoning) is int:
            given = f"n_in={c.n_in!r}, n_out={c.n_out!r}, n_cached={c.n_cached!r}, n_reasoning={c.n_reasoning!r}"
            raise TypeError(f"{type(request.question.llm).__name__}: numbers of tokens are ints, and its client gave {given}.")
        stats: StepStats = request.owner
        if paid or not self._answers.is_fresh(request.key):
            self._keep(request.key, c)
        if paid:
            stats.count(c, self._spend.settle(request, c))
        else:
            stats.cached += 1

    def _keep(self, key: bytes, c: Completion) -> None:
        self._answers.append(key, c.text, c.data, c.finish, c.n_in, c.n_out, c.n_cached, c.n_reasoning, c.model, c.kept_extra())

    def released(self, request: Request, error: CallError | None = None) -> None:  # noqa: ARG002
        self._spend.release(request)

    def retrying(self, request: Request, error: CallError, wait_s: float) -> None:  # noqa: ARG002
        self._spend.release(request)
        request.owner.retries += 1
