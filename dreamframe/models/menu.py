"""Questions whose answer is one letter of a menu: one token, so that it can be read how likely the model finds each of its labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dreamframe.errors import ParseError
from dreamframe.models.task_models.base import prediction, with_scores

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # every vocabulary has each of them as one token, whatever the labels are made of
ASKS = "Answer with one letter out of this list, and nothing else:"
LEAST = 0.05  # of the probability of the first token must be on the letters of the menu: below, the model does not answer the question


class Weighed(NamedTuple):
    """How likely a model finds each label of a menu."""

    label: str  # the likeliest; of equal ones the first of the menu
    probability: float  # its share of what is on the menu
    all: dict[str, float]  # of each label; they add up to 1
    outside: float  # the probability that the answer begins with something that is not on the menu


def menu_text(labels: Sequence[str]) -> str:
    """The menu, as it stands below a prompt.

    >>> print(menu_text(["yes", "no"]))
    Answer with one letter out of this list, and nothing else:
    A. yes
    B. no
    """
    return "\n".join([ASKS, *(f"{letter}. {label}" for letter, label in zip(LETTERS, labels, strict=False))])


def with_menu(prompt: str, labels: Sequence[str], *, form: str) -> str:
    """A prompt with the menu below it; of a chat, below its last message of the user's."""
    menu = menu_text(labels)
    if form != "messages":
        return f"{prompt}\n\n{menu}"
    return json.dumps(asked_below(list(json.loads(prompt)), menu), ensure_ascii=False)


def asked_below(talk: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The messages with a text at the end of the last one, where that is the user's; else as a message of its own."""
    last = talk[-1] if talk and talk[-1]["role"] == "user" else None
    if last is None:
        return [*talk, {"role": "user", "content": text}]
    content = last["content"]
    told = [*content, {"type": "text", "text": text}] if isinstance(content, list) else f"{content}\n\n{text}"
    return [*talk[:-1], {**last, "content": told}]


def without_menu(text: str, labels: Sequence[str]) -> str:
    """The text of a prompt as it was before its menu."""
    return text.removesuffix(menu_text(labels)).removesuffix("\n\n")


def weighed(labels: Sequence[str], shares: Sequence[float], *, unlisted: float = 0.0, said: str | None = None) -> str:
    """The text of an answer: the likeliest label, and the share of each, given the probabilities of the letters.

    `unlisted` is what each letter that has none may have at most: a server lists so many tokens and no more. `said` is the likeliest token.

    >>> weighed(["yes", "no"], [0.6, 0.2])
    '{"label": "yes", "score": 0.75, "all": [["yes", 0.75], ["no", 0.25]], "outside": 0.2}'
    """
    on_menu = math.fsum(shares)
    of_each = [share / on_menu for share in shares] if on_menu > 0 else [0.0 for _ in shares]
    best = max(range(len(labels)), key=lambda i: (of_each[i], -i))
    text = with_scores(prediction(labels[best], of_each[best]), list(zip(labels, of_each, strict=True)))
    more: dict[str, Any] = {"outside": round(max(0.0, 1.0 - on_menu), 12)}
    if unlisted:
        more["unlisted"] = unlisted
    if said is not None:
        more["said"] = said
    return json.dumps({**json.loads(text), **more}, ensure_ascii=False)


def read_weighed(text: str | None, labels: Sequence[str]) -> Weighed:
    """What an answer says. Raises ParseError where next to nothing of its probability is on the menu, or where it is something else."""
    try:
        held = json.loads(text or "")
        found = {str(label): float(share) for label, share in held["all"]}
        label, probability, outside = str(held["label"]), float(held["score"]), float(held["outside"])
    except (ValueError, KeyError, TypeError) as exc:
        raise ParseError(f"the answer does not tell how likely each label is: {exc}", text=text) from exc
    if list(found) != list(labels):
        raise ParseError(f"the model weighed {', '.join(map(repr, found))}, and was asked for others", text=text)
    if 1.0 - outside < LEAST:
        began = f"; it would begin with {held['said']!r}" if held.get("said") else ""
        raise ParseError(f"the letters of the menu have {1.0 - outside:.1%} of the probability, less than {LEAST:.0%}{began}", text=text)
    return Weighed(label, probability, found, outside)


def shares_of(labels: Sequence[str], given: Mapping[Any, float]) -> list[float]:
    """The probabilities of the labels in the order of the menu, from those of a script: labels that it leaves out have none. Raises ValueError."""
    named = {{True: "yes", False: "no"}.get(k, k) if isinstance(k, bool) else k: float(p) for k, p in given.items()}
    named = {str(k): p for k, p in named.items()}
    if unknown := [k for k in named if k not in labels]:
        raise ValueError(f"{unknown[0]!r} is not one of {', '.join(map(repr, labels))}")
    if any(not 0 <= p <= 1 for p in named.values()) or math.fsum(named.values()) > 1 + 1e-9:
        raise ValueError(f"{dict(given)!r} are not probabilities that add up to 1 or less")
    return [named.get(label, 0.0) for label in labels]
