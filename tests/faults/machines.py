"""Machines, one after the other, that work on one session in a bucket, and the plan of three steps that they run."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.store.objects import Objects
from dreamframe.testing import Echo
from tests.loopback import bucket

N = 4
_numbers = itertools.count()


class Machine:
    """One machine after the other, each with a cache of its own, and a session that all of them use."""

    def __init__(self, patch: pytest.MonkeyPatch, endpoint: str, tmp: Path) -> None:
        self._patch, self._endpoint, self._tmp, self._n = patch, endpoint, tmp, itertools.count()
        self.at = f"s3://sessions/run-{next(_numbers)}"
        self.next()

    def next(self) -> None:
        self.use(next(self._n))

    def use(self, n: int) -> None:
        bucket.keys(self._patch, self._endpoint, self._tmp / f"machine{n}")

    @property
    def objects(self) -> Objects:
        return bucket.objects(self.at)


def frames() -> list[dr.Frame]:
    """Three steps, one over the other."""
    made = [dr.frame({"t": [f"tea {i}" for i in range(N)]}).prompt(Echo(), "First {t}", into="a")]
    made.append(made[0].prompt(Echo(), "Second {a}", into="b"))
    made.append(made[1].prompt(Echo(), "Third {b}", into="c"))
    return made


ROWS = [(f"tea {i}", f"First tea {i}", f"Second First tea {i}", f"Third Second First tea {i}") for i in range(N)]
