"""Sample numbers follow input order, whatever batch comes to be numbered first."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamframe.run.samples import Samples

KEYS = st.lists(st.sampled_from([None, b"a", b"b"]), max_size=4)


@given(batches=st.lists(KEYS, min_size=1, max_size=6), data=st.data())
def test_the_kth_request_of_a_kind_is_sample_k_in_whatever_order_batches_come(batches: list[list[bytes | None]], data: st.DataObject):
    coming = data.draw(st.permutations(range(len(batches))))

    async def main() -> dict[int, list[int]]:
        samples = Samples()
        numbered = {order: asyncio.ensure_future(samples.number(order, batches[order])) for order in coming}
        return {order: await task for order, task in numbered.items()}

    numbered = asyncio.run(main())
    flat = [(key, k) for order, batch in enumerate(batches) for key, k in zip(batch, numbered[order], strict=True)]
    for kind in (b"a", b"b"):
        of_kind = [k for key, k in flat if key == kind]
        assert of_kind == list(range(len(of_kind)))
    assert all(k == 0 for key, k in flat if key is None)


def test_a_batch_waits_until_all_before_it_are_numbered():
    async def main() -> None:
        samples = Samples()
        second = asyncio.ensure_future(samples.number(1, [b"a"]))
        await asyncio.sleep(0)
        assert not second.done()
        assert await samples.number(0, [b"a", b"a"]) == [0, 1]
        assert await second == [2]

    asyncio.run(main())


def test_further_rows_go_on_where_the_rows_before_them_ended():
    async def main() -> None:
        samples = Samples()
        assert await samples.number(0, [b"a", b"b"]) == [0, 0]
        samples.go_on()
        assert await samples.number(0, [b"b", b"a"]) == [1, 1]

    asyncio.run(main())


def test_a_batch_that_is_numbered_twice_is_an_error_and_waits_for_nobody():
    async def main() -> None:
        samples = Samples()
        await samples.number(0, [b"a"])
        with pytest.raises(RuntimeError, match="batch 0 has its samples already"):
            await samples.number(0, [b"a"])

    asyncio.run(main())


@given(batches=st.lists(st.lists(st.none() | st.integers(0, 40).map(lambda n: n.to_bytes(16, "big")), max_size=8), max_size=30))
def test_what_was_sorted_away_is_counted_as_ever(batches: list[list[bytes | None]]):
    """Few stay in the dict, so that nearly all are counted in the sorted arrays. All keys share their first half."""

    async def numbered(samples: Samples) -> list[list[int]]:
        return [await samples.number(order, keys) for order, keys in enumerate(batches)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dreamframe.run.samples.RECENT_KEYS", 4)
        made = asyncio.run(numbered(Samples()))
    assert made == asyncio.run(numbered(Samples()))


def test_a_request_that_is_asked_once_takes_little_memory():
    samples = Samples()
    keys = [hashlib.sha256(str(n).encode()).digest()[:16] for n in range(60_000)]

    async def main() -> None:
        for order in range(600):
            assert await samples.number(order, keys[order * 100 : order * 100 + 100]) == [0] * 100
        assert await samples.number(600, keys[:3]) == [1, 1, 1]

    asyncio.run(main())
    assert len(samples._recent) < 20_000
