"""The files of the page, as the wheel has them: one document, one style sheet, one script."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import resources

ASSETS: Mapping[str, str] = {"page.html": "text/html; charset=utf-8", "page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}


@functools.cache
def asset(name: str) -> tuple[str, bytes]:
    """The kind of a file, and its bytes.

    >>> asset("page.js")[0]
    'text/javascript; charset=utf-8'
    """
    return ASSETS[name], resources.files(__name__).joinpath(name).read_bytes()
