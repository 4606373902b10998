"""`dreamframe prompt`, asked of a real server: rows in, rows out, nothing paid twice or without a yes, no secret told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from dreamframe.view.guard import FAILED, NOT_ALLOWED, WRONG
from tests.loopback.server import Loopback
from tests.unit.view.running import dreamframe, prompted

CSV = 'id,text\n007,"tea, hot"\n008,\n009,jam\n'
ANSWERED = 'id,text,said\n007,"tea, hot","Say tea, hot"\n008,,\n009,jam,Say jam\n'
STRANGE = "\x1b]0;owned\x07[bold]red[/bold]"


def reply(body: dict[str, Any]) -> str:
    """The prompt, and something else where a test asks for it."""
    turns = [turn["content"] for turn in body["messages"]]
    wanted = {"strange": STRANGE, "mood": "good", "jam?": "no idea"}
    return next((said for word, said in wanted.items() if word in "".join(turns)), turns[-1])


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(reply) as running:
        yield running


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DREAMFRAME_TRACEBACK")
    Path("rows.csv").write_text(CSV)


def test_standard_input_becomes_standard_output_and_is_not_asked_twice(server: Loopback):
    first = prompted(server, "-", "Say {text}", "--into", "said", "-o", "-", session=Path("s"), given=CSV)
    assert (first.code, first.out) == (0, ANSWERED)
    assert first.err == "3 rows · 2 asked, 0 kept · price unknown · session s\n"
    longer = prompted(server, "-", "Say {text}", "--into", "said", session=Path("s"), given=f"{CSV}010,rye\n")
    assert longer.out == f"{ANSWERED}010,rye,Say rye\n"
    assert "1 asked, 2 kept" in longer.err
    assert sorted(server.prompts) == ["Say jam", "Say rye", "Say tea, hot"]


@pytest.mark.parametrize("ending", ["csv", "json", "ndjson", "parquet"])
def test_each_format_is_read_and_written(ending: str, server: Loopback, tmp_path: Path):
    rows = pl.DataFrame({"n": [1, 2], "text": ["tea", "jam"]})
    getattr(rows, f"write_{ending}")(f"in.{ending}")
    said = prompted(server, f"in.{ending}", "Say {text}", "-o", f"out/made.{ending}", session=Path("s"))
    assert (said.code, said.out) == (0, "")
    read = getattr(pl, f"read_{ending}")(f"out/made.{ending}")
    assert read.equals(rows.with_columns(answer=pl.format("Say {}", "text")))


def test_where_nobody_can_say_yes_nothing_is_asked(server: Loopback):
    said = prompted(server, "rows.csv", "Say {text}", session=Path("s"), yes=False)
    assert (said.code, said.out) == (NOT_ALLOWED, "")
    assert said.err.startswith("Error: there is no terminal to confirm what this costs: 2 calls · ")
    assert "Give --yes to spend it" in said.err
    assert server.n_calls == 0
    assert prompted(server, "rows.csv", "Say {text}", session=Path("s")).code == 0
    assert prompted(server, "rows.csv", "Say {text}", session=Path("s"), yes=False).code == 0  # all is kept: there is nothing to confirm
    assert server.n_calls == 2


def test_a_dry_run_says_what_it_would_cost_and_asks_nothing(server: Loopback):
    words = ("--dry-run", "--limit", "1", "--n", "3")
    assert prompted(server, "rows.csv", "Say {text}", *words, session=Path("s")).out.startswith("3 calls · ")
    found = prompted(server, "rows.csv", "Say {text}", *words, "--json", session=Path("s")).json
    assert (found["calls"], found["steps"][0]["label"], found["cost"]) == (3, "answer", None)
    assert server.n_calls == 0


def test_a_price_that_no_list_has_is_given_and_a_budget_is_kept_by_it(server: Loopback):
    words = ("--temperature", "0", "--max-tokens", "9", "--price", "10,20")
    assert " · $0.000" in prompted(server, "rows.csv", "Say {text}", *words, "--dry-run", session=Path("s")).out
    said = prompted(server, "rows.csv", "Say {text}", *words, "--budget", "0.0000001", session=Path("s"))
    assert (said.code, server.n_calls) == (NOT_ALLOWED, 0)
    assert "BudgetExceededError" in said.err
    done = prompted(server, "rows.csv", "Say {text}", *words, "--budget", "1", session=Path("s"))
    assert (done.code, " · $0.000" in done.err) == (0, True)
    assert prompted(server, "rows.csv", "Say {text}", "--price", "10", session=Path("s")).code == WRONG


def test_settings_reach_the_model_and_the_column(server: Loopback):
    words = ("--schema", "good,bad", "--system", "Be brief.", "--temperature", "0.5", "--max-tokens", "7", "--seed", "3", "--into", "mood", "--to", "json")
    said = prompted(server, "rows.csv", "The mood of {text}", *words, session=Path("s"))
    assert [row["mood"] for row in said.json] == ["good", None, "good"]
    body = server.calls[0].body
    assert (body["temperature"], body["max_tokens"], body["seed"], body["messages"][0]["content"]) == (0.5, 7, 3, "Be brief.")


def test_rows_without_an_answer_fail_the_command_and_are_listed(server: Loopback):
    words = ("--schema", "int", "--limit", "1")
    Path("rows.csv").write_text("text\njam?\n")
    said = prompted(server, "rows.csv", "{text}", *words, session=Path("s"))
    assert (said.code, said.out) == (FAILED, "")
    assert said.err.startswith("Error: answer: 1 of 1 rows failed (1 × ParseError).")
    (failure,) = dreamframe("failures", "-s", "s", "--json").json
    assert (failure["row"], failure["step"], failure["error"], failure["text"]) == (0, "answer", "ParseError", "no idea")
    null = prompted(server, "rows.csv", "{text}", *words, "--on-error", "null", session=Path("s"))
    assert (null.code, null.out) == (0, "text,answer\njam?,\n")
    assert "1 failed (dreamframe failures -s s)" in null.err
    n = server.n_calls
    prompted(server, "rows.csv", "{text}", *words, "--on-error", "null", "--retry", session=Path("s"))
    assert server.n_calls > n


def test_offline_gives_what_is_kept_and_makes_no_call(server: Loopback):
    assert prompted(server, "rows.csv", "Say {text}", "--limit", "1", session=Path("s")).code == 0
    assert prompted(server, "rows.csv", "Say {text}", "--limit", "1", "--offline", session=Path("s"), yes=False).code == 0
    said = prompted(server, "rows.csv", "Say {text}", "--offline", session=Path("s"), yes=False)
    assert said.code == FAILED
    assert "offline" in said.err
    assert server.n_calls == 1


def test_an_earlier_file_stays_until_all_rows_are_there(server: Loopback):
    Path("out.csv").write_text("earlier\n")
    Path("rows.csv").write_text("text\njam?\n")
    assert prompted(server, "rows.csv", "{text}", "--schema", "int", "-o", "out.csv", session=Path("s")).code == FAILED
    assert Path("out.csv").read_text() == "earlier\n"


def test_what_a_model_says_steers_no_terminal(server: Loopback):
    Path("rows.csv").write_text("text\nstrange\n")
    said = prompted(server, "rows.csv", "{text}", "--to", "ndjson", session=Path("s"))
    assert said.json == {"text": "strange", "answer": STRANGE}  # data is data
    prompted(server, "rows.csv", "{text} strange", "--schema", "int", "--on-error", "null", session=Path("s"))
    listed = dreamframe("failures", "-s", "s")
    assert "\x1b" not in listed.out + listed.err
    assert "[bold]red[/bold]" in json.dumps(dreamframe("failures", "-s", "s", "--json").json)


def test_no_secret_is_told(server: Loopback, monkeypatch: pytest.MonkeyPatch):
    key = "sk-secret-0123456789abcdefghij"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    server.fault = lambda call: lambda c: c.send(401, {"error": {"message": f"Incorrect API key provided: {key}", "code": "invalid_api_key"}})
    said = prompted(server, "rows.csv", "Say {text}", session=Path("s"))
    assert said.code == FAILED
    assert server.calls[0].headers["authorization"] == f"Bearer {key}"
    told = [said.out, said.err, *(dreamframe(*words).out for words in (("ls", "s", "--json"), ("failures", "-s", "s"), ("explain", "-s", "s")))]
    assert [text for text in told if key[3:12] in text] == []
