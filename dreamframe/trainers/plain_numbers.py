"""Settings that are numbers: what is written where a number belongs is looked at once, for every trainer, by what its fields are declared to be."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from numbers import Integral, Real
from typing import Any

from dreamframe.errors import SettingError

MOST_SEED = 2**32 - 1  # numpy's
INFINITE = math.inf
NOT_LESS_THAN_0 = (  # weights: below 0 a training learns the opposite of its rows
    "beta", "desirable_weight", "undesirable_weight", "cpo_alpha", "simpo_gamma", "value_weight", "center_rewards", "query_weight", "document_weight",
    "neftune", "early_stopping_threshold", "checkpoint_s",
)  # fmt: skip
RANGES = {  # name → the least and the most
    **dict.fromkeys(NOT_LESS_THAN_0, (0, INFINITE)), **dict.fromkeys(("gamma", "gae_lambda"), (0, 1)), "label_smoothing": (0, 0.5), "seed": (0, MOST_SEED),
}  # fmt: skip
ABOVE_0 = (
    "batch_size", "steps", "epochs", "learning_rate", "learning_rate_multiplier", "early_stopping", "eval_every", "max_length", "processes", "temperature",
    "max_new_tokens", "max_target_length", "clip", "max_grad_norm", "poll_s",
)  # fmt: skip


def check_numbers(settings: Any, who: str) -> None:
    """Raise SettingError where a field that is declared as a number holds none, NaN, infinity, a part of a whole, or a number that it cannot be."""
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
        least, most = RANGES.get(f.name, (-INFINITE, INFINITE))
        if not least <= value <= most:
            raise SettingError(f"{who}: {f.name}={value} must not be less than {least}{f' or more than {most}' if most < INFINITE else ''}.")
        if f.name in ABOVE_0 and value <= 0:
            raise SettingError(f"{who}: {f.name}={value} must be more than 0.")


def need_object(text: str, where: str) -> None:
    """Raise SettingError where a text that stands for a dict is not the JSON of one."""
    try:
        held = json.loads(text)
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise SettingError(f"{where}={text!r} is text, and not the JSON of a dict; give a dict.")
