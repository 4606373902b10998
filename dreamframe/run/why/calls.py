"""Asking that only looks: requests are answered out of the journal, and what each row asked is noted."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl

from dreamframe.models.answer import as_read, thoughts_in
from dreamframe.models.base import Artefact
from dreamframe.models.menu import told_of
from dreamframe.models.request import Completion, Failure, Question, Replies, Request
from dreamframe.plan.step import ModelStep
from dreamframe.run.calls.spend import Spend
from dreamframe.run.samples import Samples
from dreamframe.run.state import RunState
from dreamframe.run.why.story import CallTold
from dreamframe.store.answers import SAID

NOT_KEPT = "NotKept"
FLOAT32 = 4  # bytes
TIMES = "how long the call took and how many tries it needed were not kept when this was answered"


@dataclass
class Looking:
    """`dreamframe.run.context.RunContext` for steps that are run again over kept answers, batch by batch or for one row."""

    state: RunState
    spend: Spend
    firsts: dict[int, int] | None = None  # place of a step → the number of its first sample of the one row; None: samples are counted
    noted: dict[int, list[CallTold]] | None = None  # by place; None: nothing is noted
    numbered: dict[int, list[int]] = field(default_factory=dict)  # place → the numbers given so far, where samples are counted
    _kept: dict[int, dict[str, Any]] = field(default_factory=dict)
    _samples: dict[int, Samples] = field(default_factory=dict)

    def one(self, firsts: dict[int, int], noted: dict[int, list[CallTold]] | None) -> Looking:
        """The same for one row, with what the steps have made so far."""
        return Looking(self.state, self.spend, firsts, noted, _kept=self._kept)

    async def number(self, place: int, order: int, keys: Sequence[bytes | None]) -> list[int]:
        if self.firsts is not None:
            first, seen = self.firsts.get(place, 0), dict[bytes | None, int]()
            numbers = []
            for key in keys:
                numbers.append(0 if key is None else first + seen.get(key, 0))
                seen[key] = seen.get(key, 0) + 1
            return numbers
        numbers = await self._samples.setdefault(place, Samples()).number(order, keys)
        self.numbered.setdefault(place, []).extend(numbers)
        return numbers

    async def ask(self, place: int, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:  # noqa: ARG002
        now = self.state.stores.answers.renewals.now(keys)
        found = self.state.stores.answers.glance(now)
        missing = [i for i, (key, is_there) in enumerate(zip(keys, found["found"], strict=True)) if key is not None and not is_there]
        failures = {i: Failure(NOT_KEPT, "the session has no answer to this request", "", 0) for i in missing}
        if self.noted is not None:
            calls = [self._told(question, p, s, k, f) for p, s, k, f in zip(prompts, samples, now, found.iter_rows(named=True), strict=True) if k is not None]
            self.noted.setdefault(place, []).extend(calls)
        said = found.select(SAID)
        thoughts = thoughts_in(found) if question.tells_thoughts else ()
        return Replies(said if question.form == "input" else as_read(said), failures, samples, keys, thoughts)

    def are_kept(self, keys: Sequence[bytes | None]) -> list[bool]:
        """Whether each request has an answer."""
        answers = self.state.stores.answers
        return answers.glance(answers.renewals.now(keys))["found"].to_list()

    def walks(self, place: int, n_in: int, n_out: int | None) -> None:
        """Nobody watches."""

    def note(self, place: int, said: str, figures: Mapping[str, float], *, warns: bool) -> None:
        """It was put on record when it ran."""

    def artefact(self, step: ModelStep) -> Artefact:
        return self.state.trained[self.state.key(step)]

    def tables(self, place: int) -> tuple[pl.DataFrame, ...]:  # noqa: ARG002
        """Who runs the steps hands these over where they are needed."""
        return ()

    def kept(self, place: int) -> dict[str, Any]:
        return self._kept.setdefault(place, {})

    def _told(self, question: Question, prompt: str, sample: int, key: bytes, found: dict[str, Any]) -> CallTold:
        llm: Any = question.llm
        is_input = question.form == "input"
        asked: dict[str, Any] = {
            "model": llm.label,
            "messages": () if is_input else tuple(Request(question, prompt, sample, key).messages()),
            "text": prompt if is_input else None,
            "sampling": question.sampling.given(),
            "json_schema": json.loads(question.json_schema) if question.json_schema else None,
            "sample": sample,
            "key": key.hex(),
        }
        if not found["found"]:
            return CallTold(**asked, is_kept=False, note="the session has no answer to it: the call failed, was not made, or was made elsewhere")
        extra = _extra(found["extra"])
        price = self.spend.price(question)
        n_in, n_out, n_cached = found["n_in"], found["n_out"], found["n_cached"]
        attempts, ms, written = (v if isinstance(v := extra.get(name), int | float) else None for name in ("attempts", "ms", "tokens_written"))
        weighed = told_of(found["text"]) if question.labels else None
        return CallTold(
            **asked,
            answer=found["text"] if weighed is None else weighed.label,
            probabilities=None if weighed is None else weighed.all,
            outside=None if weighed is None else weighed.outside,
            reasoning=extra.get("reasoning"),
            dimensions=None if found["data"] is None else len(found["data"]) // FLOAT32,
            finish=found["finish"],
            answered_by=found["model"] or None,
            tokens_in=n_in,
            tokens_out=n_out,
            tokens_cached=n_cached,
            tokens_reasoning=found["n_reasoning"],
            cost=None if price is None else price.of(Completion(None, n_in=n_in, n_out=n_out, n_cached=n_cached, n_written=int(written or 0))),
            at=datetime.fromtimestamp(found["at_ms"] / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            attempts=None if attempts is None else int(attempts),
            seconds=None if ms is None else ms / 1000,
            note=TIMES if attempts is None else None,
        )


def _extra(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text) if text else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

