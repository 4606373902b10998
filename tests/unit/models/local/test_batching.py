"""The batcher: what is packed together, what happens when memory runs out, who fails."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from dreamframe.errors import BadRequestError, CallError, PermanentCallError
from dreamframe.models.local.batching import Batcher


class Model:
    """Doubles numbers, in batches; has so much memory, in tokens."""

    def __init__(self, memory: int = 10**9, error: Callable[[], Exception] = MemoryError) -> None:
        self.memory, self.error = memory, error
        self.batches: list[list[int]] = []

    def work(self, batch: Sequence[int]) -> list[int | CallError]:
        self.batches.append(list(batch))
        if len(batch) * max(batch) > self.memory:
            raise self.error()
        return [2 * n for n in batch]


def run(model: Any, lengths: Sequence[int], *, budget: int, most: int | None = None) -> tuple[list[Any], Batcher[int, int]]:
    async def main() -> tuple[list[Any], Batcher[int, int]]:
        batcher: Batcher[int, int] = Batcher(model.work, budget=budget, is_out_of_memory=lambda e: isinstance(e, MemoryError), most=most, name="fake")
        try:
            return await asyncio.gather(*(batcher.submit(n, n) for n in lengths), return_exceptions=True), batcher
        finally:
            await batcher.close()

    return asyncio.run(main())


def test_requests_of_like_length_are_batched_within_the_budget() -> None:
    model = Model()
    answers, _ = run(model, [10, 1, 10, 1, 10, 1, 1], budget=30)
    assert answers == [20, 2, 20, 2, 20, 2, 2]
    assert sorted(map(sorted, model.batches)) == [[1, 1, 1, 1], [10, 10, 10]]


def test_a_batch_has_no_more_requests_than_most() -> None:
    model = Model()
    run(model, [1] * 10, budget=1000, most=4)
    assert [len(b) for b in model.batches] == [4, 4, 2]


def test_requests_that_begin_alike_are_worked_on_together() -> None:
    model = Model()

    async def main() -> list[int]:
        batcher: Batcher[int, int] = Batcher(model.work, budget=3 * 12, is_out_of_memory=lambda e: False)
        asked = [(10 + i % 3, [i % 2] * 8 + [9] * (2 + i % 3)) for i in range(6)]  # two documents, three questions of other lengths about each
        return await asyncio.gather(*(batcher.submit(n, n, begins=bytes(tokens)) for n, tokens in asked))

    assert asyncio.run(main()) == [20, 22, 24, 20, 22, 24]
    assert [len(b) for b in model.batches] == [3, 3]
    assert all(sorted(b) == [10, 11, 12] for b in model.batches), "by length alone, 12 and 12 would be together"


def test_the_oldest_request_is_in_the_next_batch_so_none_starves() -> None:
    model = Model()
    run(model, [50, *[1] * 20], budget=50)
    assert 50 in model.batches[0]


@pytest.mark.parametrize("memory", [1, 2, 3, 7, 16, 33, 199])
@pytest.mark.parametrize("n", [1, 2, 64, 200, 1000])
def test_every_row_is_done_in_few_attempts_whatever_the_memory(n: int, memory: int) -> None:
    model = Model(memory=memory)
    answers, _ = run(model, [1] * n, budget=10**9)
    assert answers == [2] * n
    assert len(model.batches) <= 2 * n / memory + math.log2(memory)


def test_what_fits_is_remembered() -> None:
    model = Model(memory=20)
    _, batcher = run(model, [1] * 500, budget=10**9)
    assert 20 * 7 // 8 <= batcher.budget <= 20
    assert sum(len(b) > 20 for b in model.batches[10:]) == 0


def test_memory_that_others_take_lowers_the_budget_again() -> None:
    class Shrinking(Model):
        def work(self, batch: Sequence[int]) -> list[int | CallError]:
            self.memory = 40 if len(self.batches) < 6 else 4
            return super().work(batch)

    model = Shrinking()
    answers, batcher = run(model, [1] * 400, budget=64)
    assert answers == [2] * 400
    assert batcher.budget <= 4


def test_a_request_that_does_not_fit_alone_fails_alone() -> None:
    model = Model(memory=10)
    answers, _ = run(model, [1, 1, 99, 1], budget=10**6)
    assert [a for a in answers if not isinstance(a, Exception)] == [2, 2, 2]
    assert isinstance(answers[2], PermanentCallError)
    assert "even with this request alone (99 tokens)" in str(answers[2])


def test_another_error_is_not_mistaken_for_out_of_memory() -> None:
    model = Model(memory=3, error=lambda: OSError("no space left on device"))
    answers, batcher = run(model, [1] * 8, budget=8)
    assert all(isinstance(a, PermanentCallError) and "no space left" in str(a) for a in answers)
    assert (len(model.batches), batcher.budget) == (1, 8)


def test_an_error_in_the_result_is_that_requests_own() -> None:
    class Picky(Model):
        def work(self, batch: Sequence[int]) -> list[int | CallError]:
            return [BadRequestError("not two") if n == 2 else n for n in batch]

    answers, _ = run(Picky(), [1, 2, 3], budget=100)
    assert [answers[0], str(answers[1]), answers[2]] == [1, "not two", 3]


def test_a_cancelled_request_is_not_worked_on() -> None:
    model = Model()

    async def main() -> None:
        batcher: Batcher[int, int] = Batcher(model.work, budget=100, is_out_of_memory=lambda e: False)
        tasks = [asyncio.create_task(batcher.submit(n, n)) for n in (1, 2, 3)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        assert await asyncio.gather(tasks[0], tasks[2]) == [2, 6]
        await batcher.close()

    asyncio.run(main())
    assert sorted(n for b in model.batches for n in b) == [1, 3]


def test_the_thread_is_handed_the_next_whole_batch_before_it_is_through_with_one() -> None:
    taken: list[bool] = []

    class Watching(Model):
        def work(self, batch: Sequence[int]) -> list[int | CallError]:
            until = time.monotonic() + 5 * (len(self.batches) == 1)  # while the second batch is worked on, the third is taken and the fourth is not
            while time.monotonic() < until and len(batcher._jobs) > 1:
                time.sleep(0.001)
            taken.append(len(batcher._jobs) == 1)
            return super().work(batch)

    model = Watching()

    async def main() -> list[int]:
        nonlocal batcher
        batcher = Batcher(model.work, budget=2, is_out_of_memory=lambda e: False)
        answers = await asyncio.gather(*(batcher.submit(1, 1) for _ in range(7)))
        await batcher.close()
        return answers

    batcher: Batcher[int, int]
    assert asyncio.run(main()) == [2] * 7
    assert (taken[1], [len(b) for b in model.batches]) == (True, [2, 2, 2, 1])


def test_requests_that_arrive_while_a_batch_is_worked_on_form_the_next() -> None:
    model = Model()

    async def main() -> list[int]:
        batcher: Batcher[int, int] = Batcher(model.work, budget=100, is_out_of_memory=lambda e: False)
        first = await batcher.submit(1, 1)
        rest = await asyncio.gather(*(batcher.submit(n, n) for n in (2, 3)))
        await batcher.close()
        return [first, *rest]

    assert asyncio.run(main()) == [2, 4, 6]
    assert model.batches == [[1], [3, 2]]
