"""Takes the pictures of the documentation, from a real session: `python -m tests.pictures FOLDER` after examples/quickstart.py, say."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from dreamframe.view.server import Server
from tests.chromium import chromium

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
TAKEN = (  # name, part of the page, width, dark
    ("page-light.webp", "#/rows", 1280, False),
    ("page-light.png", "#/rows", 1280, False),  # for the README: not every place that shows it knows WebP
    ("page-dark.webp", "#/record?row=3", 1280, True),
    ("page-narrow.webp", "#/rows", 420, False),
)
DRAWN = "document.querySelector('.tree li') && document.querySelector('tbody tr, .record')"


def main(folder: str) -> None:
    """Write the pictures of a session's page."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Server(folder) as server, chromium(Path(profile)) as browser:
        tab = browser.tab()
        for name, part, width, is_dark in TAKEN:
            tab.look(width=width, height=800, dark=is_dark)
            tab.open("about:blank")
            tab.open(server.address + part)
            tab.until(DRAWN)
            tab.picture(PICTURES / name)


if __name__ == "__main__":
    main(sys.argv[1])
