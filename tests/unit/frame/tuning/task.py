"""A task for which a prompt lacks one instruction, which a reflecting model can learn from what is said of the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dreamframe as dr

CODES = {"tea": "T1", "jam": "J2", "rye": "R3"}
TEXTS = [f"{word} number {i}" for i in range(10) for word in CODES]
RIGHT = [CODES[word] for _ in range(10) for word in CODES]
ROWS = dr.frame({"text": TEXTS, "right": RIGHT})
ASK = "Name it. Text: {text}"
FOUND = "Give the code of the product. Text: {text}"


def named(asked: str) -> str:
    """Says the word, unless it is told to give the code."""
    told, _, text = asked.partition("Text:")
    word = next(w for w in CODES if w in text)
    return CODES[word] if "code" in told else word


def learned(asked: str) -> str:
    """Learns of codes from what is said of the answers."""
    return f"Codes are wanted.\n```\n{FOUND}\n```" if any(f"The right answer is: {code}" in asked for code in CODES.values()) else "```\nHm. Text: {text}\n```"


def small(answer: Callable[[str], str] = named) -> dr.testing.Scripted:
    return dr.testing.Scripted(answer, model="small")


def strong(answer: Callable[[str], str] = learned) -> dr.testing.Scripted:
    return dr.testing.Scripted(answer, model="strong")


def asked_of(llm: Any, ask: str = ASK) -> dr.Frame:
    return ROWS.prompt(llm, ask, into="name")


def proposing(*texts: str) -> dr.testing.Scripted:
    """Proposes these texts one after the other, and the last one again and again."""
    return dr.testing.Scripted([f"```\n{text}\n```" for text in texts], model="strong")
