"""What a step that reads how likely each label is needs beside the answers: a menu below each prompt, and a model that tells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.models.base import LLM
from dreamframe.models.menu import with_menu


def need_labels(llm: LLM, labels: Sequence[str], kind: pl.DataType, *, n: int, reads_text: bool, step: str) -> None:
    """Raise SettingError where no answer of this model could tell how likely each label is. `kind` is the column's, `reads_text` whether parse= does."""
    if n > 1:
        raise SettingError(f"{step}: probability= tells how likely each label is in one answer, and n={n} asks for several; leave one of them out.")
    if reads_text:
        raise SettingError(f"{step}: probability= tells how likely labels are, so there is no text that parse= or free_text= could read; leave it out.")
    if len(labels) < 2:
        what = "one label" if labels else f"{kind}"
        raise SettingError(f"{step}: probability= is that of one label among several, and the answer is {what}; give schema=bool, labels or a Literal.")
    if (why := llm.no_probabilities()) is not None:
        raise SettingError(f"{step}: probability= cannot be told: {llm.label} {why}. Leave it out, or ask a model that tells log-probabilities.")
    if len(labels) > llm.most_labels:
        raise SettingError(f"{step}: probability= cannot be told: {llm.label} tells those of {llm.most_labels} labels at most, and there are {len(labels)}.")


def with_menus(prompts: pl.Series, labels: Sequence[str], *, form: str) -> pl.Series:
    """The prompts with the menu below each of them."""
    return pl.Series(prompts.name, [p if p is None else with_menu(p, labels, form=form) for p in prompts], dtype=pl.String)


def of_each(chosen: Iterable[tuple[Any, float] | None]) -> tuple[list[Any], list[float | None]]:
    """The answers, and how likely each is; None for both where there is none."""
    held = [(None, None) if c is None else c for c in chosen]
    return [answer for answer, _ in held], [likely for _, likely in held]
