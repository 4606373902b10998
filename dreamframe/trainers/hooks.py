"""A user's own callbacks, metrics and optimizer in a training: named functions and classes, part of the model's key by their code."""

from __future__ import annotations

import inspect
from typing import Any, Protocol

from dreamframe.errors import SettingError, listed

OPTIMIZER_READS = ("parameters", "model", "learning_rate")


class Hooked(Protocol):
    """Settings with callbacks, metrics and an optimizer of the user's."""

    @property
    def label(self) -> str: ...

    @property
    def callbacks(self) -> Any: ...

    @property
    def compute_metrics(self) -> Any: ...

    @property
    def shows_predictions(self) -> bool: ...

    @property
    def optimizer(self) -> Any: ...


def check_hooks(settings: Hooked) -> None:
    """Refuse what is not a function or a class, and an optimizer that reads what there is not. Raises SettingError."""
    for made in settings.callbacks or ():
        if not callable(made):
            raise SettingError(
                f"{settings.label}: callbacks= holds a {type(made).__name__}, which may hold anything; give its class, or a function without "
                "arguments that makes one: the model's key sees their code."
            )
    if settings.compute_metrics is not None and not settings.shows_predictions:
        raise SettingError(f"{settings.label}: its library shows no predictions while it validates, so compute_metrics= is not possible; ask the model later.")
    for name in ("compute_metrics", "optimizer"):
        given = getattr(settings, name)
        if given is not None and not callable(given):
            raise SettingError(f"{settings.label}: {name}= is a {type(given).__name__}; give a function.")
    if settings.optimizer is not None:
        named = [p for p in inspect.signature(settings.optimizer).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        if strange := [p.name for p in named if p.name not in OPTIMIZER_READS and p.default is inspect.Parameter.empty]:
            raise SettingError(f"{settings.label}: optimizer={name_of(settings.optimizer)} reads {listed(strange)}; it can be given {listed(OPTIMIZER_READS)}.")


def name_of(function: Any) -> str:
    """What errors call a function."""
    return str(getattr(function, "__name__", type(function).__name__))
