"""Completion goes on after a verb: verbs say by the type of `self` what they give, since jedi (IPython, Jupyter, editors) takes `Self` for the class where a
method stands, and the verbs of a frame stand in several. A verb that was written with `Self` is rewritten by UPDATE_GOLDENS=1 (and `ruff check --fix`)."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import dreamframe as dr
from tests.golden.files import UPDATING

FOLDER = Path(dr.__file__).parent / "frame"
FILES = sorted(p.name for p in FOLDER.glob("*.py"))
LINE = '{0} = TypeVar("{0}", bound="{1}")  # Self, as jedi understands it too\n\n\n'


def rewritten(text: str) -> str:
    """The file with `self: V` and `-> V` in place of `Self`, in all public methods of its verbs."""
    lines = text.splitlines(keepends=True)
    edits: list[tuple[int, int, int]] = []
    kinds = [n for n in ast.parse(text).body if isinstance(n, ast.ClassDef) and n.name.endswith("Verbs") and n.name != "Verbs"]
    for method in (n for kind in kinds for n in kind.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")):
        given, me = method.returns, method.args.args[0]
        if given is not None and re.search(r"\bSelf\b", ast.unparse(given)):
            edits += [(node.lineno - 1, node.col_offset, node.end_col_offset or 0) for node in (given, me)]
    for number, begin, end in sorted(edits, reverse=True):
        old = lines[number]
        part = "self: V" if old[begin:end] == "self" else re.sub(r"\bSelf\b", "V", old[begin:end])
        lines[number] = old[:begin] + part + old[end:]
    made = "".join(lines)
    if edits and 'V = TypeVar("V"' not in made:
        begin = f"class {kinds[0].name}("
        made = made.replace(begin, LINE.format("V", kinds[0].name) + begin, 1)
        if "TypeVar" not in re.findall(r"^from typing import (.*)$", made, re.M)[0]:
            made = re.sub(r"^from typing import (.*)$", r"from typing import \1, TypeVar", made, count=1, flags=re.M)
    return made


@pytest.mark.parametrize("name", FILES)
def test_verbs_say_what_they_give_so_that_completion_goes_on(name: str) -> None:
    text = (FOLDER / name).read_text()
    if UPDATING:
        (FOLDER / name).write_text(rewritten(text))
    assert (FOLDER / name).read_text() == rewritten(text)


def test_a_method_with_self_is_rewritten() -> None:
    text = (
        "from typing import Any, Self\n\n\nclass XVerbs(Verbs):\n    def a(self, n: int) -> Self: ...\n"
        "    def b(\n        self,\n        n: int,\n    ) -> GroupBy[Self]: ...\n"
        "    def _c(self) -> Self: ...\n"
    )
    made = rewritten(text)
    assert "def a(self: V, n: int) -> V:" in made
    assert "        self: V,\n" in made
    assert "-> GroupBy[V]:" in made
    assert "def _c(self) -> Self" in made
    assert rewritten(made) == made
