"""Settings that are numbers: what is written where a number belongs is looked at once, for every trainer, by what its fields are declared to be."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from dreamframe.errors import SettingError

MOST_SEED = 2**32 - 1  # numpy's


def check_numbers(settings: Any, who: str) -> None:
    """Raise SettingError for a text, true or false, NaN, infinity or a part of a whole in a field that is declared as a number."""
    for f in fields(settings):
        kinds = [part.strip() for part in (f.type if isinstance(f.type, str) else getattr(f.type, "__name__", "")).split("|")]
        value = getattr(settings, f.name)
        if set(kinds) - {"int", "float", "None"} or not kinds[0] or (value is None and "None" in kinds):
            continue
        is_number = isinstance(value, Real) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            seen = value if is_number else f"{value!r}, of type {type(value).__name__}"
            raise SettingError(f"{who}: {f.name}={seen}; give a {'' if 'float' in kinds else 'whole '}number.")
        if "float" not in kinds and not isinstance(value, Integral):
            raise SettingError(f"{who}: {f.name}={value!r}; give a whole number{f': {int(value)}' if value == int(value) else ''}.")


def need_more_than_zero(settings: Any, names: Sequence[str], who: str) -> None:
    """Raise SettingError where one of these settings is given and is not more than 0."""
    for name in names:
        if (value := getattr(settings, name)) is not None and value <= 0:
            raise SettingError(f"{who}: {name}={value} must be more than 0.")


def need_object(text: str, where: str) -> None:
    """Raise SettingError where a text that stands for a dict is not the JSON of one."""
    try:
        held = json.loads(text)
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise SettingError(f"{where}={text!r} is text, and not the JSON of a dict; give a dict.")
