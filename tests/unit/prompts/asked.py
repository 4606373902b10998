"""What a model was really asked: the requests of a prompt over rows."""

from __future__ import annotations

from typing import Any

import dreamframe as dr


def asked(rows: dict[str, list[Any]], prompt: Any, **settings: Any) -> list[str]:
    """The prompts of the rows, in their order; rows that were not asked are left out."""
    llm = dr.testing.Echo(concurrency=1)
    with dr.Session(None):
        dr.frame(rows).prompt(llm, prompt, **settings).collect()
    return llm.prompts


def failed(rows: dict[str, list[Any]], prompt: Any) -> dict[int, str]:
    """The failures by row, under on_error="null": error and message."""
    with dr.Session(None):
        df = dr.frame(rows).prompt(dr.testing.Echo(), prompt, on_error="null")
        df.collect()
        return {f["row"]: f"{f['error']}: {f['message']}" for f in df.failures().to_dicts()}
