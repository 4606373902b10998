"""Several models as one: rows go to whichever has room."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

from dreamframe.errors import DreamframeError, SettingError
from dreamframe.identity.fingerprint import canonical
from dreamframe.models.base import LLM, SAMPLING_FIELDS, Artefact, Client
from dreamframe.models.edges import Trained
from dreamframe.models.habits import called, described
from dreamframe.models.llms.names import llm as named
from dreamframe.models.measure import Measure
from dreamframe.models.prices import Price
from dreamframe.models.request import Sampling

AGREED = (*SAMPLING_FIELDS, "system")


@dataclass(frozen=True, init=False)
class Parallel(LLM):
    """Several models, or one at several places, that share the rows: each row goes to the one with the most room.

    A model whose key is refused or whose account is empty hands its rows to the others. Each keeps its own limits. The models must agree in their
    system prompt and sampling. Raises SettingError where they do not.

    If all of them have one identity (say, one model on two servers with the same `identity`), the answers are those of that model; otherwise it is
    not fixed which of the models answers a row, and the answers belong to the group.

    >>> here, there = (dr.OpenAI("m", base_url=f"http://gpu{i}.invalid/v1") for i in (1, 2))
    >>> dr.Parallel(here, there).label
    'm + m'
    """

    llms: tuple[LLM, ...] = field(default=(), kw_only=True)
    provider: ClassVar[str] = "parallel"

    def __init__(self, *llms: LLM | str) -> None:
        given: list[Any] = [named(part) if isinstance(part, str) else part for part in llms]
        if wrong := [part for part in given if not isinstance(part, LLM)]:
            devices = " One that stands on several devices is one model: device=['cuda:0', 'cuda:1']." if hasattr(wrong[0], "device") else ""
            way = called(wrong[0]) or f" Only language models share rows: dr.Parallel(one, other).{devices}"
            raise SettingError(f"Parallel: {described(wrong[0])} is not a language model.{way}")
        made = tuple(p for part in given for p in (part.llms if isinstance(part, Parallel) else (part,)))
        if len(made) < 2:
            raise SettingError(f"Parallel: {len(made)} models; give two or more.")
        for name in AGREED:
            values = [getattr(part, name) for part in made]
            if any(v != values[0] for v in values):
                raise SettingError(f"Parallel: the models differ in {name}: {', '.join(map(repr, values))}. Give all of them the same.")
        for f in fields(self):
            object.__setattr__(self, f.name, getattr(made[0], f.name) if f.name in AGREED else None if f.metadata.get("is_lent") else made)
        object.__setattr__(self, "model", " + ".join(part.label for part in made))
        self.__post_init__()

    @classmethod
    def of_plan(cls, fields: Mapping[str, Any]) -> Self:
        return cls(*fields["llms"])

    @property
    def concurrency(self) -> int:
        """Requests that may be in flight at once, in all of them."""
        return sum(int(getattr(part, "concurrency", None) or 16) for part in self.llms)

    def places(self) -> tuple[str, ...]:
        """Each of its models answers for itself."""
        return ()

    def check_asked(self, sampling: Sampling, *, step: str, is_held: bool = False) -> None:
        for part in self.llms:
            part.check_asked(sampling, step=step, is_held=is_held)

    def is_given(self, argument: str) -> bool:
        return all(part.is_given(argument) for part in self.llms)

    def no_tools(self) -> str | None:
        return next((why for part in self.llms if (why := part.no_tools()) is not None), None)

    def measure(self) -> Measure | None:
        return Measure.of_all([part.measure() for part in self.llms])

    def missing(self) -> tuple[DreamframeError, ...]:
        return tuple(error for part in self.llms for error in part.missing())

    def no_device(self) -> DreamframeError | None:
        return next((error for part in self.llms if (error := part.no_device()) is not None), None)

    def check_reach(self) -> None:
        for part in self.llms:
            part.check_reach()

    def identity_fields(self) -> Mapping[str, object]:
        own = sorted((dict(part.identity_fields()) for part in self.llms), key=canonical)
        return own[0] if own[0] == own[-1] else {"provider": self.provider, "version": self.version, "llms": own}

    @property
    def price(self) -> Price | None:
        """That of its models, where it is one for all of them."""
        prices = {part.price for part in self.llms}
        return prices.pop() if len(prices) == 1 else None

    def edges(self) -> tuple[Trained, ...]:
        return tuple(edge for part in self.llms for edge in part.edges())

    def resolve(self, trained: Callable[[Trained], Artefact]) -> Self:
        return type(self)(*(part.resolve(trained) for part in self.llms)) if self.edges() else self

    def pinned(self) -> Self:
        made = [part.pinned() for part in self.llms]
        return self if all(a is b for a, b in zip(made, self.llms, strict=True)) else type(self)(*made)

    def pool_key(self) -> str:
        return repr([(part.pool_key(), sorted(part.identity_fields().items(), key=str)) for part in self.llms])

    def open(self) -> Client:
        raise TypeError("a Parallel has no client of its own: each of its models has")
