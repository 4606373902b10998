"""The stores of a session in memory, which has no folder: nothing is there, and nothing is kept."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import polars as pl

from dreamframe.store.long_rows import LongRows
from dreamframe.store.plans import Plans
from dreamframe.store.runlog import Follower, RunLog, RunLogs
from dreamframe.store.sources import Sources
from dreamframe.store.steps import StepOutputs, Stored


class NoOutputs(StepOutputs):
    """No output of a step: the rows of a run are in memory."""

    def __init__(self) -> None:
        """Has no folder."""

    @property
    def keeps(self) -> bool:
        return False

    @property
    def is_empty(self) -> bool:
        return True

    def has(self, key: str) -> bool:  # noqa: ARG002
        return False

    def record(self, key: str) -> Mapping[str, Any] | None:  # noqa: ARG002
        return None

    def find(self, key: str, schema: Mapping[str, Any] | None = None) -> Stored | None:  # noqa: ARG002
        return None

    def long(self, key: str, schema: Mapping[str, Any]) -> LongRows | None:  # noqa: ARG002
        return None

    def all(self) -> list[dict[str, Any]]:
        return []

    def forget(self, steps: Collection[str]) -> None:
        """There is nothing to forget."""


class NoPlans(Plans):
    """No plan: the program has them."""

    def __init__(self) -> None:
        """Has no folder."""

    def has(self, label: str, key: str) -> bool:  # noqa: ARG002
        return True  # nobody has to keep it

    def keep(self, label: str, key: str, record: Mapping[str, Any]) -> None:
        """It is not kept."""

    def all(self) -> list[dict[str, Any]]:
        return []

    def script(self, file: str) -> bytes | None:  # noqa: ARG002
        return None


class NoSources(Sources):
    """No rows that came from elsewhere: they are fetched again."""

    def __init__(self) -> None:
        """Has no folder."""

    def has(self, label: str, key: str) -> bool:  # noqa: ARG002
        return False

    def names_of(self, **said: object) -> set[str]:  # noqa: ARG002
        return set()

    def find(self, label: str, key: str) -> tuple[pl.DataFrame, dict[str, Any]] | None:  # noqa: ARG002
        return None

    def keep(self, label: str, key: str, rows: pl.DataFrame, record: Mapping[str, Any]) -> None:
        """They are not kept."""


class NoLog(RunLog):
    """No log of a run: the session object counts it."""

    def __init__(self) -> None:
        """Has no folder."""

    def append(self, *events: Mapping[str, Any]) -> None:
        """They are not kept."""

    def end(self) -> None:
        """There is nothing to end."""


class NoLogs(RunLogs):
    """No logs of runs."""

    def __init__(self) -> None:
        """Has no folder."""

    def begin(self) -> RunLog:
        return NoLog()

    def read(self) -> Iterator[dict[str, Any]]:
        return iter(())

    def follow(self) -> Follower:
        return NoFollower()


class NoFollower(Follower):
    """Sees nothing."""

    def __init__(self) -> None:
        """Has no folder."""

    def news(self) -> list[dict[str, Any]]:
        return []
