"""Every example runs on the embedded models, writes its rows, and asks nothing when it is run again."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from tests.examples import program
from tests.models.test_training_examples import TRAINING

pytestmark = [pytest.mark.models, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "examples"
MADE = {  # example → the rows that it writes: file, columns, how many at least
    "abstracts_to_tweets": ("tweets", ["abstract", "tweet"], 4),
    "attributed_reviews": ("reviews_of_films", ["review"], 6),
    "question_decompositions": ("decompositions", ["id", "question", "steps", "n"], 2),
    "sports_articles": ("sports", ["id", "article"], 2),
    "bootstrapped_translation": ("translations", ["sentence", "french"], 2),
    "polars_pipeline": ("moods", ["id", "product", "review", "length", "mood"], 10),
    "pandas_script": ("pandas_moods", ["id", "product", "review", "mood"], 40),
}

OF_A_LIBRARY = {"polars_pipeline", "pandas_script"}  # which publish nothing
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def calls(printed: str) -> int:
    found = re.search(r"this run: (?:.* from the session, )?(\d+) model calls", printed)
    assert found, printed
    return int(found[1])


@pytest.mark.parametrize("name", MADE)
def test_an_example_runs_and_its_second_run_makes_no_call(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", [name])
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
    assert "would go to https://huggingface.co/datasets/me/" in again.out or name in OF_A_LIBRARY
    assert again.err == ""
    assert pl.read_parquet(written).equals(first)


def test_settings_of_the_command_line_are_taken(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(EXAMPLES, "examples", ignore=shutil.ignore_patterns("output", ".*"))
    monkeypatch.setattr(sys, "argv", ["polars_pipeline", "--rows", "5", "--llm", "function/none"])
    with pytest.raises(dr.errors.SettingError, match="function/none"):
        runpy.run_path("examples/polars_pipeline.py")
    monkeypatch.setattr(sys, "argv", ["pandas_script", "--rows", "3"])
    runpy.run_path("examples/pandas_script.py")
    assert calls(capsys.readouterr().out) == 3


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom_and_asks_nothing_when_it_runs_again(notebook: Path, capsys: pytest.CaptureFixture[str]):
    shutil.copytree(EXAMPLES, "examples", ignore=shutil.ignore_patterns("output", ".*"))
    os.chdir("examples")
    Path("cells.py").write_text(program(notebook))
    for is_first in (True, False):
        runpy.run_path("cells.py")["session"].close()
        assert (calls(capsys.readouterr().out) > 0) is is_first


def test_every_example_is_run():
    assert len(NOTEBOOKS) == 3
    assert {p.stem for p in EXAMPLES.glob("*.py")} == {*MADE, *TRAINING, "quickstart"}  # `make demo` runs that one
