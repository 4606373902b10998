"""Steps that rows stream through, seen from one row: which row it was when it entered, and what each step asked about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import polars as pl

from dreamframe.identity.fingerprint import answer_keys
from dreamframe.models.request import Failure
from dreamframe.plan.parents import carried, one_by_one
from dreamframe.plan.step import RowStep, Step
from dreamframe.plan.steps.ordinals import Ordinals
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.retrieve import Retrieve
from dreamframe.prompts.room import offer_room
from dreamframe.run.engines.pipeline import BatchContext
from dreamframe.run.walk import Walked
from dreamframe.run.why.calls import Looking
from dreamframe.run.why.kept_rows import KeptRows
from dreamframe.run.why.partly import MOST_BATCHES, Partly
from dreamframe.run.why.story import CallTold
from dreamframe.run.why.thin import Thin, is_intricate, through

BATCH = 4_096  # rows that are run again at once
MOST_ALIKE = 256  # rows that may have become the row; of more, all rows are run again


class Passed(NamedTuple):
    """One row on its way through the steps."""

    out: pl.DataFrame  # without rows where a step left it out
    after: tuple[pl.DataFrame, ...]  # the row as it left each step that it came to
    calls: Mapping[int, list[CallTold]]  # by place of the step
    failures: Mapping[int, Failure]


class Stream:
    """Streamed steps over one another, lowest first, of which the lowest is a row step, and the rows that feed them."""

    def __init__(
        self,
        steps: Sequence[Step],
        source: pl.DataFrame | Partly,
        looking: Looking,
        out: Callable[[], KeptRows | None],
        beside: Callable[[int], Awaitable[tuple[pl.DataFrame, ...]]],
        *,
        walk: Walked | None = None,
        is_whole: bool = False,
    ) -> None:
        """`out`: all rows that leave the steps, or the first of them, where they are stored. `beside`: the rows of the other inputs of a step, by place.
        `walk`: how many rows walked through them together. `is_whole`: a run of the whole plan ended, and no row failed."""
        self.steps, self.source, self._looking, self._stored, self._beside = steps, source, looking, out, beside
        self._walk, self._is_whole = walk, is_whole
        self._parts: dict[tuple[int, bool], tuple[pl.DataFrame, pl.Series] | None] = {}  # number of a batch, and how far it went
        self._prompts: dict[int, pl.Series] = {}  # place → the prompt of each row that feeds the steps
        self._left: dict[int, int] = {}  # position in the source → among the rows that leave the steps
        self._all: tuple[pl.DataFrame, pl.Series] | None = None
        self._entered: dict[int, list[pl.Series]] = {}  # place → the rows that entered the step, as positions in the source, batch by batch
        self._prepared: set[int] = set()  # places

    @staticmethod
    def below(step: Step) -> list[Step]:
        """The streamed steps up to `step`, lowest first, without the polars steps below the lowest row step; none if there is no row step."""
        steps: list[Step] = []
        while step.is_streamed and (step.rows != "other" or getattr(step, "verb", "") == "unnest"):
            steps.append(step)
            step = step.inputs[0]
        while steps and not isinstance(steps[-1], RowStep):
            steps.pop()
        return steps[::-1]

    @cached_property
    def _out(self) -> KeptRows | None:
        return self._stored()

    @cached_property
    def thin(self) -> tuple[Thin, pl.Series] | None:
        """All rows that leave the steps, without what was answered, and their positions in the source; None where answers decide which they are."""
        return through(self.steps, self.source) if self._is_whole and isinstance(self.source, pl.DataFrame) else None

    @property
    def is_one_to_one(self) -> bool:
        """Whether every row that enters leaves, in its place."""
        return not any(step.rows == "fewer" for step in self.steps)

    async def located(self, rows: Sequence[int]) -> list[int]:
        """The positions in the source of rows that leave the steps, by their positions."""
        found = list(rows) if self.is_one_to_one else await self._by_values(rows, is_run_again=False)
        if len(found) < len(rows):
            found = await self._by_walk(rows)
        if len(found) < len(rows):
            found = await self._by_values(rows, is_run_again=True)
        if len(found) < len(rows):
            entered = self.thin[1] if self.thin is not None else (await self.everything())[1]
            found = [int(entered[row]) for row in rows]
        self._left.update(zip(found, rows, strict=True))
        return found

    async def everything(self) -> tuple[pl.DataFrame, pl.Series]:
        """All rows that leave the steps, and their positions in the source."""
        if self._all is None:
            await self._begin()
            if all(isinstance(step, Ordinals) for step in self.steps):
                source = await self.whole()
                self._all = self._numbered_at_once(source), pl.int_range(source.height, dtype=pl.UInt32, eager=True)
                return self._all
            source = await self.whole()
            made = [await self._batch(order, at, source) for order, at in enumerate(range(0, source.height, BATCH))]
            empty = pl.DataFrame(schema=self.steps[-1].schema), pl.Series([], dtype=pl.UInt32)
            self._all = (pl.concat([rows for rows, _ in made]), pl.concat([at for _, at in made])) if made else empty
        return self._all

    async def one(self, at: int, *, is_noted: bool, upto: int | None = None) -> Passed:
        """The row at a position of the source, through all steps, or through those up to a place."""
        firsts: dict[int, int] = {}
        noted: dict[int, list[CallTold]] = {}
        lent = self._looking.one(firsts, noted if is_noted else None)
        row = await self.row(at)
        after: list[pl.DataFrame] = []
        failures: dict[int, Failure] = {}
        for place, step in enumerate(self.steps if upto is None else self.steps[: upto + 1]):
            if isinstance(step, RowStep):
                if (hits := self._hits(place, at)) is None:
                    await self._prepare(place)
                if step.needs_order:
                    is_first = self._is_whole and await self._are_alone(place, row)
                    firsts[place] = 0 if is_first else await self._first(place, at)
                own = BatchContext(lent, step, place, 0)
                row = await (step.run_again(row, own, hits) if isinstance(step, Retrieve) and hits is not None else step.run(row, own))
                if own.failures:
                    failures[place] = own.failures[0]
                    row = row if step.on_error == "null" else row.clear()
            else:
                row = one_by_one(step, row)[0]
            if row.is_empty():
                break
            after.append(row)
        return Passed(row, tuple(after), noted, failures)

    async def row(self, at: int) -> pl.DataFrame:
        """The row at a position of the source, as it enters."""
        return self.source.slice(at, 1) if isinstance(self.source, pl.DataFrame) else await self.source.slice(at, 1)

    async def whole(self) -> pl.DataFrame:
        """All rows that feed the steps."""
        if isinstance(self.source, Partly):
            self.source = await self.source.whole()
        return self.source

    # Which row it was

    async def _by_walk(self, rows: Sequence[int]) -> list[int]:
        """The rows that became some rows, as far as those that they walked with tell."""
        found: list[int] = []
        top = self._looking.state.key(self.steps[-1])
        batches = {row: self._walk.batch_of(top, row) for row in rows} if self._walk is not None and top in self._walk else {}
        for row, batch in batches.items() if len({b.number for b in batches.values()}) <= MOST_BATCHES else ():
            part = await self.batch(batch.number, is_whole=False)
            if part is None or len(part[1]) != batch.stop - batch.start:
                return []
            found.append(int(part[1][row - batch.start]))
        return found

    async def batch(self, number: int, *, is_whole: bool = True) -> tuple[pl.DataFrame, pl.Series] | None:
        """The rows of a batch that leave the steps, or (without `is_whole`) the last one that leaves rows out, and their positions in the source. None
        where nobody noted which they are, or some asked what others asked too: of what they got, all rows before them would have to tell."""
        if (number, is_whole) not in self._parts:
            await self._begin()
            last = len(self.steps) - 1 if is_whole else max(n for n, step in enumerate(self.steps) if step.rows == "fewer")
            self._parts[number, is_whole] = await self._part(number, self.steps[: last + 1])
        return self._parts[number, is_whole]

    async def _part(self, number: int, steps: Sequence[Step]) -> tuple[pl.DataFrame, pl.Series] | None:
        if (fed := self._fed_by(number)) is None:
            return None
        rows = await self._span(*fed)
        at = pl.int_range(*fed, dtype=pl.UInt32, eager=True)
        lent = self._looking.one({}, None)
        for place, step in enumerate(steps):
            if not isinstance(step, RowStep):
                rows, places = one_by_one(step, rows)
                at = at.gather(places) if places is not None else at
                continue
            if step.needs_order and not (self._is_whole and await self._are_alone(place, rows)):
                return None
            own = BatchContext(lent, step, place, 0)
            rows = await step.run(rows, own) if rows.height else pl.DataFrame(schema=step.schema)
            rows, at = _without_failed(step, own, rows, at)
        return rows, at

    def _fed_by(self, number: int) -> tuple[int, int] | None:
        """From where to where the rows of a batch lie in the source."""
        for step in (self.steps[0].inputs[0], *self.steps):
            key = self._looking.state.key(step)
            if step is not self.steps[0].inputs[0] and step.rows != "same":
                return None
            if self._walk is not None and key in self._walk:
                batch = self._walk.batch(key, number)
                return batch.start, batch.stop
        return None

    async def _span(self, start: int, stop: int) -> pl.DataFrame:
        return self.source.slice(start, stop - start) if isinstance(self.source, pl.DataFrame) else await self.source.slice(start, stop - start)

    async def _by_values(self, rows: Sequence[int], *, is_run_again: bool) -> list[int]:
        """The rows that became some rows, as far as their values tell. `is_run_again`: rows that are alike are run again to tell which of them are left."""
        source = await self.whole() if is_run_again else self.source
        if not isinstance(source, pl.DataFrame):
            return []
        return [at for row in rows if (at := await self._by_value(row, source, is_run_again=is_run_again)) is not None]

    async def _by_value(self, row: int, source: pl.DataFrame, *, is_run_again: bool) -> int | None:
        """The row that became a row, by the columns that the steps hand on; None where too many are alike.

        Steps that leave rows out keep the order of those that they keep: of all rows with the same values in these columns the k-th that is kept is the
        k-th that leaves.
        """
        if (out := self._out) is None or row >= out.height:
            return None
        names = {top: c for top, c in _below({c: c for c in out.schema}, self.steps).items() if not is_intricate(out.schema[top])}
        if not names:
            return None
        held = out.slice(row, 1)
        values = {top: pl.lit(held[0, top], dtype=out.schema[top]) for top in names}
        alike = source.select(pl.arg_where(pl.all_horizontal(pl.col(c).eq_missing(values[top]) for top, c in names.items()))).to_series()
        if len(alike) == 1:
            return int(alike[0])
        after = out.whole.select(pl.arg_where(pl.all_horizontal(pl.col(top).eq_missing(values[top]) for top in names))).to_series()
        place = int(after.search_sorted(row))
        if len(alike) == len(after):
            return int(alike[place])
        last = max(n for n, step in enumerate(self.steps) if step.rows == "fewer")
        if not is_run_again or len(alike) > MOST_ALIKE or not all(self._is_counted_below(n) for n in range(last + 1)):
            return None
        kept = [int(at) for at in alike if (await self.one(int(at), is_noted=False, upto=last)).out.height]
        return kept[place] if len(kept) >= len(after) else None  # more, where the output is of the first rows alone

    # Numbers of samples

    def _is_counted_below(self, place: int) -> bool:
        """Whether the number of a row's sample follows from the rows that feed the steps."""
        step = self.steps[place]
        return not step.needs_order or not isinstance(step, RowStep) or self._read_of_source(place) is not None

    def _read_of_source(self, place: int) -> pl.LazyFrame | None:
        """The columns that a sampled prompt reads, of every row that enters it, as they are in the source; None where a model decides them, or who enters."""
        step = self.steps[place]
        source = self.source
        if not isinstance(step, PromptStep) or step.prompt.models or any(s.rows == "fewer" for s in self.steps[:place]) or isinstance(source, Partly):
            return None
        names = _below({c: c for c in step.prompt.columns}, self.steps[:place])
        if len(names) < len(step.prompt.columns):
            return None
        return source.lazy().select(pl.col(c).alias(name) for name, c in names.items()) if names else source.lazy()

    def _read_of_output(self, place: int) -> pl.LazyFrame | None:
        """The same, as they are in the rows that leave the steps; None where not all that enter leave."""
        step = self.steps[place]
        if not isinstance(step, PromptStep) or step.prompt.models or any(s.rows == "fewer" for s in self.steps[place:]) or (out := self._out) is None:
            return None
        held = {c: top for top, c in reversed(_below({c: c for c in out.schema}, self.steps[place:]).items())}
        if any(c not in held for c in step.prompt.columns):
            return None
        return out.whole.lazy().select(pl.col(held[c]).alias(c) for c in step.prompt.columns) if step.prompt.columns else out.whole.lazy()

    async def _are_alone(self, place: int, rows: pl.DataFrame) -> bool:
        """Whether what each row asks was answered once: no other row of a run that ended well asks the same."""
        step = self.steps[place]
        if not isinstance(step, PromptStep) or step.prompt.models:
            return False
        own = BatchContext(self._looking, step, place, 0)
        question = own.once("question", lambda: step.question(own))
        offer_room(question, own)
        prompts = own.once("prompt", lambda: step.prompt).render(rows).drop_nulls()
        if prompts.is_empty() or question.sampling.is_greedy:
            return True
        n = len(prompts)
        keys = answer_keys(question.key_prefix, pl.concat([prompts, prompts]), [*[0] * n, *[step.n] * n])
        return self._looking.are_kept(keys) == [*[True] * n, *[False] * n]

    async def _first(self, place: int, at: int) -> int:
        """The number of the first sample that a row asks for: equal requests of the rows before it come first."""
        step = self.steps[place]
        row, columns = at, self._read_of_source(place)
        if columns is None and at in self._left:
            row, columns = self._left[at], self._read_of_output(place)
        if columns is not None:
            assert isinstance(step, PromptStep)
            if place not in self._prompts:
                prompt = BatchContext(self._looking, step, place, 0).once("prompt", lambda: step.prompt)
                self._prompts[place] = prompt.render(columns.collect())
            prompts = self._prompts[place]
            return step.n * int((prompts.head(row) == prompts[row]).sum() or 0) if prompts[row] is not None else 0
        await self.everything()
        numbers, entered = self._looking.numbered.get(place, []), pl.concat(self._entered[place])
        each = len(numbers) // len(entered) if len(entered) else 0
        where = entered.search_sorted(at)
        return numbers[where * each] if each * len(entered) == len(numbers) and each and where < len(entered) and entered[where] == at else 0

    # All rows again

    def _numbered_at_once(self, rows: pl.DataFrame) -> pl.DataFrame:
        """All rows with the numbers of their samples: nothing is looked up for these."""
        for place, step in enumerate(self.steps):
            assert isinstance(step, Ordinals)
            own = BatchContext(self._looking, step, place, 0)
            offer_room(own.once("question", lambda step=step, own=own: step.question(own)), own)  # type: ignore[misc]
            prompts = own.once("prompt", lambda step=step: step.prompt).render(rows)  # type: ignore[misc]
            rows = rows.with_columns(_numbers(prompts, step.n).alias(step.into))
        return rows

    async def _begin(self) -> None:
        for place in range(len(self.steps)):
            await self._prepare(place)

    async def _prepare(self, place: int) -> None:
        step = self.steps[place]
        if isinstance(step, RowStep) and place not in self._prepared:
            self._prepared.add(place)
            await step.prepare(await self._beside(place), BatchContext(self._looking, step, place, 0))

    def _hits(self, place: int, at: int) -> pl.Series | None:
        """What a search found for a row, where that is kept: the documents, which may be many, need not be read."""
        step = self.steps[place]
        row = at if self.is_one_to_one else self._left.get(at)
        if not isinstance(step, Retrieve) or row is None or (out := self._out) is None:
            return None
        held = [top for top, c in _below({c: c for c in out.schema}, self.steps[place + 1 :]).items() if c == step.into]
        return out.slice(row, 1)[held[0]].alias(step.into) if held else None

    async def _batch(self, order: int, start: int, source: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        rows = source.slice(start, BATCH)
        at = pl.int_range(start, start + rows.height, dtype=pl.UInt32, eager=True)
        for place, step in enumerate(self.steps):
            self._entered.setdefault(place, []).append(at)
            if isinstance(step, RowStep):
                own = BatchContext(self._looking, step, place, order)
                rows = await step.run(rows, own) if rows.height else pl.DataFrame(schema=step.schema)
                if step.needs_order:
                    await own.pass_turn()
                rows, at = _without_failed(step, own, rows, at)
            else:
                rows, places = one_by_one(step, rows)
                at = at.gather(places) if places is not None else at
        return rows, at


def as_entered(out: KeptRows, steps: Sequence[Step]) -> KeptRows | None:
    """What is seen of the rows that entered steps in the rows that left them; None where that is nothing, or steps leave rows out."""
    held = {c: top for top, c in reversed(_below({c: c for c in out.schema}, steps).items())}
    schema = {c: dtype for c, dtype in steps[0].inputs[0].schema.items() if c in held and out.schema[held[c]] == dtype}
    if not schema or any(step.rows == "fewer" for step in steps):
        return None
    return out.select({c: held[c] for c in schema}, pl.Schema(schema))


def _without_failed(step: RowStep, own: BatchContext, rows: pl.DataFrame, at: pl.Series) -> tuple[pl.DataFrame, pl.Series]:
    if not own.failures or step.on_error == "null":
        return rows, at
    is_left = pl.Series([i not in own.failures for i in range(rows.height)], dtype=pl.Boolean)
    return rows.filter(is_left), at.filter(is_left)


def _numbers(prompts: pl.Series, n: int) -> pl.Series:
    """The number of the first of n samples that each prompt asks for; 0 where there is none. Most prompts are asked once, and need no group of their own:
    sorted hashes tell so at a tenth of what comparing the texts takes."""
    hashes = prompts.hash()
    in_order = hashes.sort()
    often = in_order.filter(in_order == in_order.shift(1))
    numbers = pl.zeros(len(prompts), dtype=pl.UInt32, eager=True)
    if often.is_empty():
        return numbers
    again = hashes.is_in(often.implode()) & prompts.is_not_null()
    counted = pl.DataFrame({"asks": prompts.filter(again)}).select((n * pl.int_range(pl.len(), dtype=pl.UInt32).over("asks")).cast(pl.UInt32)).to_series()
    return numbers.scatter(again.arg_true(), counted)


def _below(names: Mapping[str, str], steps: Sequence[Step]) -> dict[str, str]:
    """Names of columns above steps → what they are below them, as far as they are handed on."""
    found = dict(names)
    for step in reversed(steps):
        passed = carried(step)
        found = {top: passed[c] for top, c in found.items() if c in passed}
    return found
