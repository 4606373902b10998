"""Golden files: text with named sections, compared word for word; UPDATE_GOLDENS=1 writes them anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent
UPDATING = bool(os.environ.get("UPDATE_GOLDENS"))
MARK = "── "
SECOND = re.compile(r"(#[0-9a-f]{8})~\d+")  # the column of a model that another test file asks as well


class Golden:
    """One file of sections. A test names a section and what it should hold."""

    def __init__(self, name: str) -> None:
        self.path = FOLDER / name

    def sections(self) -> dict[str, str]:
        """Section → text, in the order of the file."""
        if not self.path.exists():
            return {}
        chunks = f"\n{self.path.read_text()}".split(f"\n{MARK}")[1:]
        pairs = [chunk.split("\n", 1) for chunk in chunks]
        return {name: text.removesuffix("\n") for name, text in pairs}

    def check(self, section: str, text: str) -> None:
        """Compare, or write when updating."""
        text = SECOND.sub(r"\1", text)
        if UPDATING:
            self.write({**self.sections(), section: text})
        assert self.sections().get(section) == text, f"{self.path.name}, {section}: run with UPDATE_GOLDENS=1 if the new text is meant"

    def check_names(self, names: list[str]) -> None:
        """The file holds these sections and no others, in this order."""
        if UPDATING:
            self.write({n: t for n, t in sorted(self.sections().items(), key=lambda s: names.index(s[0]) if s[0] in names else -1) if n in names})
        assert list(self.sections()) == names

    def write(self, sections: dict[str, str]) -> None:
        self.path.write_text("\n".join(f"{MARK}{name}\n{text}\n" for name, text in sections.items()))
