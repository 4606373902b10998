"""What frames and models are alike: values over a step of a plan. A copy is the value itself; what is pickled is the plan, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self


class Value:
    """A value that holds a step and never changes."""

    __slots__ = ()
    if TYPE_CHECKING:
        step: Any

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _over_the_last, (type(self), *self.step.walk())  # inputs first: a plan may be deeper than pickle's recursion


def _over_the_last(kind: Any, *steps: Any) -> Any:
    return kind(steps[-1])
