"""The pages of docs/: every block of Python runs and prints what the page says, every link leads somewhere, every public name has its place."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import inspect
import io
import os
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import dreamframe as dr
from dreamframe.names import public_names

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
NOT_RUN = re.compile(r"<!-- not run: .+ -->")  # on the line above a block that needs a key, a GPU or the Hub: its names are checked
FENCE = re.compile(r"^```(\w*)$")
PRINTED = "__printed__()"
VARIES = re.compile(r"\d{4}-\d\d-\d\dT[\d:]+Z|under 1 ms|\b[\d.]+ m?s\b|\b[0-9a-f]{32}\b")  # times, and keys of answers


class Block(NamedTuple):
    """One block of Python: where it stands, its lines, whether it is run, and the lines from and to which what it prints stands."""

    start: int
    lines: list[str]
    is_run: bool
    prints: tuple[int, int] | None


def named(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def blocks(lines: list[str]) -> list[Block]:
    found, i = [], 0
    while i < len(lines):
        fence = FENCE.match(lines[i])
        if not fence:
            i += 1
            continue
        end = lines.index("```", i + 1)
        if fence[1] == "python":
            after = next((n for n in range(end + 1, len(lines)) if lines[n].strip()), len(lines) - 1)
            prints = (after + 1, lines.index("```", after + 1)) if lines[after] == "```text" else None
            found.append(Block(i + 1, lines[i + 1 : end], not (i and NOT_RUN.fullmatch(lines[i - 1])), prints))
        i = end + 1
    return found


WITH_PYTHON = [p for p in PAGES if "```python" in p.read_text("utf-8")]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=named)
def test_what_a_page_shows_runs_and_prints_what_it_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lines = page.read_text("utf-8").splitlines()
    run = [b for b in blocks(lines) if b.is_run]
    script = [""] * len(lines)  # every line where it stands on the page, so that a traceback names it
    for block in run:
        script[block.start : block.start + len(block.lines)] = block.lines
        script[block.start + len(block.lines)] = PRINTED
    (tmp_path / page.with_suffix(".py").name).write_text("\n".join(script))
    said, out = [], io.StringIO()

    def printed() -> None:
        said.append("\n".join(line.rstrip() for line in out.getvalue().rstrip("\n").splitlines()))
        out.seek(0)
        out.truncate()

    monkeypatch.chdir(tmp_path)
    with dr.Session(None, progress=False), contextlib.redirect_stdout(out):
        runpy.run_path(str(tmp_path / page.with_suffix(".py").name), {"__printed__": printed})
    wanted = [(b.prints, text) for b, text in zip(run, said, strict=True) if b.prints]
    if os.environ.get("UPDATE_GOLDENS"):
        for (start, end), text in reversed(wanted):
            lines[start:end] = text.splitlines()
        page.write_text("\n".join(lines) + "\n", "utf-8")
    else:
        shown = ["\n".join(lines[start:end]) for (start, end), _ in wanted]
        assert [VARIES.sub("…", text) for text in shown] == [VARIES.sub("…", text) for _, text in wanted]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=named)
def test_a_block_that_is_not_run_names_what_there_is(page: Path):
    wrong = [w for b in blocks(page.read_text("utf-8").splitlines()) if not b.is_run for w in unknown("\n".join(b.lines))]
    assert wrong == []


def unknown(code: str) -> Iterator[str]:
    """Names of dreamframe and of its verbs, and arguments of its calls, that there are not."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "dr" and node.attr not in dir(dr):
            yield f"dr.{node.attr}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from unknown_arguments(node, node.func)


def unknown_arguments(call: ast.Call, func: ast.Attribute) -> Iterator[str]:
    is_ours = isinstance(func.value, ast.Name) and func.value.id == "dr"
    owners: list[Any] = [dr] if is_ours else [dr.Frame, dr.Model, dr.Session]
    called = next((getattr(owner, func.attr) for owner in owners if func.attr in dir(owner)), None)
    if called is not None:
        have = inspect.signature(called).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in have.values()):
            yield from (f"{ast.unparse(func)}({k.arg}=)" for k in call.keywords if k.arg and k.arg not in have)


OWNERS: dict[str, Any] = {"dr": dr, "df": dr.Frame, "model": dr.Model, "session": dr.Session, "dr.metrics": dr.metrics, "dr.recipes": dr.recipes}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_names_in_the_text_are_there(page: Path):
    """`df.verb`, `dr.name` and the like between backticks, in sentences and tables."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    said = [found for code in re.findall(r"`([^`\n]+)`", text) for found in re.findall(r"(?<![\w.])(dr\.metrics|dr\.recipes|dr|df|model|session)\.(\w+)", code)]
    assert [f"{owner}.{name}" for owner, name in said if name not in dir(OWNERS[owner])] == []


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", h).strip().lower()) for h in heads}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_leads_to_a_file_of_the_documentation(page: Path):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not link.startswith(("http", "mailto:"))]
    dead = []
    for link in links:
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_file() or not target.is_relative_to(DOCS) or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_page_is_in_the_navigation_once():
    entries = re.findall(r"^ +- (\S+\.md)$", (DOCS.parent / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(entries) == sorted(map(named, PAGES))


def test_every_public_name_is_in_the_reference():
    text = "\n".join(p.read_text("utf-8") for p in (DOCS / "reference").glob("*.md"))
    there = set(re.findall(r"^::: dreamframe\.(\w+)", text, re.MULTILINE))
    assert sorted({*dir(dr), *public_names()} - there) == []


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The code that writes parts of pages."""
    spec = importlib.util.spec_from_file_location("made", DOCS / "made.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_of_trainers_and_models_is_explained(made: ModuleType):
    """A setting is explained by the comment beside it in its class."""
    kinds = {**made.trainers(), **{kind.__name__: kind for kind in (dr.OpenAI, dr.Anthropic, dr.LlamaCpp, dr.Transformers, dr.VLLM)}}
    rows = [(name, row) for name, kind in kinds.items() for row in made.settings_of(kind)]
    assert {"SFT", "OpenAIFineTune", "LogisticRegression"} <= {name for name, _ in rows}
    assert [f"{name}.{row[0]}" for name, row in rows if not row[3]] == []


def test_every_error_says_what_to_do(made: ModuleType):
    kinds = {kind.__name__ for _, kind in made.errors()} - {"DreamframeError"}
    assert kinds == set(made.ADVICE)


def test_every_mark_stands_for_something(made: ModuleType):
    marks = {m for p in PAGES for m in re.findall(r"<!-- made: (\w+)", p.read_text("utf-8"))}
    assert marks == set(made.MADE)
    assert all("\n" in write() for write in made.MADE.values())
