"""The recipes that train: each runs on a micro model (the one by API against a server on loopback), and trains nothing when it is run again."""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

from tests.loopback.finetune import KEY, tuning_server
from tests.micro import micro_causal

pytestmark = pytest.mark.models

os.environ.setdefault("OMP_NUM_THREADS", "1")
EXAMPLES = Path(__file__).parents[2] / "examples"
MADE = {  # example → the rows that it writes: file, columns
    "instruction_tuning": ("instructed", ["instruction", "output", "tuned_output"]),
    "aligning": ("aligned", ["question", "chosen", "rejected", "answer"]),
    "self_rewarding": ("rewarded", ["question", "answer"]),
}
TRAINING = {*MADE, "distillation_by_api", "verified_rewards"}


@pytest.fixture(autouse=True)
def copied() -> None:
    shutil.copytree(EXAMPLES, "examples", ignore=shutil.ignore_patterns("output", ".*"))


@pytest.mark.parametrize("name", MADE)
def test_a_recipe_runs_and_its_second_run_trains_nothing(name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file, columns = MADE[name]
    monkeypatch.setattr(sys, "argv", [name, "--base", str(micro_causal())])
    runpy.run_path(f"examples/{name}.py")
    assert "trained nothing" not in capsys.readouterr().out
    first = pl.read_parquet(f"examples/output/{file}.parquet")
    assert first.columns == columns
    assert first.height > 1
    runpy.run_path(f"examples/{name}.py")
    printed = capsys.readouterr()
    assert "from the session, 0 model calls" in printed.out
    assert "trained nothing" in printed.out
    assert "would go to https://huggingface.co/me/" in printed.out
    assert printed.err == ""
    assert pl.read_parquet(f"examples/output/{file}.parquet").equals(first)


def test_verified_rewards_make_a_model_right_more_often_on_rows_held_out(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ["--base", str(micro_causal()), "--steps", "30", "--batch-size", "32", "--learning-rate", "5e-3"]
    monkeypatch.setattr(sys, "argv", ["verified_rewards", *settings])
    made = runpy.run_path("examples/verified_rewards.py")
    assert "trained 2 models" in capsys.readouterr().out
    first = pl.read_parquet("examples/output/verified.parquet")
    is_right = {name: sum(said == gold for said, gold in first.select(name, "gold").iter_rows()) / first.height for name in ("before", "sft", "grpo")}
    assert is_right["before"] < is_right["sft"] - 0.1
    assert is_right["sft"] < is_right["grpo"] - 0.1
    card = made["model"].card("me/verified_model")
    assert "https://arxiv.org/abs/2411.15124" in card
    assert "https://arxiv.org/abs/2402.03300" in card
    runpy.run_path("examples/verified_rewards.py")
    printed = capsys.readouterr()
    assert "0 model calls, trained nothing" in printed.out
    assert printed.err == ""
    assert pl.read_parquet("examples/output/verified.parquet").equals(first)


def test_the_recipe_by_api_tunes_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["distillation_by_api"])
    with tuning_server(polls=0) as tuning:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{tuning.address}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        for _ in range(2):
            runpy.run_path("examples/distillation_by_api.py")
        printed = capsys.readouterr().out
    answers = pl.read_parquet("examples/output/explained.parquet")
    assert answers["tuned_answer"][0] == f"ft:gpt-4o-mini:x:ftjob-1 says {answers['title'][0]}"
    assert (tuning.count("POST /files"), tuning.count("POST /fine_tuning/jobs")) == (2, 1), "rows and validation rows; one job"
    assert printed.count("\ntuned model: ft:gpt-4o-mini:x:ftjob-1") == 2
