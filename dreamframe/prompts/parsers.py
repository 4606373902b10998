"""How answers are read: records that a plan as JSON can name, where a function would have to be handed over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

VERDICTS = ("a", "b", "tie")


class Rule:
    """How a verb reads answers by itself; a `parse=` of the user's is none."""

    wants: ClassVar[str]


@dataclass(frozen=True)
class YesNo(Rule):
    r"""Reads a yes or a no out of an answer.

    DataDreamer's filter searched `\byes\W*\b` alone, so that "no, yesterday…" was no and "yes and no" was yes; here an answer must hold exactly one.

    >>> YesNo()("Yes, it is."), YesNo()("no")
    (True, False)
    """

    wants: ClassVar[str] = "a yes or a no"

    def __call__(self, text: str) -> bool:
        """True for a yes. Raises ValueError for an answer with neither, or both."""
        yes, no = re.search(r"\byes\b", text, re.IGNORECASE), re.search(r"\bno\b", text, re.IGNORECASE)
        if bool(yes) == bool(no):
            raise ValueError("neither a yes nor a no" if not yes else "both a yes and a no")
        return yes is not None


@dataclass(frozen=True)
class FirstNumber(Rule):
    r"""Reads the first number out of an answer: the first of `[0-9\.]+` that holds a digit, as DataDreamer's ranking did. A sign is not read.

    >>> FirstNumber()("I give it 8.5 out of 10."), FirstNumber()("Well... 7.")
    (8.5, 7.0)
    """

    wants: ClassVar[str] = "a number"

    def __call__(self, text: str) -> float:
        """The number. Raises ValueError for an answer without one."""
        found = re.search(r"[0-9.]*[0-9][0-9.]*", text)
        if found is None:
            raise ValueError("there is no number in the answer")
        return float(re.sub(r"^\.{2,}", "", found.group().rstrip(".")))  # full stops around the number are not part of it


@dataclass(frozen=True)
class Winner(Rule):
    """Reads the verdict of a pairwise judge: "a", "b" or "tie". An answer that names both texts, or neither, is not a verdict.

    >>> Winner()("Input B."), Winner()("A"), Winner()("I prefer Response A!")
    ('b', 'a', 'a')
    """

    wants: ClassVar[str] = "a verdict about two texts"

    def __call__(self, text: str) -> str:
        """One of VERDICTS. Raises ValueError for an answer that names both texts, or neither."""
        plain = text.strip().strip("\"'`*.").strip().casefold()
        if plain in VERDICTS:
            return plain
        named: set[str] = {m.casefold() for m in re.findall(r"\b(?:input|response) ([ab])\b", text, re.IGNORECASE)}
        if len(named) != 1:
            raise ValueError("the answer names both texts" if named else "the answer names neither text")
        return named.pop()


WERE_FUNCTIONS = {"yes_or_no": YesNo(), "first_number": FirstNumber(), "which_is_better": Winner()}  # in plans that 0.1 wrote
