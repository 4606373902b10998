"""Every example runs on the embedded models, writes its rows, and asks nothing when it is run again."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import polars as pl
import pytest

from tests.models.test_training_examples import TRAINING

pytestmark = [pytest.mark.models, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "examples"
MADE = {  # example → the rows that it writes: file, columns, how many at least
    "abstracts_to_tweets": ("tweets", ["abstract", "tweet"], 4),
    "attributed_reviews": ("reviews_of_films", ["review"], 6),
    "question_decompositions": ("decompositions", ["id", "question", "steps", "n"], 2),
    "sports_articles": ("sports", ["id", "article"], 2),
    "bootstrapped_translation": ("translations", ["sentence", "french"], 2),
}


def calls(printed: str) -> int:
    found = re.search(r"this run: (?:.* from the session, )?(\d+) model calls", printed)
    assert found, printed
    return int(found[1])


@pytest.mark.parametrize("name", MADE)
def test_an_example_runs_and_its_second_run_makes_no_call(name: str, capsys: pytest.CaptureFixture[str]):
    shutil.copytree(EXAMPLES, "examples", ignore=shutil.ignore_patterns("output", ".*"))
    rows, columns, least = MADE[name]
    written = Path("examples/output") / f"{rows}.parquet"
    runpy.run_path(f"examples/{name}.py")
    assert calls(capsys.readouterr().out) > 0
    first = pl.read_parquet(written)
    assert first.columns == columns
    assert first.height >= least
    runpy.run_path(f"examples/{name}.py")
    again = capsys.readouterr()
    assert calls(again.out) == 0
    assert "trained nothing" in again.out
    assert "would go to https://huggingface.co/datasets/me/" in again.out
    assert again.err == ""
    assert pl.read_parquet(written).equals(first)


def test_every_example_is_run():
    assert {p.stem for p in EXAMPLES.glob("*.py")} == {*MADE, *TRAINING, "quickstart"}  # `make demo` runs that one
