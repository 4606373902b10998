"""The command line as a whole: help that fits, exit codes, errors in one line, a quick start."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import dreamframe as dr
from dreamframe.view.cli import COMMANDS, app, main
from dreamframe.view.guard import FAILED, WRONG
from tests.unit.view.running import dreamframe

ROOT = Path(__file__).resolve().parents[3]
NAMES = [command.__name__ for command in COMMANDS]


def test_help_lists_every_command_with_a_whole_sentence_and_the_exit_codes():
    said = dreamframe("--help")
    listed = dict(re.findall(r"^  (\w+) +(\S.*)$", said.out.partition("Commands:")[2].partition("Exit codes:")[0], re.MULTILINE))
    assert list(listed) == NAMES
    assert [line for line in listed.values() if not line.endswith(".") or line.endswith("..")] == []
    assert re.findall(r"^    (\d+) ", said.out.partition("Exit codes:")[2], re.MULTILINE) == ["0", "1", "2", "3", "130", "141"]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_explains_itself_and_each_of_its_options(name: str):
    said = dreamframe(name, "--help")
    assert said.code == 0
    assert [line for line in said.out.splitlines() if len(line) > 80] == []
    params: list[Any] = get_command(app).commands[name].params  # type: ignore[attr-defined]
    assert [param.name for param in params if not (param.help or "").endswith(".")] == []


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nix",), WRONG, "No such command 'nix'"),
        (("ls", "--nix"), WRONG, "No such option: --nix"),
        (("ls", "nowhere"), WRONG, "Error: there is no session in 'nowhere'."),
        (("prompt", "gone.csv", "{a}", "--llm", "openai/m"), WRONG, "Error: scan_csv: no such file: 'gone.csv'."),
        (("prompt", "rows.csv", "{b}", "--llm", "openai/m"), WRONG, "Error: prompt: no column 'b'; the frame has 'a'."),
        (("prompt", "rows.csv", "{a}", "--llm", "opnai/m"), WRONG, "Did you mean 'openai'?"),
        (("prompt", "rows.csv", "{a}", "--llm", "openai/m", "--schema", "good"), WRONG, "Error: --schema 'good' is not a schema."),
        (("prompt", "rows.csv", "{a}", "--llm", "openai/m", "-o", "out.xls"), WRONG, "'out.xls' has none of the endings .csv"),
        (("prompt", "rows.csv", "{a}", "--llm", "openai/m", "--on-error", "skip"), WRONG, "--on-error='skip' is not one of 'raise', 'null', 'drop'."),
        (("prompt", "-", "{a}", "--llm", "openai/m"), WRONG, "Error: standard input is empty"),
        (("prompt", "rows.csv", "{a}", "--llm", "openai/m", "--yes"), FAILED, "OPENAI_API_KEY"),
        (("prompt", "broken.csv", "{a}", "--llm", "smollm2", "--yes"), WRONG, "Error: scan_csv: broken.csv: found more fields"),
        (("load", "rows.csv", "copy"), WRONG, "rows.csv"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_error_is_said_in_one_line_with_its_exit_code(
    words: tuple[str, ...], code: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("DREAMFRAME_TRACEBACK")
    Path("rows.csv").write_text("a\n1\n")
    Path("broken.csv").write_text("a\n1\n2,3\n")
    said = dreamframe(*words)
    assert (said.code, said.out) == (code, "")
    assert told in said.err
    assert "Traceback" not in said.err
    assert said.err.rstrip().rpartition("\n")[2].startswith("Error: ")


def test_a_command_that_takes_the_session_as_an_option_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DREAMFRAME_TRACEBACK")
    with dr.Session("out"):
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
    assert dreamframe("failures").err == "Error: there is no session in '.dreamframe'. There is one in 'out'. Say which: --session out\n"
    assert dreamframe("failures", "--session", "out").out == "No failures.\n"
    assert dreamframe("usage", "nowhere").err == "Error: there is no session in 'nowhere'. There is one in 'out'.\n"


@pytest.mark.parametrize("words", [("ls",), ("usage",), ("verify",), ("gc",), ("failures",), ("show",), ("explain",), ("why", "0")], ids=" ".join)
def test_every_command_takes_the_session_in_two_ways(words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with dr.Session("out"):
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
    first, second = dreamframe(*words, "--session", "out"), dreamframe(*words, "out")
    assert (first.code, first.out) == (second.code, second.out) == (0, first.out)
    assert first.out


def test_two_sessions_are_one_too_many(tmp_path: Path):
    said = dreamframe("ls", str(tmp_path / "a"), "--session", str(tmp_path / "b"))
    assert (said.code, "two sessions are named" in said.err) == (WRONG, True)


def test_python_m_dreamframe_starts_without_what_it_does_not_need():
    """One process: help is shown, and nothing heavy was imported for it."""
    probe = "import sys; sys.argv = ['dreamframe', '--help']\nfrom dreamframe.view.cli import main\ntry:\n main()\nexcept SystemExit:\n pass\n"
    probe += "import json; print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    *shown, modules = done.stdout.splitlines()
    assert shown[0].startswith("Usage: dreamframe [OPTIONS] COMMAND")
    assert {"torch", "transformers", "pyarrow", "numpy", "aiohttp", "openai", "huggingface_hub"} & set(json.loads(modules)) == set()


def test_the_command_that_pip_installs_is_this_one():
    module, _, name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["dreamframe"].partition(":")
    assert getattr(importlib.import_module(module), name) is main
    assert importlib.import_module("dreamframe.__main__").main is main


def test_completion_is_there_for_the_usual_shells(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    for shell in ("bash", "zsh", "fish"):
        assert "_DREAMFRAME_COMPLETE" in dreamframe("--show-completion", shell).out


def test_completion_knows_the_plans_of_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import dreamframe as dr

    with dr.Session(tmp_path / "s"):
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
    monkeypatch.setenv("_DREAMFRAME_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"dreamframe show -s {tmp_path / 's'} sa")
    monkeypatch.setenv("COMP_CWORD", "4")
    assert dreamframe().out.split() == ["said"]
