"""Rows that cannot be learnt from, by the reason, and the numbers of the rows that are left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dreamframe.errors import TrainingError
from dreamframe.trainers.job import TrainJob, fit_length, leave_out, read_rows
from dreamframe.trainers.whole_rows import lacking

CHAT = pl.List(pl.Struct({"role": pl.String, "content": pl.String}))
CALLING = pl.List(pl.Struct({"role": pl.String, "content": pl.String, "tool_calls": pl.List(pl.String)}))
NAN, INF = float("nan"), float("inf")


def said(role: str | None, content: str | None) -> dict[str, Any]:
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("values", "dtype", "found"),
    [
        (["a", None, ""], pl.String, {"hold a null": [1]}),
        ([1.0, NAN, INF, -INF, None], pl.Float32, {"hold a null": [4], "hold NaN or infinity": [1, 2, 3]}),
        ([1, None, 3], pl.Int64, {"hold a null": [1]}),
        ([["x"], [], ["x", None], None], pl.List(pl.String), {"hold a null": [2, 3]}),
        ([[], [None], [said("user", "a")]], CHAT, {"hold a null": [1], "hold a chat without messages": [0]}),
        ([[said("user", None)], [said(None, "a")], [said("user", "")]], CHAT, {"hold a message without role or content": [0, 1]}),
        ([[{**said("assistant", None), "tool_calls": c}] for c in (["f()"], [], None)], CALLING, {"hold a message without role or content": [1, 2]}),
    ],
    ids=["text", "numbers", "integers", "label sets", "chats", "messages", "tool calls"],
)
def test_a_row_counts_once_by_its_reason(values: list[Any], dtype: Any, found: dict[str, list[int]]) -> None:
    assert lacking(pl.DataFrame({"x": pl.Series(values, dtype=dtype)}), ["x"]) == found


def test_words_that_are_not_there_cannot_be_tagged() -> None:
    assert lacking(pl.DataFrame({"tokens": [["a"], []], "tags": [["O"], []]}), ["tokens", "tags"]) == {"hold no words": [1]}


def test_rows_keep_their_numbers_when_others_were_left_out_before(tmp_path: Path) -> None:
    """Counted by position, the long row of this frame would be row 1."""
    pl.DataFrame({"text": [None, "a", None, "long", "b", "gone"], "score": [1.0, 1.0, 1.0, 1.0, NAN, 1.0]}).write_ipc(tmp_path / "rows.arrow")
    job = TrainJob(rows=tmp_path / "rows.arrow", workdir=tmp_path, out=tmp_path / "out")
    rows = read_rows(job.rows, job, who="Reward")
    assert rows is not None
    rows = leave_out(rows, [2], why="hold an empty text", who="Reward", job=job)
    assert fit_length(rows, [1, 9], limit=4, policy="drop", who="Reward", job=job)["text"].to_list() == ["a"]
    assert job.notes == [
        "Reward: 2 of 6 rows hold a null and were left out (rows 0, 2).",
        "Reward: 1 of 6 rows hold NaN or infinity and were left out (rows 4).",
        "Reward: 1 of 3 rows hold an empty text, and were left out (rows 5).",
        "Reward: 1 of 2 rows are longer than 4 tokens (rows 3; the longest has 9) and were left out.",
    ]


def test_when_no_row_can_be_learnt_from_all_reasons_are_told(tmp_path: Path) -> None:
    pl.DataFrame({"score": [None, NAN, NAN]}).write_ipc(tmp_path / "rows.arrow")
    job = TrainJob(rows=tmp_path / "rows.arrow", workdir=tmp_path, out=tmp_path / "out")
    with pytest.raises(TrainingError, match="there are no rows to train on: 1 hold a null, 2 hold NaN or infinity"):
        read_rows(job.rows, job, who="Reward")
