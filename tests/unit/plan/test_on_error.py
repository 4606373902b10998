"""on_error is checked for every row step, also where a subclass checks nothing: a typo lost rows without a word."""

from __future__ import annotations

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.request import Failure, RowContext
from dreamframe.plan.step import RowStep, step
from tests.laws.cases import CASES, table


@step
class Picky(RowStep):
    """Fails in one row, and has a `check` of its own that calls no other."""

    def check(self) -> None:
        pass

    def output_schema(self) -> pl.Schema:
        return self.inputs[0].schema

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        ctx.fail(0, Failure.of(ValueError("no"), request="row"))
        return rows


def test_an_own_step_with_a_typo_in_on_error_is_not_made():
    with pytest.raises(dr.errors.SettingError, match="picky: on_error='rasie' is not one of 'raise', 'null', 'drop'"):
        Picky(inputs=(table(),), on_error="rasie")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if isinstance(c.over(table()), RowStep)])
def test_no_row_step_takes_another_word(name: str):
    with pytest.raises(dr.errors.SettingError, match="on_error='rasie' is not one of"):
        CASES[name].over(table()).but(on_error="rasie")
