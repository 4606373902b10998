"""The types of polars as Arrow has them; what a run does not import."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import polars as pl
import pytest

from dreamframe.errors import FingerprintError
from dreamframe.identity.arrow import in_arrow, type_name

RUN = """
import sys, tempfile
import dreamframe as dr
from dreamframe.testing import Echo

rows = {"a": [1, None], "t": ["x", None], "b": [True, None], "f": [float("nan"), None], "l": [[1], None]}
with tempfile.TemporaryDirectory() as folder:
    for _ in range(2):
        with dr.Session(folder, progress=False):
            dr.frame(rows).prompt(Echo(), "{t}", into="c").prompt(Echo(), "{c}", into="d", n=2).write_parquet(f"{folder}/x.parquet")
        print(*(name in sys.modules for name in ("pyarrow", "pandas")))
"""


def test_a_run_that_only_writes_does_not_import_pyarrow_and_none_imports_pandas() -> None:
    said = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["False False", "True False"]


@pytest.mark.parametrize(
    ("dtype", "kind", "plain"),
    [
        (pl.Int64, pl.Int64(), pl.Int64()),
        (pl.Enum(["a"]), pl.String(), pl.String()),
        (pl.Int128(), pl.String(), pl.String()),
        (pl.Categorical(), pl.Categorical(), pl.String()),
        (pl.List(pl.Array(pl.Categorical(), 2)), pl.List(pl.Array(pl.Categorical(), 2)), pl.List(pl.Array(pl.String(), 2))),
        (pl.Struct({"e": pl.Enum(["a"]), "n": pl.Int8}), pl.Struct({"e": pl.String(), "n": pl.Int8}), pl.Struct({"e": pl.String(), "n": pl.Int8})),
    ],
    ids=str,
)
def test_types_that_arrow_has_not_become_texts(dtype: Any, kind: pl.DataType, plain: pl.DataType) -> None:
    assert in_arrow(dtype, "a") == kind
    assert in_arrow(dtype, "a", plain=True) == plain


def test_objects_are_refused_by_the_name_of_their_column() -> None:
    with pytest.raises(FingerprintError, match="column 'a' holds Python objects"):
        in_arrow(pl.List(pl.Object()), "a")


@pytest.mark.parametrize("dtype", [pl.Int8(), pl.UInt64(), pl.Float16(), pl.Float32(), pl.Boolean(), pl.Date(), pl.Time(), pl.Null(), pl.String()], ids=str)
@pytest.mark.parametrize("shape", [lambda d: d, lambda d: pl.Struct({"a": d, "b": pl.Duration("ms")})], ids=["plain", "in a struct"])
def test_names_of_types_are_those_of_arrow(dtype: pl.DataType, shape: Any) -> None:
    kind = pl.DataFrame(schema={"a": shape(dtype)}).to_arrow().schema.field("a").type
    assert type_name(shape(dtype)).replace("'", "").replace("large_string", "string") == str(kind).replace("large_string", "string")


def test_a_type_that_is_not_known_is_refused() -> None:
    with pytest.raises(FingerprintError, match="cast it to another type first"):
        type_name(pl.Unknown())
