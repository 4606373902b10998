"""The README: short, with links that work elsewhere, and a program that runs; and the program of docs/how/cheap.md, on testing models."""

from __future__ import annotations

import doctest
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CHEAP = (ROOT / "docs" / "how" / "cheap.md").read_text()
HERE = "https://github.com/dreamframe/dreamframe/blob/main/"
RAW = "https://raw.githubusercontent.com/dreamframe/dreamframe/main/"
ROWS = {
    "review": [f"{'Nice' if n % 2 else 'Stale'} {'tea' if n % 3 else 'jam'} {n}." for n in range(120)],
    "gold": ["good" if n % 2 else "bad" for n in range(120)],
    "lang": ["en", "de"] * 60,
}


def small(asked: str) -> dict[Any, float]:
    first = 0.9 if ("tea" if "tea?" in asked else "Nice") in asked.partition("? ")[2] else 0.1
    return {True: first, False: 1 - first} if "tea?" in asked else {"good": 0.9, "bad": 0.1} if "Nice" in asked else {"good": 0.1, "bad": 0.9}


def test_the_cheap_program_runs(session: dr.Session) -> None:
    strong = dr.testing.Scripted(lambda asked: "yes" if "tea" in asked.partition("? ")[2] else "no", model="strong")
    first, _, program = CHEAP.partition("```python\n")[2].partition("```")[0].partition("\n")
    assert first.startswith("strong, small = dr.OpenAI(")
    held: dict[str, Any] = {"dr": dr, "reviews": dr.frame(ROWS), "strong": strong, "small": dr.testing.Scripted(small, model="small")}
    source = "".join(f">>> _ = {line}\n" if line.startswith("report.gate") else f">>> {line}\n" for line in program.splitlines())
    example = doctest.DocTestParser().get_doctest(source, held, "the page", "cheap.md", 0)
    assert doctest.DocTestRunner().run(example, clear_globs=False).failed == 0
    held = example.globs
    assert held["report"]["accuracy"].value == 1.0
    assert 0 < held["tea"].collect(offline=True).height <= 80
    assert "decided by the proxy" in held["tea"].explain()


def heads(page: Path) -> set[str]:
    return {re.sub(r"\W+", "-", head.lower()) for head in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)}


def test_the_readme_is_short_and_its_links_work_where_the_package_is_sold() -> None:
    assert README.count("\n") < 200
    links = re.findall(r"\]\(([^)\s]+)\)", README)
    ours = [link.partition("#")[0].removeprefix(start) for link in links for start in (HERE, RAW) if link.startswith(start)]
    led_to = [link.removeprefix(HERE).split("#") for link in links if "#" in link]
    assert [link for link in links if not link.startswith("https://")] == []
    assert len(ours) > 10
    assert [path for path in ours if not (ROOT / path).is_file()] == []
    assert [f"{path}#{head}" for path, head in led_to if head not in heads(ROOT / path)] == []
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert pictures
    assert all(link.startswith(RAW) and link.endswith(".png") for link in pictures)


@pytest.mark.models
def test_the_first_program_of_the_readme_runs_as_it_is_pasted_and_asks_nothing_when_it_runs_again(capsys: pytest.CaptureFixture[str]) -> None:
    program, shown = (README.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("python", "text"))
    Path("pasted.py").write_text(program)
    runpy.run_path("pasted.py")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == shown.splitlines()
    runpy.run_path("pasted.py")
    assert "0 model calls" in capsys.readouterr().out
