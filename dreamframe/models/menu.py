"""Questions whose answers tell how likely the model finds each label.

A model behind an API chooses a letter of a menu below the prompt: one token, so that the log-probabilities of that token are those of the labels, whatever
these are made of. A model in this process is asked what it is asked without probabilities, and the text of each label is read: small models choose
letters by their place. SmolLM2-135M tells 25 good from 25 bad reviews by the letters with an area under the ROC curve of 0.41 to 0.59 (the places swapped),
by their texts with 0.76 to 0.80.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dreamframe.errors import ParseError
from dreamframe.models.request import Question
from dreamframe.models.task_models.base import prediction, with_scores

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # every vocabulary has each of them as one token, whatever the labels are made of
ASKS = "Answer with one letter out of this list, and nothing else:"
MOST_LABELS = 100  # of a model that reads the text of each of them: what is read grows with their number
LEAST = 0.05  # of the probability of the first token must be on the letters of the menu: below, the model does not answer the question
ROUNDING = 1e-9


class Weighed(NamedTuple):
    """How likely a model finds each label of a menu."""

    label: str  # the likeliest; of equal ones the first of the menu
    probability: float  # its share of what is on the menu
    all: dict[str, float]  # of each label; they add up to 1
    outside: float  # the probability that the answer begins with something else, were the model not held to the labels


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


def weighed(
    labels: Sequence[str], shares: Sequence[float], *, on_menu: float | None = None, is_held: bool = False, unlisted: float = 0.0, said: str | None = None
) -> str:
    """The text of an answer: the likeliest label, and the share of each, given their probabilities.

    `on_menu` is what they add up to, where `shares` are not probabilities but shares of it. `is_held`: whether the model could say nothing else. `unlisted`
    is what a letter that has nothing may have at most, since a server lists so many tokens and no more. `said` is the likeliest token.

    >>> weighed(["yes", "no"], [0.375, 0.125])
    '{"label": "yes", "score": 0.75, "all": [["yes", 0.75], ["no", 0.25]], "outside": 0.5}'
    """
    total = math.fsum(shares)
    if abs(total - 1.0) > ROUNDING:
        shares = [share / total if total > 0 else 0.0 for share in shares]
    best = max(range(len(labels)), key=lambda i: (shares[i], -i))
    text = with_scores(prediction(labels[best], shares[best]), list(zip(labels, shares, strict=True)))
    more: dict[str, Any] = {"outside": round(min(1.0, max(0.0, 1.0 - (total if on_menu is None else on_menu))), 12)}
    if is_held:
        more["held"] = True
    if unlisted:
        more["unlisted"] = unlisted
    if said is not None:
        more["said"] = said
    return json.dumps({**json.loads(text), **more}, ensure_ascii=False)


def weighed_texts(labels: Sequence[str], logs: Sequence[float]) -> str:
    """The text of an answer of a model that is held to its labels, given the logarithms of the probabilities of their texts, from the first token on that
    they do not share.

    >>> weighed_texts(["yes", "no"], [-2.0, -2.0])
    '{"label": "yes", "score": 0.5, "all": [["yes", 0.5], ["no", 0.5]], "outside": 0.729329433527, "held": true}'
    """
    best = max(logs)
    odds = [math.exp(log - best) for log in logs]
    total = math.fsum(odds)
    return weighed(labels, [o / total for o in odds], on_menu=math.exp(best) * total, is_held=True)


def n_shared(texts: Sequence[Sequence[int]]) -> int:
    """How many tokens several texts begin with alike.

    >>> n_shared([[7, 8, 1], [7, 8, 2, 3]])
    2
    """
    return next((i for i, tokens in enumerate(zip(*texts, strict=False)) if len(set(tokens)) > 1), min(map(len, texts)))


def answers_of(question: Question) -> list[str]:
    """The JSON text of each answer that the question allows, in the order of its labels.

    >>> schema = '{"type":"object","properties":{"answer":{"type":"boolean"}},"required":["answer"]}'
    >>> answers_of(Question(llm=dr.testing.Echo(), json_schema=schema, labels=("yes", "no")))
    ['{"answer": true}', '{"answer": false}']
    """
    ((name, held),) = json.loads(question.json_schema or "")["properties"].items()
    values = held.get("enum", [True, False])
    return [json.dumps({name: value}, ensure_ascii=False) for value in values]


def told_of(text: str | None) -> Weighed | None:
    """What an answer says, whether it can be used or not; None for one that does not weigh labels."""
    try:
        return _weighed(text)
    except (ValueError, KeyError, TypeError):
        return None


def _weighed(text: str | None) -> Weighed:
    held = json.loads(text or "")
    return Weighed(str(held["label"]), float(held["score"]), {str(label): float(share) for label, share in held["all"]}, float(held["outside"]))


def read_weighed(text: str | None, labels: Sequence[str]) -> Weighed:
    """What an answer says. Raises ParseError where next to nothing of its probability is on the menu, or where it is something else."""
    try:
        found, held = _weighed(text), json.loads(text or "")
    except (ValueError, KeyError, TypeError) as exc:
        raise ParseError(f"the answer does not tell how likely each label is: {exc}", text=text) from exc
    outside = found.outside
    if list(found.all) != list(labels):
        raise ParseError(f"the model weighed {', '.join(map(repr, found.all))}, and was asked for others", text=text)
    if 1.0 - outside < LEAST and not held.get("held"):
        began = f"; it would begin with {said!r}" if (said := held.get("said")) else ""
        began += ", as a model does that thinks first: such a model tells no probabilities" if "think" in str(said) else ""
        raise ParseError(f"the letters of the menu have {1.0 - outside:.1%} of the probability, less than {LEAST:.0%}{began}", text=text)
    return found


def shares_of(labels: Sequence[str], given: Mapping[Any, float]) -> list[float]:
    """The probabilities of the labels in the order of the menu, from those of a script: labels that it leaves out have none. Raises ValueError."""
    named = {{True: "yes", False: "no"}.get(k, k) if isinstance(k, bool) else k: float(p) for k, p in given.items()}
    named = {str(k): p for k, p in named.items()}
    if unknown := [k for k in named if k not in labels]:
        raise ValueError(f"{unknown[0]!r} is not one of {', '.join(map(repr, labels))}")
    if any(not 0 <= p <= 1 for p in named.values()) or math.fsum(named.values()) > 1 + 1e-9:
        raise ValueError(f"{dict(given)!r} are not probabilities that add up to 1 or less")
    return [named.get(label, 0.0) for label in labels]
