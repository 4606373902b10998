"""What settings of models and of trainers ask of their authority: may these weights be opened, this address asked, these arguments handed on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from dreamframe.errors import NotAllowedError
from dreamframe.models.authority import Authority, is_place, lent, shown
from dreamframe.models.habits import Settings
from dreamframe.models.told import Called

WEIGHTS = ("model", "adapter", "base", "teacher", "rewards")  # fields that may name a file, a folder or a Hub id
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Reach(Settings):
    """Settings that open files, ask servers or run libraries when they are used: all of it is checked where they stand in a plan that was read."""

    authority: Authority | None = lent()

    __signature__: ClassVar[Called] = Called()
    handed_on: ClassVar[tuple[str, ...]] = ()  # fields of JSON text whose arguments another library gets

    @property
    def label(self) -> str:
        """What errors call it."""
        return type(self).__name__

    def places(self) -> tuple[str, ...]:
        """The files, folders and Hub ids of weights that are opened here; none of a model that is asked over a network."""
        return () if hasattr(self, "base_url") else tuple(_names(getattr(self, name, None) for name in WEIGHTS))

    def check_places(self) -> None:
        """Raise NotAllowedError for weights that a plan that was read may not open."""
        if self.authority is not None:
            for place in self.places():
                self.authority.weights(place, who=self.label)

    @property
    def may_open(self) -> bool:
        """Whether it may open its weights: the user's own may, those of a plan that was read only where that was allowed."""
        try:
            self.check_places()
        except NotAllowedError:
            return False
        return True

    def check_reach(self) -> None:
        """Raise NotAllowedError where a plan that was read may not use it. Called before its client is opened, or its training begins."""
        self.check_places()
        if self.authority is not None:
            for name in self.handed_on:
                self.authority.arguments(json.loads(getattr(self, name) or "{}"), who=f"{self.label} {name}=")
            for reward in getattr(self, "rewards", ()) or ():  # models that the training will ask
                if isinstance(asked := getattr(reward, "llm", None), Reach):
                    asked.check_reach()

    def reaches(self) -> tuple[str, ...]:
        """Where it is, for explain(): an address that is not the provider's own, a whole path."""
        return tuple(shown(place) for place in self.places() if is_place(place))

    @property
    def hub_token(self) -> bool | None:
        """What the Hub is told of the user: nothing (False) for a plan that was read, unless its repository was listed."""
        return None if self.authority is None or any(map(self.authority.has_repository, self.places())) else False


def under(made: T, authority: Authority | None) -> T:
    """Settings that were made out of others of this authority: they may reach no further."""
    return made if authority is None else replace(made, authority=authority)  # type: ignore[type-var]


def _names(values: Any) -> Iterator[str]:
    for value in values:
        if isinstance(value, tuple):
            yield from _names(value)
        elif isinstance(value, str | Path):
            yield str(value)
