"""What the verbs that ask can keep as columns beside what they make of an answer, and which ways to read one go together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dreamframe.errors import SettingError
from dreamframe.plan.steps.heard import ANSWER, PROMPT, REASONING

KEPT = (PROMPT, ANSWER)  # what keep= names
Keep = str | Sequence[str] | None


def kept(keep: Keep, reasoning: str | None, into: str, *, step: str) -> tuple[tuple[str, str], ...]:
    """What `keep=` and `reasoning=` ask for, each with its column. Raises SettingError for anything else."""
    given = () if keep is None else tuple(keep) if isinstance(keep, Iterable) and not isinstance(keep, str) else (keep,)
    for what in given:
        if what not in KEPT or given.count(what) > 1:
            raise SettingError(f"{step}: keep={keep!r}; give 'prompt' (as it was sent), 'answer' (as it came), or both in a list.")
    found = tuple((what, f"{into}_{what}") for what in KEPT if what in given)
    if reasoning is None:
        return found
    if not isinstance(reasoning, str):
        raise SettingError(
            f"{step}: reasoning={reasoning!r} is not a name; give that of the column for the model's thoughts, as reasoning='thoughts'. How much a model "
            "thinks is a setting of the model: dr.OpenAI(…, reasoning_effort='low')."
        )
    return (*found, (REASONING, reasoning))


def need_plain_reading(probability: object, sampling: dict[str, Any], *, step: str) -> None:
    """Raise SettingError for a column of probabilities that has no name, or stands beside settings that say how to draw an answer."""
    if not isinstance(probability, str):
        raise SettingError(f"{step}: probability={probability!r} is not a name; give the new column's, e.g. probability='p'.")
    for argument, value in sampling.items():
        if value is not None and argument != "extra" and not (argument == "temperature" and value == 0):
            raise SettingError(
                f"{step}: {argument}= says how an answer is drawn, and with probability= none is: the answer is the likeliest label, "
                f"and its probability is that of the model itself, at temperature 1. Leave {argument}= out."
            )


def need_reading(free_text: object, parse: object, *, step: str) -> None:
    """Raise SettingError where two ways to read the answers are given."""
    if not isinstance(free_text, bool):
        raise SettingError(f"{step}: free_text={free_text!r} is True or False.")
    if free_text and parse is not None:
        raise SettingError(f"{step}: free_text=True reads the answers as DataDreamer does, and parse= reads them otherwise; give one of them.")
