"""What tests of sessions in buckets share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.machines import Machine
from tests.loopback import bucket


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with bucket.serving() as endpoint:
        bucket.make(endpoint, "sessions")
        yield endpoint


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, endpoint: str, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, endpoint, tmp_path)
