"""The table for those who come from DataDreamer, docs/from/datadreamer.md: every line is run, and gives what DataDreamer's step or operation gives."""

from __future__ import annotations

import doctest
import inspect
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.identity.fingerprint import fingerprint

PAGE = (Path(__file__).parents[2] / "docs" / "from" / "datadreamer.md").read_text()
SECTION = PAGE.partition("## Every step and operation\n")[2].partition("\n##")[0]
LINES: dict[str, str] = dict(re.findall(r"^\| (.+?) \| `(.+)` \|$", SECTION, re.MULTILINE))
ROWS = {"text": ["rain is wet", "tea is hot", "hot tea"], "other": ["tea", "rain is cold and wet", "tea, hot"], "n": [3, 1, 2], "question": ["?"] * 3}


def answer(asked: str) -> str:
    """Likes tea and long texts; repeats everything else."""
    if "Rate it" in asked:
        return f"I give it {len(asked.partition('Input: ')[2].partition(chr(10))[0])} of 9... it is what it is."
    if "about tea?" in asked:
        return "Yes." if "tea" in asked.partition("\n")[0] else "No, it is not."
    if "is better?" in asked:
        kind = "Response" if "Response A" in asked else "Input"
        first, second = (re.search(rf"{kind} {side}: (.*)", asked)[1] for side in "AB")  # type: ignore[index]
        return f"{kind} {'A' if len(first) >= len(second) else 'B'}"
    return asked


@pytest.fixture
def names(tmp_path: Path) -> dict[str, Any]:
    """What the section says is there."""
    pl.DataFrame(ROWS).write_csv("rows.csv")
    pl.DataFrame(ROWS).write_ndjson("rows.ndjson")
    Path("rows.txt").write_text("tea\nrain\n")
    return {
        "dr": dr,
        "pl": pl,
        "df": dr.frame(ROWS),
        "docs": dr.frame({"doc": ["snow", "hot tea is nice", "the rain"]}),
        "pool": dr.frame({"text": ["tea", "rain"], "german": ["Tee", "Regen"]}),
        "llm": dr.testing.Scripted(answer),
        "embedder": dr.testing.WordEmbedder(size=4096),
        "task_model": dr.testing.NamingClassifier(),
        "dataset": dr.frame(ROWS).to_hf_dataset() if "dataset" in SECTION else None,
    }


def result(line: str, names: dict[str, Any]) -> Any:
    """What a line of the table gives: run as a doctest."""
    example = doctest.DocTestParser().get_doctest(f">>> result = {line}\n", names, line, "datadreamer.md", 0)
    said: list[str] = []
    failed = doctest.DocTestRunner(verbose=False).run(example, out=said.append, clear_globs=False).failed
    assert not failed, "".join(said)
    return example.globs["result"]


def columns(made: Any) -> dict[str, list[Any]]:
    """Rows as columns, whatever holds them."""
    if isinstance(made, dr.Frame):
        made = made.collect()
    return dict(made.to_dict(as_series=False))


GENERATIONS = {  # exactly what DataDreamer's steps ask, as our models repeat it
    "`Prompt`": ROWS["text"],
    "`ProcessWithPrompt`": [f"Input: {t}\n\nInstruction: Translate." for t in ROWS["text"]],
    "`FewShotPrompt`": [f"Translate.\n\nInput: tea\nOutput: Tee\nInput: rain\nOutput: Regen\nInput: {t}\nOutput:" for t in ROWS["text"]],
    "`FewShotPromptWithRetrieval`": [
        f"Translate.\n\nInput: {a}\nOutput: {b}\nInput: {t}\nOutput:"
        for (a, b), t in zip([("rain", "Regen"), ("tea", "Tee"), ("tea", "Tee")], ROWS["text"], strict=True)
    ],
    "`RAGPrompt`": [
        f"Document: {a}\nDocument: {b}\n\nQuestion: {t}"
        for (a, b), t in zip([("the rain", "hot tea is nice"), ("hot tea is nice", "snow"), ("hot tea is nice", "snow")], ROWS["text"], strict=True)
    ],
    "`DataFromPrompt`": ["Write a haiku."] * 3,
}
GIVES: dict[str, dict[str, list[Any]]] = {  # columns that the line must hold; with no column of ROWS named, all of those as they were
    "`DataSource`": {"text": ["tea", "rain"]},
    "`CSVDataSource`": ROWS,
    "`JSONDataSource`": ROWS,
    "`TextDataSource`": {"text": ["tea", "rain"]},
    "`HFDatasetDataSource`": ROWS,
    **{name: {"generations": texts} for name, texts in GENERATIONS.items()},
    "`DataFromAttributedPrompt`": {  # the product in order, again from the start until there are n
        "topic": ["tea", "rain", "tea"], "answer": ["A short poem on tea.", "A short poem on rain.", "A short poem on tea."],
    },
    "`FilterWithPrompt`": {"text": ["tea is hot", "hot tea"], "n": [1, 2]},
    "`RankWithPrompt`": {"text": ["rain is wet", "tea is hot", "hot tea"], "scores": [11, 10, 7]},  # the highest first
    "`JudgePairsWithPrompt`": {"judgements": ["a", "b", "b"]},
    "`JudgeGenerationPairsWithPrompt`": {"judgements": ["a", "b", "b"]},
    "`RunTaskModel`": {"results": ["rain", "tea", "tea"]},
    "`CosineSimilarity`": {"similarities": [0.0, pytest.approx(0.258, abs=1e-3), 1.0]},
    "`concat`": {k: [*v, v[0]] for k, v in ROWS.items()},
    "`zipped`": {"text": ROWS["text"], "n": ROWS["n"]},
    "`.select([0, 2])`": {"n": [3, 2]},
    "`.select_columns`": {"text": ROWS["text"], "n": ROWS["n"]},
    "`.take`": {"n": [3, 1]},
    "`.skip`": {"n": [2]},
    "`.sort`": {"n": [1, 2, 3]},
    "`.add_item`": {"text": [*ROWS["text"], "snow"]},
    "`.map`": {"loud": ["RAIN IS WET", "TEA IS HOT", "HOT TEA"]},
    "`.filter`": {"n": [3, 2]},
    "`.rename_column`, `.rename_columns`": {"number": [3, 1, 2]},
    "`.remove_columns`": {"text": ROWS["text"], "question": ROWS["question"]},
    "`.shard`": {"n": [3, 2]},
    "`.reverse`": {k: v[::-1] for k, v in ROWS.items()},
    "`.head`": {"n": [3, 1]},
    "`.save`, `.copy`, `.output`": ROWS,
    "a `Step` or `SuperStep` of your own": {"answer": ROWS["text"][:2]},
}


@pytest.mark.parametrize("name", GIVES)
def test_a_line_gives_what_the_step_gives(name: str, names: dict[str, Any], session: dr.Session):
    made = columns(result(LINES[name], names))
    assert {k: made.get(k) for k in GIVES[name]} == GIVES[name]


@pytest.mark.parametrize("name", [*GENERATIONS, "`JudgePairsWithPrompt`", "`RunTaskModel`", "`Embed`", "`CosineSimilarity`", "`Retrieve`"])
def test_other_columns_stay_where_datadreamer_dropped_them(name: str, names: dict[str, Any], session: dr.Session):
    if name != "`DataFromPrompt`":
        made = columns(result(LINES[name], names))
        assert {k: made[k] for k in ROWS} == ROWS


def test_embeddings_and_results_of_retrieval(names: dict[str, Any], session: dr.Session):
    embedded = columns(result(LINES["`Embed`"], names))
    assert [sum(v) for v in embedded["embeddings"]] == [3.0, 3.0, 2.0]
    found = columns(result(LINES["`Retrieve`"], names))["results"]
    assert [[hit["text"] for hit in hits][:1] for hits in found] == [["the rain"], ["hot tea is nice"], ["hot tea is nice"]]
    assert all(hits[0]["score"] >= hits[1]["score"] for hits in found)


def test_operations_that_draw_or_split_lose_no_row(names: dict[str, Any], session: dr.Session):
    assert sorted(columns(result(LINES["`.shuffle`"], names))["n"]) == [1, 2, 3]
    assert len(columns(result(LINES["`.splits`"], names))["n"]) == 2
    assert [f.height for f in result(LINES["`concurrent`, `wait`"], names)] == [1, 1]


def test_exports_hold_the_rows(names: dict[str, Any], session: dr.Session):
    assert result(LINES["`.export_to_dict`"], names) == ROWS
    assert result(LINES["`.export_to_list`"], names)[0] == {k: v[0] for k, v in ROWS.items()}
    assert columns(pl.from_arrow(result(LINES["`.export_to_hf_dataset`"], names).with_format("arrow")[:])) == ROWS
    assert result(LINES["`.data_card`"], names).startswith("---\npretty_name:")
    result(LINES["`.export_to_json`"], names)
    result(LINES["`.export_to_csv`"], names)
    assert columns(pl.read_ndjson("out.ndjson")) == columns(pl.read_csv("out.csv")) == ROWS


def test_the_hub_is_read_and_written(names: dict[str, Any], tmp_path: Path):
    with dr.Session(tmp_path) as kept:
        assert kept.stores.sources is not None
        kept.stores.sources.keep("org/name", fingerprint(["hub", "org/name", None, "train", None]), pl.DataFrame(ROWS), {"revision": "0" * 40})
        assert columns(result(LINES["`HFHubDataSource`"], names)) == ROWS
    assert "data/train-00000-of-00001.parquet" in result(LINES["`.publish_to_hf_hub`"], names).written


def test_every_line_of_the_table_is_run():
    source = inspect.getsource(inspect.getmodule(test_every_line_of_the_table_is_run))  # type: ignore[arg-type]
    assert len(LINES) == SECTION.count("\n| ") - 1  # but for its head
    assert [name for name in LINES if f'"{name}"' not in source] == []


STEPS = """
DataSource CSVDataSource JSONDataSource TextDataSource HFDatasetDataSource Prompt ProcessWithPrompt FewShotPrompt FewShotPromptWithRetrieval RAGPrompt
DataFromPrompt DataFromAttributedPrompt FilterWithPrompt RankWithPrompt JudgePairsWithPrompt JudgeGenerationPairsWithPrompt RunTaskModel Embed
CosineSimilarity Retrieve concat zipped wait concurrent SuperStep .select .select_columns .take .skip .shuffle .sort .add_item .map .filter .rename_column
.rename_columns .remove_columns .splits .shard .reverse .save .copy .output .head .export_to_dict .export_to_list .export_to_json .export_to_csv
.export_to_hf_dataset
"""
ON_THE_HUB = {"HFHubDataSource": (dr, "scan_hub"), ".publish_to_hf_hub": (dr.Frame, "push_to_hub"), ".data_card": (dr.Frame, "card")}


@pytest.mark.parametrize("step", [*STEPS.split(), *(step for step, (owner, name) in ON_THE_HUB.items() if hasattr(owner, name))])
def test_the_table_names_every_step_and_operation(step: str):
    assert re.search(rf"`{re.escape(step)}(?:\([^`]*\))?`", "\n".join(LINES))
