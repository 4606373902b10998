"""A candidate of a search, and the frame of all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

Texts = Mapping[str, str]  # name of a step → the text of its prompt
REFUSED = "not tried: "  # how the note of a candidate begins that is against the rules


class Tried:
    """One candidate."""

    def __init__(self, texts: Texts, parent: int | None, note: str) -> None:
        self.texts, self.parent, self.note = dict(texts), parent, note
        self.is_refused = note.startswith(REFUSED)
        self.calls, self.cost = 0, 0.0  # that were asked for its sake; nan where a price is not known


def schema_of(names: Iterable[str]) -> dict[str, Any]:
    """Of the frame of candidates."""
    texts = {f"{name}_prompt": pl.String() for name in names}
    scores = {"train": pl.Float64(), "held_out": pl.Float64(), "calls": pl.Int64(), "cost": pl.Float64(), "chosen": pl.Boolean(), "note": pl.String()}
    return {"candidate": pl.Int64(), "parent": pl.Int64(), **texts, **scores}
