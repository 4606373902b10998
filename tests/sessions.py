"""Small sessions that what shows them is tried on."""

from __future__ import annotations

from pathlib import Path

import polars as pl

import dreamframe as dr
from dreamframe.errors import BadRequestError
from dreamframe.models.request import Completion
from dreamframe.session.page.folder import Held
from dreamframe.testing import Echo

PRICES = {"echo": (2.0, 8.0), "scripted": (2.0, 8.0)}


def held(folder: Path) -> Held:
    """A session folder as the page reads it."""
    return Held(folder.name, folder, opened=lambda: dr.Session.existing(folder))


def said(folder: Path, n: int = 5) -> Held:
    """A session of one prompt: `t` is asked about, `said` is answered, and rows with an odd number are left out."""
    with dr.Session(folder, prices=PRICES) as session:
        texts = [None if i == 2 else f"Tea {i}" for i in range(n)]
        rows = dr.frame({"id": list(range(n)), "t": texts, "kind": ["hot" if i < n // 2 else "cold" for i in range(n)]})
        rows.prompt(Echo(), "Say {t}", into="said", system="Be brief.").filter(pl.col("id") % 2 == 0).collect()
        assert session.steps()
    return held(folder)


def failing(folder: Path) -> Held:
    """A session in which two of six rows failed."""

    def reply(prompt: str) -> Completion | BadRequestError:
        return BadRequestError("no <b>such</b> tea") if prompt.endswith(("1", "4")) else Completion(f"{prompt}!", n_in=3, n_out=2)

    with dr.Session(folder, prices=PRICES):
        dr.frame({"t": [f"tea {i}" for i in range(6)]}).prompt(dr.testing.Scripted(reply), "Say {t}", into="said", on_error="null").collect()
    return held(folder)
