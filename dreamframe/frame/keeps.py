"""What the verbs that ask can keep as columns beside what they make of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
