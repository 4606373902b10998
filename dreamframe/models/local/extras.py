"""What `extra=` may hold for models in this process: an engine ignores a key that it does not know, and nobody would hear of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from dreamframe.errors import SettingError
from dreamframe.models.request import Sampling

OWN = frozenset(f.name for f in fields(Sampling)) - {"extra"}
CALLED = {  # one thing, as engines and APIs call it
    "repetition_penalty": ("repetition_penalty", "repeat_penalty", "presence_penalty"),
    "repeat_penalty": ("repeat_penalty", "repetition_penalty", "presence_penalty"),
    "typical_p": ("typical_p", "typ_p"),
    "max_new_tokens": ("max_tokens",),
    "n_predict": ("max_tokens",),
    "max_length": ("max_tokens",),
    "min_tokens": ("min_tokens", "min_new_tokens"),
    "min_new_tokens": ("min_new_tokens", "min_tokens"),
    "stop_strings": ("stop",),
    "do_sample": ("temperature",),
    "num_return_sequences": ("n",),
}


@dataclass(frozen=True)
class Kind:
    """What a key of `extra=` takes."""

    said: str
    fits: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


NUMBER = Kind("a number", _is_number)
POSITIVE = Kind("a number over 0", lambda v: _is_number(v) and v > 0)
SHARE = Kind("a number from 0 to 1", lambda v: _is_number(v) and 0 <= v <= 1)
COUNT = Kind("a whole number of 0 or more", lambda v: _is_whole(v) and v >= 0)
SOME = Kind("a whole number of 1 or more", lambda v: _is_whole(v) and v >= 1)
YES_NO = Kind("True or False", lambda v: isinstance(v, bool))
DICT = Kind("a dict", lambda v: isinstance(v, dict))
ANYTHING = Kind("any value", lambda _: True)


def check_extras(sampling: Sampling, known: Mapping[str, Kind], *, who: str) -> None:
    """Raise SettingError for a key of `extra=` that the engine does not know, with the one that it does, or for a value that the key does not take."""
    for name, value in sampling.extras().items():
        if name not in known:
            raise SettingError(_unknown(name, known, who))
        if not known[name].fits(value):
            raise SettingError(f"{who}: extra={{{name!r}: {value!r}}}; give {known[name].said}.")


def _unknown(name: str, known: Collection[str], who: str) -> str:
    if name in OWN:
        return f"{who}: extra={{{name!r}: …}} is a setting of its own: give {name}=."
    for other in CALLED.get(name, ()):
        if other in known:
            return f"{who}: extra has no {name!r} here; the same is called {other!r}: extra={{{other!r}: …}}."
        if other in OWN or other == "n":
            return f"{who}: extra has no {name!r} here; give {other}=."
    return f"{SettingError.unknown(name, possible=known, where=f'{who}: extra')}"
