"""Edges of a plan inside its records: a lazy model that must be trained first, and rows that must be collected first."""

from __future__ import annotations

import functools
from dataclasses import fields
from typing import Any, Self


class Edge:
    """What a record holds in place of a model or a frame: the step that makes it. Two edges are equal where their step is the same object.

    Not a dataclass: whoever walks over the fields of a record stops here, since what lies below is another step's.
    """

    __slots__ = ("step",)
    step: Any  # a Step, which this room does not know

    def __init__(self, step: Any) -> None:
        object.__setattr__(self, "step", step)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable (tried to set {name!r})")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.step is self.step

    def __hash__(self) -> int:
        return hash((type(self), id(self.step)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.step,)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # what lies below is another step's, and never changes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.step.label})"


class Trained(Edge):
    """The model that a training step of the plan makes: a folder of weights once it ran."""

    __slots__ = ()


class Rows(Edge):
    """The rows that a step of the plan gives."""

    __slots__ = ()


class Values(Rows):
    """The values of one column of the rows that a step gives."""

    __slots__ = ("column",)
    column: str

    def __init__(self, step: Any, column: str) -> None:
        super().__init__(step)
        object.__setattr__(self, "column", column)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Values) and other.step is self.step and other.column == self.column

    def __hash__(self) -> int:
        return hash((Values, id(self.step), self.column))

    def __reduce__(self) -> tuple[Any, ...]:
        return Values, (self.step, self.column)


@functools.singledispatch
def as_edge(value: Any) -> Any:
    """What a record holds of a value: of a frame or a lazy model (whose modules register themselves) the edge, anything else as it is.

    >>> model = dr.frame({"q": ["2+2?"], "a": ["4"]}).train(dr.SFT("base", steps=2), prompt="q", completion="a")
    >>> as_edge(model), as_edge("gpt2")
    (Trained(sft), 'gpt2')
    """
    return value


@as_edge.register
def _(value: tuple) -> Any:  # type: ignore[type-arg]
    made = tuple(map(as_edge, value))
    return value if all(a is b for a, b in zip(made, value, strict=True)) else made


def with_edges(record: Any) -> None:
    """Put edges in place of the frames and lazy models among the fields of a frozen record that is being made."""
    for f in fields(record):
        value = getattr(record, f.name)
        if (made := as_edge(value)) is not value:
            object.__setattr__(record, f.name, made)


def numbered(value: Any, edges: tuple[Edge, ...]) -> Any:
    """An edge, as a step's fingerprint sees it: by its number among the edges of the record. What it is, the plan's inputs say.

    An edge that stands in a record twice has the number of the last.
    """
    if isinstance(value, tuple):
        return tuple(numbered(v, edges) for v in value)
    if isinstance(value, Edge) and value in edges:
        return f"edge {len(edges) - 1 - edges[::-1].index(value)}"
    return value
