"""docs/how/reruns.md: each line of its tables is run after the plan of the page, and makes as many calls or trainings as the page says."""

from __future__ import annotations

import doctest
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how" / "reruns.md").read_text("utf-8")
LINES = re.findall(r"^\| (.+?) \| `(.+)` \| (\d+) \|$", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the blocks of the page define."""
    script = tmp_path_factory.mktemp("page") / "page.py"
    script.write_text("\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)))
    with dr.Session(None):
        return runpy.run_path(str(script))


def run(line: str, names: dict[str, Any]) -> None:
    """Run a line of the page as a doctest, and what it makes."""
    example = doctest.DocTestParser().get_doctest(f">>> result = {line}\n", dict(names), line, "reruns.md", 0)
    said: list[str] = []
    failed = doctest.DocTestRunner(verbose=False).run(example, out=said.append, clear_globs=False).failed
    assert not failed, "".join(said)
    result = example.globs["result"]
    if isinstance(result, dr.Frame):
        result.collect()
    elif isinstance(result, dr.Model):
        result.fit()


@pytest.mark.parametrize(("change", "line", "n"), LINES, ids=[line[1] for line in LINES])
def test_a_line_asks_or_trains_what_the_page_says(change: str, line: str, n: str, names: dict[str, Any]):
    trains = line.startswith("train(")
    first = "train()" if trains else "talk()" if line.startswith("talk(") else "plan()"
    with dr.Session(None, progress=False) as session:
        run(first, names)
        before = session.usage()["calls"]
        assert before == {"plan()": 10, "talk()": 8, "train()": before}[first]
        n_models = len(session.models())
        run(line, names)
        assert (len(session.models()) - n_models if trains else session.usage()["calls"] - before) == int(n), change


def test_every_line_of_the_tables_is_run():
    assert len(LINES) == len(re.findall(r"^\| .+ \| \d+ \|$", PAGE, re.MULTILINE)) > 25
