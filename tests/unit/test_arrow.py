"""Arrow arrays made by way of polars: the same as pyarrow makes them, and pandas stays out."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pyarrow as pa
import pytest

from dreamframe.arrow import array, key_array, zero_filled

RUN = """
import sys, tempfile
import dreamframe as dr
from dreamframe.testing import Echo

rows = {"a": [1, None], "t": ["x", None], "b": [True, None], "f": [float("nan"), None], "l": [[1], None]}
with tempfile.TemporaryDirectory() as folder, dr.Session(folder, progress=False):
    for _ in range(2):
        dr.frame(rows).prompt(Echo(), "{t}", into="c").prompt(Echo(), "{c}", into="d", n=2).write_parquet(f"{folder}/x.parquet")
assert "pyarrow" in sys.modules
print("pandas" in sys.modules)
"""


def test_a_run_does_not_import_pandas() -> None:
    assert subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True).stdout.split() == ["False"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None, -(2**63)], pa.int64()),
        ([2**64 - 1, None], pa.uint64()),
        (range(3), pa.int64()),
        ([True, None, False], pa.bool_()),
        (["a", None, "ü\U0001f600"], pa.string()),
        (["a", None, ""], pa.large_string()),
        ([b"a", None, b""], pa.large_binary()),
        ([None, None], pa.large_string()),
        ([], pa.int64()),
    ],
    ids=str,
)
def test_an_array_is_that_of_pyarrow(values: list[Any], kind: pa.DataType) -> None:
    made = array(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, kind))


@pytest.mark.parametrize("keys", [[], [bytes(16)], [b"0123456789abcdef", None, bytes(16)], [None]], ids=str)
def test_keys_are_those_of_pyarrow(keys: list[bytes | None]) -> None:
    made = key_array(keys)
    made.validate(full=True)
    assert made.equals(pa.array(keys, pa.binary(16)))


@pytest.mark.parametrize(
    ("values", "kind", "zero"),
    [
        ([1, None], pa.int64(), 0),
        ([None, 2**31], pa.uint32(), 0),
        ([True, None, None], pa.bool_(), False),
        (["a", None], pa.large_string(), ""),
        ([None, b"b"], pa.large_binary(), b""),
        ([None, b"abc"], pa.binary(3), bytes(3)),
    ],
    ids=str,
)
def test_nulls_become_zeros(values: list[Any], kind: pa.DataType, zero: Any) -> None:
    filled = zero_filled(pa.array(values, kind))
    filled.validate(full=True)
    assert filled.to_pylist() == [zero if v is None else v for v in values]
    assert zero_filled(pa.array(values, kind)[1:]).to_pylist() == [zero if v is None else v for v in values[1:]]
