"""Columns that verbs make for themselves: their names, and what people are shown in their place. The names are part of keys; what is shown is not."""

from __future__ import annotations

import re

# Follows the name of a column that a model writes, for whoever uses it in plain polars and reads polars' error.
HINT = "; this column is written by a model: use the expression in a dreamframe verb, e.g. df.dream.with_columns(...) or dr.frame(df).with_columns(...)"
SAMPLE = "__sample"  # of `generate`: its rows have no other column
ORDINAL = "__ordinal_"  # of a sampled prompt whose rows are left out after they were numbered
ONLY = "__only_"  # of a column that a prompt reads, null where nobody looks at the answer
WHATS = (
    "keep", "verdict", "other_verdict", "swapped", "left_label", "right_label", "guess", "likely", "known",
    "checked", "settled", "text", "vector", "label", "rank",
)  # fmt: skip
DRAWN = re.compile(r"^COIN __swapped_\d+")
OWN = re.compile(rf"__(?:({'|'.join(WHATS)})_\d+|(sample)\b)")


def hidden(what: str, *, n: int) -> str:
    """The name of a verb's own column over a frame of n columns."""
    assert what in WHATS, what
    return f"__{what}_{n}"


def readable(text: str) -> str:
    """A text about columns as people are shown it.

    >>> readable("DROP ['__other_verdict_5']"), readable("COIN __swapped_5 ← a, b seed=0")
    ("DROP ['other verdict']", 'ORDER drawn ← a, b seed=0')
    """
    if "__" not in text and HINT not in text:
        return text
    text = DRAWN.sub("ORDER drawn", text.replace(HINT, ""))
    return OWN.sub(lambda found: (found[1] or found[2]).replace("_", " "), text.replace(f"{{{ONLY}", "{"))
