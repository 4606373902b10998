"""`df.dream` of polars and pandas, whichever was imported first."""

from __future__ import annotations

import subprocess
import sys

import polars as pl
import pytest

import dreamframe as dr

ASK = "print(pd.DataFrame({'a': [1]}).dream.columns, pl.DataFrame({'a': [1]}).dream.columns, pl.LazyFrame({'a': [1]}).dream.columns)"


@pytest.mark.parametrize("order", ["import pandas as pd, dreamframe", "import dreamframe, pandas as pd"], ids=["pandas first", "dreamframe first"])
def test_frames_of_pandas_and_polars_have_it(order: str) -> None:
    code = f"{order}, polars as pl, sys; {ASK}; print([f for f in sys.meta_path if 'WithPandas' in repr(f)])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['a'] ['a'] ['a']", "[]"]


def test_dreamframe_alone_imports_no_pandas() -> None:
    done = subprocess.run([sys.executable, "-c", "import dreamframe, sys; print('pandas' in sys.modules)"], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("made", [pl.DataFrame, pl.LazyFrame])
def test_a_polars_frame_says_where_prompt_is(made: type) -> None:
    rows = made({"a": [1]})
    with pytest.raises(AttributeError, match=r"Write df\.dream\.prompt"):
        rows.prompt(dr.testing.Echo(), "{a}")
    assert rows.dream.prompt(dr.testing.Echo(), "{a}").columns == ["a", "answer"]
