"""The examples of docstrings as blocks of code: written as doctests, they would be taken for quotations of quotations."""

from __future__ import annotations

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^( *)>>> .*(?:\n(?! *$).*)*(?:\n *\n(?= *>>> ).*(?:\n(?! *$).*)*)*", re.MULTILINE)


def fenced(text: str) -> str:
    """The text with each of its examples between fences."""
    return EXAMPLE.sub(lambda found: f"{found[1]}```pycon\n{found[0]}\n{found[1]}```", text)


class Doctests(griffe.Extension):
    """Rewrite every docstring as it is read."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = fenced(obj.docstring.value)
