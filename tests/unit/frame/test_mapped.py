"""Functions in `map`: of one value or of a dict, async or not; what they make is said by schema=, into= or their own declaration."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError

ROWS = dr.frame({"n": [1, 2, 3]})
IN_FLIGHT = [0, 0]  # now, at most


async def both(row: dict[str, Any]) -> dict[str, int]:
    IN_FLIGHT[0] += 1
    IN_FLIGHT[1] = max(IN_FLIGHT)
    await asyncio.sleep(0.01)
    IN_FLIGHT[0] -= 1
    return {"m": row["n"] * 2}


async def one(row: dict[str, Any], factor: int = 2) -> int:
    await asyncio.sleep(0)
    return int(row["n"]) * factor


def half(row: dict[str, Any]) -> float | None:
    return row["n"] / 2


class Doubled:
    async def __call__(self, row: dict[str, Any]) -> int:
        return await one(row)


WAYS: dict[str, tuple[Callable[[], dr.Frame], list[Any]]] = {
    "a value": (lambda: ROWS.map(lambda row: row["n"] * 2, into="m", schema=int), [2, 4, 6]),
    "a value of a declared type": (lambda: ROWS.map(half, into="m"), [0.5, 1.0, 1.5]),
    "a dict": (lambda: ROWS.map(lambda row: {"m": row["n"] * 2}, {"m": int}), [2, 4, 6]),
    "a list": (lambda: ROWS.map(lambda row: [row["n"]], into="m", schema=list[int]), [[1], [2], [3]]),
    "async, a dict": (lambda: ROWS.map(both, {"m": int}), [2, 4, 6]),
    "async, a value": (lambda: ROWS.map(one, into="m"), [2, 4, 6]),
    "async, in a lambda": (lambda: ROWS.map(lambda row: one(row), into="m", schema=int), [2, 4, 6]),  # noqa: PLW0108  another kind of function
    "async, in a partial": (lambda: ROWS.map(functools.partial(one, factor=3), into="m", schema=int), [3, 6, 9]),
    "async, in an object": (lambda: ROWS.map(Doubled(), into="m", schema=int), [2, 4, 6]),
    "async, versioned": (lambda: ROWS.map(dr.versioned(one, version=1), into="m"), [2, 4, 6]),
    "async, with threads of its own": (lambda: ROWS.map(lambda row: one(row), into="m", schema=int, timeout=9), [2, 4, 6]),  # noqa: PLW0108
}


@pytest.mark.parametrize("way", WAYS)
def test_a_function_makes(way: str, session: dr.Session) -> None:
    make, values = WAYS[way]
    assert make().collect()["m"].to_list() == values


def test_async_functions_are_awaited_together_and_no_more_of_them_than_workers(session: dr.Session) -> None:
    rows = dr.frame({"n": list(range(40))})
    for workers, most in ((None, 40), (3, 3)):
        IN_FLIGHT[:] = [0, 0]
        rows.map(both, {"m": int}, workers=workers).collect()
        assert [0, most] == IN_FLIGHT


def test_what_an_async_function_raises_is_a_failed_row(session: dr.Session) -> None:
    async def picky(row: dict[str, Any]) -> int:
        if row["n"] == 2:
            raise ValueError("two")
        if row["n"] == 3:
            raise SystemExit(3)
        return 1

    df = ROWS.map(picky, into="m", on_error="null")
    assert df.collect()["m"].to_list() == [1, None, None]
    assert df.failures()["message"].to_list() == ["two", "SystemExit: 3"]


def test_an_async_function_has_its_time(session: dr.Session) -> None:
    async def slow(row: dict[str, Any]) -> int:
        await asyncio.sleep(30 if row["n"] == 2 else 0)
        return 1

    began = time.monotonic()
    df = ROWS.map(slow, into="m", on_error="null", timeout=0.1)
    assert df.collect()["m"].to_list() == [1, None, 1]
    assert df.failures()["message"].to_list() == ["map: no result within 0.1 s"]
    assert time.monotonic() - began < 10


def test_a_table_may_be_awaited(session: dr.Session) -> None:
    async def first(table: pl.DataFrame) -> pl.DataFrame:
        return table.head(1)

    assert ROWS.map_batches(first).collect().height == 1


def test_a_function_of_a_dict_has_the_key_it_always_had() -> None:
    from dreamframe.plan.steps.apply import MapRows

    step = ROWS.map(half, {"m": float}).step
    assert isinstance(step, MapRows)
    assert "of_value" not in step.key_fields()
    assert ROWS.map(half, into="m", schema=float).step.key({}) != step.key({})


def test_a_plan_with_a_value_is_written_and_read() -> None:
    df = ROWS.map(half, into="m")
    assert dr.from_json(df.to_json(), functions=[half]).step.key({}) == df.step.key({})


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "nothing is said": (lambda: ROWS.map(lambda row: 1), r"Say what the function makes: map\(function, schema=\{'c': int\}\)"),
    "a type without a name": (lambda: ROWS.map(lambda row: 1, schema=int), "schema=int does not name a column"),
    "a name without a type": (lambda: ROWS.map(lambda row: 1, into="m"), "the type of the new column is not known"),
    "two schemas": (lambda: ROWS.map(half, {"m": int}, into="m"), "schema= is its type, not a dict"),
    "no function": (lambda: ROWS.map("upper", into="m"), "'upper' is not a function"),  # type: ignore[arg-type]
    "no type": (lambda: ROWS.map(half, {"m": "int"}), "A type is int, float, str"),
    "no table": (lambda: ROWS.map_batches(half, schema=int), "not a dict of names and types"),  # type: ignore[arg-type]
    "no parser": (lambda: ROWS.prompt(dr.testing.Echo(), "{n}", parse=3), "parse= is the int 3"),  # type: ignore[arg-type]
    "an async parser": (lambda: ROWS.prompt(dr.testing.Echo(), "{n}", parse=one), "parse= is an async function"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_called_or_has_no_type_is_refused_on_its_line(case: str) -> None:
    make, said = WRONG[case]
    with pytest.raises(SettingError, match=said):
        make()


@pytest.mark.parametrize("wrong", [{"timeout": "1"}, {"timeout": 0}, {"timeout": True}, {"workers": 0}, {"workers": "4"}, {"workers": 1.5}])
def test_seconds_and_workers_that_are_none_are_refused(wrong: dict[str, Any]):
    with pytest.raises(SettingError, match=f"^map: {next(iter(wrong))}="):
        ROWS.map(lambda row: 1, into="c", schema=int, **wrong)
