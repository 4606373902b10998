"""How a run answers that is not to ask: out of the journal; what is not there is counted, and gets another answer to the same question in its place."""

from __future__ import annotations

import asyncio
import json
import math
import random
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import polars as pl

from dreamframe.errors import RunError
from dreamframe.models.answer import as_read, thoughts_in
from dreamframe.models.menu import weighed
from dreamframe.models.request import Failure, Question, Replies
from dreamframe.run.calls.journal_first import RunAsking
from dreamframe.run.calls.renewal import Renewal
from dreamframe.run.options import RunOptions
from dreamframe.run.stats import StepStats
from dreamframe.store.answers import SAID, Answers
from dreamframe.store.ends import STOP

Said = tuple[str | None, bytes | None, str | None]
MOST_DONORS = 2_000  # kept answers of one question that are looked at
FREE_TEXT = 0.5  # answers of which more than such a part differ from all others repeat as little in the rows to come
STAND_INS = ("Yes", "1", "0.5", "A", "{}")


class TooManyError(RunError):
    """A look that was to be short."""


class Donor(NamedTuple):
    """A kept answer, to learn from."""

    said: Said
    chars: int  # of its request
    n_in: int
    n_out: int
    n_cached: int
    at_ms: int = 0  # when it came


@dataclass(eq=False)
class Asked:
    """What one step asks with one question."""

    stats: StepStats
    step: Any
    question: Question
    rows: int = 0
    kept: int = 0
    probed: int = 0
    n_rows_probed: int = 0
    chars: list[int] = field(default_factory=list)  # of each request that is not answered
    drawn: int = 0  # of them, those that were answered by another's answer
    stand_in: Said | None = None  # what stands for an answer where none is known
    is_guess: bool = False  # no answer was known to draw from
    failed: str = ""  # why a probe has no answer
    probe_s: float = 0.0  # the longest probe took

    @property
    def concurrency(self) -> int:
        return int(getattr(self.question.llm, "concurrency", None) or 16)


class DryAsking:
    """Answers of a run that only looks; with `probe`, so many rows of each step are asked after all, and kept, and all others fail."""

    def __init__(
        self, answers: Answers, asking: RunAsking, options: RunOptions, *, probe: int, donors: dict[str, list[Donor]] | None = None, most: int | None = None
    ) -> None:
        self._answers, self._asking, self._probe = answers, asking, probe
        self._renewing = Renewal(answers, options.renew)  # which is never committed
        self.donors: dict[str, list[Donor]] = {} if donors is None else donors  # by digest of the question
        self._before = {digest: list(known) for digest, known in self.donors.items()}
        self._left = math.inf if most is None else most  # requests that may be looked at
        self.asked: dict[tuple[str, str], Asked] = {}  # by key of the step as it was written, and digest of the question
        self._seen: set[bytes] = set()  # requests that are counted
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}
        self._random = random.Random(0)
        self._turns: dict[str, list[int]] = {}  # by digest: donors that are still to be drawn in this round

    async def ask(
        self, stats: StepStats, step: Any, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int
    ) -> Replies:
        """Answers to a batch of prompts, in their order."""
        place, requested = (stats.key, question.digest), keys
        keys = self._renewing.keys(keys, all_of=stats.is_refreshed)
        self._left -= len(keys)
        if self._left < 0:
            raise TooManyError("more requests than this look was to count")
        if (now := self._answers.renewals.now(requested)) != keys:  # asked anew: the answers of before tell how long they are
            old = self._answers.lookup(now)
            self._learn(question, old, old["found"].to_list(), prompts)
        account = self.asked.setdefault(place, Asked(stats, step, question))
        async with self._locks.setdefault(place, asyncio.Lock()):
            found = self._answers.lookup(keys)
            is_there = found["found"].to_list()
            new = self._new(keys, is_there)
            if self._probe > account.n_rows_probed and new:
                chosen = self._chosen(account, new)
                await self._probed(account, [requested[i] for i in chosen], prompts.gather(chosen), [samples[i] for i in chosen], order)
                found = self._answers.lookup(keys)
                is_there = found["found"].to_list()
                new = self._new(keys, is_there)
            self._asking.asked_now.update(key for key, there in zip(requested, is_there, strict=True) if key is not None and not there)
            made, failures = self._replies(account, found, is_there, set(new), keys, prompts)
            thoughts = _thoughts(found, made, is_there) if question.tells_thoughts else ()
            return Replies(made if question.form == "input" else as_read(made), failures, samples, requested, thoughts)

    def _new(self, keys: Sequence[bytes | None], is_there: Sequence[bool]) -> list[int]:
        """Positions of the requests that nobody has answered, each once in the run."""
        first: dict[bytes, int] = {}
        for i, (key, there) in enumerate(zip(keys, is_there, strict=True)):
            if key is not None and not there and key not in self._seen:
                first.setdefault(key, i)
        return list(first.values())

    def _chosen(self, account: Asked, new: Sequence[int]) -> list[int]:
        """Positions of some rows' requests: all samples of a row, or none."""
        n = int(getattr(account.step, "n", 1))
        rows = sorted({i // n for i in new})
        chosen = set(self._random.sample(rows, min(len(rows), self._probe - account.n_rows_probed)))
        account.n_rows_probed += len(chosen)
        return [i for i in new if i // n in chosen]

    async def _probed(self, account: Asked, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> None:
        """Ask some rows, and keep the answers."""
        began = time.monotonic()
        replies = await self._asking.ask(account.stats, account.question, keys, prompts, samples, order)
        account.probe_s = max(account.probe_s, time.monotonic() - began)
        account.probed += len(keys)
        if replies.failures:
            first = replies.failures[min(replies.failures)]
            account.failed = f"{len(replies.failures)} of {len(keys)} probes failed; the first: {first.error}: {first.message}"

    def _replies(
        self,
        account: Asked,
        found: pl.DataFrame,
        is_there: Sequence[bool],
        new: set[int],
        keys: Sequence[bytes | None],
        prompts: pl.Series,
    ) -> tuple[pl.DataFrame, dict[int, Failure]]:
        question, failures = account.question, dict[int, Failure]()
        said: list[Said] = list(found.select(SAID).iter_rows())
        self._learn(question, found, is_there, prompts)
        account.kept += sum(is_there)
        account.rows += len(keys)
        for i, key in enumerate(keys):
            if key is None or is_there[i]:
                continue
            if i in new:
                self._seen.add(key)
                account.chars.append(len(prompts[i]))
            else:
                account.kept += 1
            if self._probe or account.step.needs_real:  # a request that is asked holds no answer but real ones
                failures[i] = Failure("NotAsked", "", "", 0)
            else:
                said[i] = self._drawn(account, prompts[i])
        return pl.DataFrame(said, schema={"text": pl.String, "data": pl.Binary, "finish": pl.String}, orient="row"), failures

    def _learn(self, question: Question, found: pl.DataFrame, is_there: Sequence[bool], prompts: pl.Series) -> None:
        donors = self.donors.setdefault(question.digest, [])
        if len(donors) < MOST_DONORS and any(is_there):
            rows = found.select(*SAID, "n_in", "n_out", "n_cached", "at_ms").iter_rows()
            pairs = zip(rows, is_there, prompts, strict=True)
            donors += [Donor(row[:3], len(p), *row[3:]) for row, there, p in pairs if there and p is not None]

    def _drawn(self, account: Asked, prompt: str) -> Said:
        """The answer to another request of this question: all of them in turn, so that as many rows pass a filter as did before. A step whose answers
        say something of one another gives such a one itself."""
        digest = account.question.digest
        likely = getattr(account.step, "likely_answer", None)
        donors = self._before.get(digest) or self.donors.get(digest, [])
        if likely is not None:
            account.is_guess = account.is_guess or not donors
            return likely(prompt), None, STOP
        if not donors:
            account.is_guess = True
            account.drawn += 1
            account.stand_in = account.stand_in or stand_in(account.question, account.step)
            text, data, finish = account.stand_in
            return (text + self._mark(account) if text and is_free(account, ()) else text), data, finish
        turns = self._turns.setdefault(digest, [])
        if not turns:
            turns += self._random.sample(range(len(donors)), len(donors))
        account.drawn += 1
        at = turns.pop()
        text, data, finish = donors[at if at < len(donors) else 0].said
        if text and is_free(account, donors):
            text = text[:-2] + self._mark(account)  # as long, and no other row's
        return text, data, finish

    @staticmethod
    def _mark(account: Asked) -> str:
        return chr(0xE000 + account.drawn % 6_000) + chr(0xE000 + account.drawn // 6_000 % 6_000)


def is_free(account: Asked, donors: Sequence[Donor]) -> bool:
    """Whether answers are texts of which hardly any comes twice, as they are: a request that holds one is another's only if its answer is."""
    step = account.step
    if account.question.json_schema is not None or account.question.tools is not None or account.question.form == "input":
        return False
    if getattr(step, "parse", None) is not None or getattr(step, "schema_", None) is not None:
        return False
    return not donors or len({donor.said for donor in donors}) > FREE_TEXT * len(donors)


def stand_in(question: Question, step: Any) -> Said:
    """An answer where none is known: the first that the step can read. It says nothing of the answers to come."""
    if question.labels:
        return weighed(question.labels, [1.0, *[0.0] * (len(question.labels) - 1)]), None, STOP
    if question.form == "input":
        dim = getattr(question.llm, "dim", None)
        return (None, struct.pack(f"<{dim}f", 1.0, *[0.0] * (dim - 1)), STOP) if dim else (None, None, None)
    if question.json_schema is not None:
        schema = json.loads(question.json_schema)
        texts = [json.dumps(example_of(schema, schema))]
    else:
        texts = list(STAND_INS)
    read = getattr(step, "_value_or_error", None)
    text = next((t for t in texts if read is None or not isinstance(read(t, STOP, question), Exception)), texts[0])
    return text, None, STOP


def example_of(schema: Any, root: Any, depth: int = 0) -> Any:
    """A value that fits a JSON schema, in most cases.

    >>> example_of({"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}, "n": {"type": "integer"}}}, {})
    {'mood': 'good', 'n': 1}
    """
    if not isinstance(schema, dict) or depth > 20:
        return None
    if "$ref" in schema:
        target = root
        for part in str(schema["$ref"]).lstrip("#/").split("/"):
            target = target.get(part, {}) if isinstance(target, dict) else {}
        return example_of(target, root, depth + 1)
    for word in ("anyOf", "oneOf", "allOf"):
        if schema.get(word):
            return example_of(schema[word][0], root, depth + 1)
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "object":
        return {name: example_of(part, root, depth + 1) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [example_of(schema.get("items", {}), root, depth + 1)] * max(1, int(schema.get("minItems", 1)))
    least = schema.get("minimum", 1)
    return {"integer": int(least), "number": float(least), "boolean": True, "string": "a"}.get(str(kind))


def _thoughts(found: pl.DataFrame, made: pl.DataFrame, is_there: Sequence[bool]) -> list[str | None]:
    """The thoughts of the answers that are kept. Those of the others are taken to be as long as the answer, unless the kept ones show that the model has
    none."""
    kept = thoughts_in(found)
    thinks = any(kept) or not any(is_there)
    return [own if there or not thinks else said for own, there, said in zip(kept, is_there, made.get_column("text"), strict=True)]
