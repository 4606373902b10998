"""Tokens of a text where no tokenizer is at hand: what it usually has, and what it has at most."""

from __future__ import annotations

import math

CHARS = 3  # characters of a token: fewer than the 3.1 to 4.1 that English prose and code have, so that what is said to fit does fit
BYTES = 2  # UTF-8 bytes that a token has at the least, but for long numbers and rare scripts
MARKS = 50  # tokens that a chat format puts around the messages, generously


def usual(text: str) -> int:
    """Tokens of a text, a little more than it is likely to have. Scripts with many tokens to a character (Chinese, Thai) have more.

    >>> usual("a cup of tea"), usual("")
    (4, 0)
    """
    return math.ceil(len(text) / CHARS)


def at_most(*texts: str | None) -> float:
    """Tokens of one request made of these texts, as many as it may have: to set money aside by.

    >>> at_most("a cup of tea", None)
    56.0
    """
    return sum(len((text or "").encode()) for text in texts) / BYTES + MARKS
