"""The stored outputs of a session for runs that look at them and add none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dreamframe.store.long_rows import LongRows
from dreamframe.store.steps import StepOutputs, Stored, Writer, holds_one


class Kept(StepOutputs):
    """The outputs that are stored; none is added, and none taken away."""

    def __init__(self, outputs: StepOutputs) -> None:
        self._outputs = outputs
        self._hidden: set[str] = set()  # keys of outputs that a run would make anew

    @property
    def keeps(self) -> bool:
        return False

    @property
    def is_empty(self) -> bool:
        return self._outputs.is_empty

    def has(self, key: str) -> bool:
        return key not in self._hidden and self._outputs.has(key)

    def record(self, key: str) -> Mapping[str, Any] | None:
        return None if key in self._hidden else self._outputs.record(key)

    def find(self, key: str, schema: Mapping[str, Any] | None = None) -> Stored | None:
        return None if key in self._hidden else self._outputs.find(key, schema)

    def long(self, key: str, schema: Mapping[str, Any]) -> LongRows | None:
        return None if key in self._hidden else self._outputs.long(key, schema)

    def all(self) -> list[dict[str, Any]]:
        return self._outputs.all()

    def writer(self, *_: Any) -> Writer:
        raise AssertionError("a run that looks keeps nothing")

    def forget(self, steps: Collection[str]) -> None:
        """Look at none of the outputs that a run would take away."""
        self._hidden |= {str(record.get("key")) for record in self._outputs.all() if holds_one(record, steps)}
