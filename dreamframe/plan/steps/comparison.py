"""Find the best rows by comparing them: the step behind `df.top_k_by(..., compare=True)`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import DreamframeError, SettingError, one_of
from dreamframe.measure.comparisons import Contest, Window, expected
from dreamframe.models.base import LLM
from dreamframe.models.request import Failure, RowContext, Sampling
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import ON_ERROR, OnError, Rows, TableStep, kept_columns, step
from dreamframe.plan.steps.judge import WINNER
from dreamframe.plan.steps.lent import Lent
from dreamframe.plan.steps.once import AskedOnce
from dreamframe.plan.steps.source import Table
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.base import Template
from dreamframe.prompts.comparison import PAIR, Order, in_two, shown, texts_of
from dreamframe.prompts.parsers import Winner

MOST = 50  # inputs of one request
SHOWN, SAID = "shown", "said"
Digest = bytes


@step
class Comparison(TableStep):
    """The rank of the best k rows, 1 for the best, found by asking a model which of two rows comes first, or in which order a window of rows does.

    Rows whose texts are equal are tied, as are those whose answers go in a circle: they share the rank of the first of them. Rows that are not among the
    best k, that have no text, or that have no place since a comparison of them failed, have no rank. What is asked, and in which order a request shows
    its rows, follows from the texts and the seed alone: a pair is one request, whichever row stands first.
    """

    llm: LLM
    prompt: Template
    k: int
    into: str
    window: int = 2  # rows that one request puts in order
    seed: int = 0
    system: str | None = None
    sampling: Sampling = Sampling()
    repairs: int = 1  # further turns that show the model its error
    on_error: OnError = "raise"

    is_expensive: ClassVar[bool] = True
    cites: ClassVar[tuple[str, ...]] = (
        "https://arxiv.org/abs/2603.17223",  # ListK: multi-pivot quickselect of windows
        "https://arxiv.org/abs/2602.05448",  # BlitzRank: what follows from known answers is not asked
        "https://doi.org/10.1145/360680.360691",  # Floyd and Rivest 1975: the pivot's rank in a sample
    )

    @property
    def label(self) -> str:
        return self.name or "top_k_by"

    def check(self) -> None:
        one_of(self.on_error, ON_ERROR, "on_error", where=self.label)
        if not 2 <= self.window <= MOST:
            raise SettingError(f"{self.label}: window={self.window} rows in one request; give 2 to {MOST}, or None for two.")
        self.prompt.check(self.inputs[0].schema, step=self.label)
        self.asking(self.window)
        self.parts  # noqa: B018  a prompt without a question fails here
        self.adds(self.into)

    # Traits

    def reads(self) -> frozenset[str]:
        return frozenset(self.prompt.columns)

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def rows(self) -> Rows:
        return "fewer" if self.on_error == "drop" else "same"

    @property
    def needs_order(self) -> bool:
        return False  # sample 0 of each request

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.UInt32()})

    def missing(self) -> tuple[DreamframeError, ...]:
        return self.asking(self.window).missing()

    def key_fields(self) -> Mapping[str, object]:
        own = dict(super().key_fields())
        if self.sampling == Sampling():  # settings given to the model or to the verb are the same question
            own.pop("sampling")
        return own

    def describe(self) -> str:
        n = self._n_rows()
        how = "two" if self.window == 2 else f"{self.window}"
        much = "" if n is None else f", about {expected(n, self.k, self.window):,} calls for {n:,} rows"
        return f"TOP {self.k} by comparing {how} at a time{much} ← {self.llm.label} {self.prompt.summary}"

    def _n_rows(self) -> int | None:
        """How many rows are compared, where the plan tells."""
        known: dict[int, int | None] = {}
        for node in self.inputs[0].walk():
            known[id(node)] = node.n_out(*(known[id(i)] for i in node.inputs))
        return known[id(self.inputs[0])]

    # What is asked

    @cached_property
    def parts(self) -> tuple[str, Template]:
        """The question, and what of a row is compared."""
        question, item = in_two(self.prompt.text, step=self.label)
        return question, Template(item)

    def texts(self, rows: pl.DataFrame) -> list[str | None]:
        """What is compared of each row."""
        return self.parts[1].render(rows).to_list()

    def asking(self, size: int) -> AskedOnce:
        """The prompt of requests about so many rows."""
        if size == 2:
            fields: dict[str, Any] = {"schema_": AnswerSchema.of(WINNER), "held": AnswerSchema.of(PAIR.verdicts[:2]), "parse": Winner()}
        else:
            fields = {"schema_": Order.of_size(size)}
        return AskedOnce(
            inputs=(REQUESTS,), llm=self.llm, prompt=Template(f"{{{SHOWN}}}"), into=SAID, system=self.system, sampling=self.sampling,
            repairs=self.repairs, on_error="null", name=self.label, **fields,
        )  # fmt: skip

    def likely_answer(self, request: str) -> str:
        """An answer that goes with all others of its kind, for estimates: that of a model which holds the text to be the best whose digest
        is the smallest from its end: from its beginning it would be that which is drawn first."""
        digests = [self._digest(text)[::-1] for text in texts_of(request)]
        order = sorted(range(len(digests)), key=digests.__getitem__)
        return PAIR.verdicts[order[0]] if len(digests) == 2 else json.dumps([i + 1 for i in order])

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:
        rows = tables[0]
        texts = self.texts(rows)
        digests = {text: self._digest(text) for text in texts if text is not None}
        items = sorted(digests, key=digests.__getitem__)  # the order that decides where nothing else does is that of the texts' digests
        contest = Contest(k=self.k, marks=[int.from_bytes(digests[t][:8], "big") for t in items], window=self.window)
        failed: dict[int, Failure] = {}
        rounds, answers = contest.rounds(), None
        while True:
            try:
                batch = rounds.send(answers)  # type: ignore[arg-type]  # None begins it
            except StopIteration as done:
                tiers = done.value
                break
            answers = await self._answers(batch, items, digests, failed, ctx)
            if failed and self.on_error == "raise":  # what would be asked next might be nothing that is asked when all answers are there
                tiers, contest.lost = [], blamed([window for window, answer in zip(batch, answers, strict=True) if answer is None])
                break
        ranks = self._ranks(tiers, items, texts)
        lost = {items[item]: failed[item] for item in contest.lost}
        for position, text in enumerate(texts):
            if text in lost:
                ctx.fail(position, lost[text])
        made = rows.with_columns(pl.Series(self.into, [None if text is None else ranks.get(text) for text in texts], dtype=pl.UInt32))
        return made.filter(pl.Series([text not in lost for text in texts], dtype=pl.Boolean)) if self.on_error == "drop" else made

    def _digest(self, *texts: str) -> Digest:
        digest = hashlib.sha256(f"compare {self.seed}\n".encode())
        for text in texts:
            held = text.encode("utf-8", "surrogatepass")
            digest.update(f"{len(held)}:".encode() + held)
        return digest.digest()

    def _in_order(self, window: Window, digests: Sequence[Digest]) -> list[int]:
        """The items of a window as the request shows them: drawn by all of its texts, and by nothing else."""
        drawn = hashlib.sha256(b"".join(sorted(digests))).digest()
        by = {item: hashlib.sha256(drawn + digest).digest() for item, digest in zip(window, digests, strict=True)}
        return sorted(window, key=by.__getitem__)

    async def _answers(
        self, batch: Sequence[Window], items: Sequence[str], digests: Mapping[str, Digest], failed: dict[int, Failure], ctx: RowContext
    ) -> list[list[list[int]] | None]:
        """What the model says of each window: its items by tiers, or None where there is no answer; then `failed` says why."""
        placed = [self._in_order(window, [digests[items[i]] for i in window]) for window in batch]
        made: list[list[list[int]] | None] = [None] * len(batch)
        by_size: dict[int, list[int]] = {}
        for at, window in enumerate(placed):
            by_size.setdefault(len(window), []).append(at)
        for size, places in by_size.items():
            asking = ctx.once(f"asking {size}", lambda size=size: self.asking(size))  # type: ignore[misc]
            lent = Lent(ctx, f"of {size} ")
            requests = pl.DataFrame({SHOWN: [shown(self.parts[0], [items[i] for i in placed[at]]) for at in places]})
            said = (await asking.run(requests, lent)).get_column(SAID).to_list()
            for n, (at, answer) in enumerate(zip(places, said, strict=True)):
                if n in lent.failures:
                    failed.update(dict.fromkeys(placed[at], lent.failures[n]))
                elif answer is not None:
                    made[at] = tiers_of(placed[at], answer)
        return made

    def _ranks(self, tiers: Sequence[Sequence[int]], items: Sequence[str], texts: Sequence[str | None]) -> dict[str, int]:
        """The rank of each text that has one. Rows that are tied have the rank of the first of them, and those after them are counted on."""
        counts: dict[str | None, int] = {}
        for text in texts:
            counts[text] = counts.get(text, 0) + 1
        ranks: dict[str, int] = {}
        rank = 1
        for tier in tiers:
            if rank > self.k:
                break
            ranks |= {items[item]: rank for item in tier}
            rank += sum(counts[items[item]] for item in tier)
        return ranks


def tiers_of(window: Sequence[int], answer: str | list[int]) -> list[list[int]]:
    """A window's items by tiers: after a verdict about the first and the second that were shown, or numbers from 1 in an order.

    >>> tiers_of((7, 9), "b"), tiers_of((7, 9), "tie"), tiers_of((7, 9, 4), [3, 1, 2])
    ([[9], [7]], [[7, 9]], [[4], [7], [9]])
    """
    if isinstance(answer, str):
        one, two = window
        return [[one, two]] if answer == "tie" else [[one], [two]] if answer == "a" else [[two], [one]]
    return [[window[n - 1]] for n in answer]


def blamed(windows: Sequence[Window]) -> set[int]:
    """As few items as are in all of some windows: those whose fault it may be that these have no answer. Of two the second: the first was held against
    others too.

    >>> blamed([(5, 1), (5, 2), (3, 4)])
    {4, 5}
    """
    found: set[int] = set()
    left = list(windows)
    while left:
        counts: dict[int, int] = {}
        for item in (item for window in left for item in window):
            counts[item] = counts.get(item, 0) + 1
        most = max(reversed(counts), key=counts.__getitem__)
        found.add(most)
        left = [window for window in left if most not in window]
    return found


REQUESTS = Table(data=pl.DataFrame(schema={SHOWN: pl.String}))
