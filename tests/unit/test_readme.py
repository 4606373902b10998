"""The README's section on promises: its program runs, with testing models in the place of those behind an API."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import dreamframe as dr

SECTION = (Path(__file__).parents[2] / "README.md").read_text().partition("## Cheap, with a promise\n")[2].partition("\n## ")[0]
ROWS = {
    "review": [f"{'Nice' if n % 2 else 'Stale'} {'tea' if n % 3 else 'jam'} {n}." for n in range(120)],
    "gold": ["good" if n % 2 else "bad" for n in range(120)],
    "lang": ["en", "de"] * 60,
}


def small(asked: str) -> dict[Any, float]:
    first = 0.9 if ("tea" if "tea?" in asked else "Nice") in asked.partition("? ")[2] else 0.1
    return {True: first, False: 1 - first} if "tea?" in asked else {"good": 0.9, "bad": 0.1} if "Nice" in asked else {"good": 0.1, "bad": 0.9}


def test_the_program_runs(session: dr.Session) -> None:
    strong = dr.testing.Scripted(lambda asked: "yes" if "tea" in asked.partition("? ")[2] else "no", model="strong")
    first, _, program = SECTION.partition("```python\n")[2].partition("```")[0].partition("\n")
    assert first.startswith("strong, small = dr.OpenAI(")
    held: dict[str, Any] = {"dr": dr, "reviews": dr.frame(ROWS), "strong": strong, "small": dr.testing.Scripted(small, model="small")}
    source = "".join(f">>> _ = {line}\n" if line.startswith("report.gate") else f">>> {line}\n" for line in program.splitlines())
    example = doctest.DocTestParser().get_doctest(source, held, "the section", "README.md", 0)
    assert doctest.DocTestRunner().run(example, clear_globs=False).failed == 0
    held = example.globs
    assert held["report"]["accuracy"].value == 1.0
    assert 0 < held["tea"].collect(offline=True).height <= 80
    assert "decided by the proxy" in held["tea"].explain()
