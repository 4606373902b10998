"""The commands that look at a session: what they list, the keys of their JSON, and that they change nothing."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.view.guard import FAILED, NOT_ALLOWED, WRONG
from tests.unit.view.running import dreamframe

STRANGE = "\x1b[2J[red]x[/red]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with two plans, of which the second failed at a row."""
    folder = tmp_path_factory.mktemp("look") / "s"
    with dr.Session(folder, progress=False):
        df = dr.frame({"t": ["tea", "jam", STRANGE]}).prompt(dr.testing.Echo(), "Say {t}", into="said")
        df.collect()
        df.prompt(dr.testing.Failing(), "{said}", into="again", on_error="null").collect()
    return folder


@pytest.fixture(autouse=True)
def _as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DREAMFRAME_TRACEBACK")


def state(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_ls_lists_plans_rows_and_what_was_spent(folder: Path):
    lines = [line for line in dreamframe("ls", folder).out.splitlines() if line]
    assert [line.split()[0].partition("-")[0] for line in lines] == ["plan", "said", "again", "rows", "said", "2"]
    assert lines[-1] == "2 runs · 3 calls · $0"
    assert dreamframe("ls", folder, "--json").json == dr.Session.existing(folder).as_dict()


def test_show_gives_the_rows_of_a_plan(folder: Path):
    for name in ("said", *(step.name for step in dr.Session.existing(folder).steps())):
        assert pl.read_csv(dreamframe("show", name, "-s", folder).out.encode())["said"].to_list() == ["Say tea", "Say jam", f"Say {STRANGE}"]
    assert dreamframe("show", "said", "-s", folder, "-n", 1, "--json").json == [{"t": "tea", "said": "Say tea"}]


def test_rows_that_only_python_can_make_again_say_so(folder: Path):
    said = dreamframe("show", "-s", folder)  # the plan that ran last asks an object of Python
    assert said.code == WRONG
    assert said.err.startswith("Error: the rows of again-")
    assert "are not stored" in said.err


def test_explain_shows_the_plan_that_ran_last_or_the_one_that_is_named(folder: Path):
    assert dreamframe("explain", "-s", folder).out.startswith("PROMPT again ← failing")
    assert dreamframe("explain", "said", "-s", folder).out.startswith("PROMPT said ← echo")
    assert set(dreamframe("explain", "said", "-s", folder, "--json").json) >= {"name", "key", "label", "kind", "columns", "explain"}
    nothing = dreamframe("explain", "sadi", "-s", folder)
    assert nothing.code == WRONG
    assert "Did you mean 'said'?" in nothing.err


@pytest.mark.parametrize(("by", "names"), [("step", ["said", "again"]), ("model", ["echo", "failing"])])
def test_usage_sums_up_all_runs(by: str, names: list[str], folder: Path):
    used = dreamframe("usage", folder, "--by", by, "--json").json
    assert [(u[by], u["calls"], u["failed"]) for u in used] == [(names[0], 3, 0), (names[1], 0, 3)]
    assert used == dr.Session.existing(folder).usage(by=by).to_dicts()  # type: ignore[call-overload]
    assert dreamframe("usage", folder, "--by", by).out.splitlines()[-1].split()[:4] == ["total", "3", "0", "3"]


def test_usage_by_run_and_day_counts_the_same(folder: Path):
    for by in ("run", "day"):
        assert sum(u["calls"] for u in dreamframe("usage", folder, "--by", by, "--json").json) == 3
    assert dreamframe("usage", folder, "--by", "hour").code == WRONG


def test_failures_are_those_of_the_last_run_and_obey_nobody(folder: Path):
    said = dreamframe("failures", "-s", folder)
    assert [line.split()[0] for line in said.out.splitlines()] == ["row", "0", "1", "2"]
    assert "\x1b" not in said.out
    assert "[red]x[/red]" in said.out  # rich's markup is text
    listed = dreamframe("failures", "-s", folder, "--json").json
    assert set(listed[0]) == {"run", "step", "row", "column", "error", "message", "request", "attempts", "text"}
    first, last = (run.name.removesuffix(".jsonl") for run in dr.Session.existing(folder).runs())
    assert dreamframe("failures", "-s", folder, "--run", last, "--json").json == listed
    assert dreamframe("failures", "-s", folder, "--run", first).out == "No failures.\n"
    assert dreamframe("failures", "-s", folder, "--run", "nix").code == WRONG


def test_looking_changes_nothing(folder: Path):
    before = state(folder)
    for words in (("ls",), ("usage",), ("verify",), ("gc",)):
        dreamframe(*words, folder)
    for words in (("show", "said"), ("explain", "said", "--cost"), ("failures",)):
        dreamframe(*words, "-s", folder)
    assert {k: v for k, v in state(folder).items() if not k.startswith("locks/")} == {k: v for k, v in before.items() if not k.startswith("locks/")}


def made(folder: Path, text: str = "Say {t}") -> Path:
    with dr.Session(folder, progress=False):
        dr.frame({"t": ["tea", "jam"]}).prompt(dr.testing.Echo(), text, into="said").collect()
    return folder


def test_verify_lists_what_is_damaged_and_ends_with_1(tmp_path: Path):
    made(tmp_path / "s")
    whole = dreamframe("verify", tmp_path / "s")
    assert (whole.code, whole.out) == (0, "Every byte is as it was written.\n")
    (data,) = (tmp_path / "s" / "steps").rglob("data.arrow")
    data.write_bytes(data.read_bytes()[:-9] + b"x" * 9)
    found = dreamframe("verify", tmp_path / "s", "--json")
    assert found.code == FAILED
    assert [set(problem) for problem in found.json] == [{"path", "what"}]
    assert found.json[0]["path"] == f"steps/{data.parent.name}"


def test_gc_asks_before_it_removes(tmp_path: Path):
    made(made(tmp_path / "s"), "Shout {t}")
    keep = dr.Session.existing(tmp_path / "s").plans()[0].name
    before = state(tmp_path / "s" / "steps")
    refused = dreamframe("gc", tmp_path / "s", "--keep", keep)
    assert refused.code == NOT_ALLOWED
    assert "Give --yes" in refused.err
    assert len(dreamframe("gc", tmp_path / "s", "--keep", keep, "--json").json) == 2
    assert len(dreamframe("gc", tmp_path / "s", "--keep", keep, "--dry-run", "--json").json) == 2
    assert state(tmp_path / "s" / "steps") == before
    assert dreamframe("gc", tmp_path / "s", "--keep", keep, "--yes").code == 0
    assert [plan.name for plan in dr.Session.existing(tmp_path / "s").plans()] == [keep]


def test_a_session_is_carried_in_one_file_and_compared(tmp_path: Path):
    a, b = made(tmp_path / "a"), made(tmp_path / "b", "Shout {t}")
    assert dreamframe("export", a, tmp_path / "a.tar.gz").code == 0
    assert tarfile.is_tarfile(tmp_path / "a.tar.gz")
    assert dreamframe("load", tmp_path / "a.tar.gz", tmp_path / "copy").err == f"{tmp_path / 'copy'} · 1 stored output\n"
    same = dreamframe("diff", a, tmp_path / "copy")
    assert (same.code, "The same outputs and models." in same.out) == (0, True)
    other = dreamframe("diff", a, b, "--json")
    assert other.code == FAILED
    assert set(other.json) == {"steps", "only_after", "only_before", "rows", "metrics", "spent"}
    assert (other.json["rows"][0]["before"], other.json["rows"][0]["after"]) == ("Say tea", "Shout tea")
    assert other.json["spent"]["calls"] == {"before": 2, "after": 2}
    assert json.dumps(other.json)
