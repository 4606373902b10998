"""What is told of a run while it goes on: `dreamframe.run.spans` makes spans of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from dreamframe.errors import CallError
from dreamframe.models.request import Completion, Failure, Request
from dreamframe.run.stats import RunStats


class Watches(Protocol):
    """What is told of a run and of its requests, if anything is."""

    def of_run(self, labels: Sequence[str], stats: RunStats, hides: Callable[[str], str]) -> AbstractContextManager[None]:
        """The run of plans of these names begins, and ends with the block. `hides` takes secrets out of texts."""
        ...

    def leaves(self, request: Request) -> None:
        """A request leaves, for the first time or once more."""
        ...

    def is_open(self, request: Request) -> bool:
        """Whether a request has left and is not over."""
        ...

    def answered(self, request: Request, completions: Sequence[Completion], cost: float | None) -> None:
        """A request was answered: a text, or the vectors of all texts in it. `cost` in US dollars; None where nobody knows."""
        ...

    def failed(self, request: Request, error: CallError | Failure | None) -> None:
        """A request is over without an answer; None where nobody waited for one any more."""
        ...

    def give_up(self) -> None:
        """The run waits no more for what has left."""
        ...
