"""Tests of the base install: `python -m tests.lowest` prints the lowest versions that it allows, `pytest -p tests.lowest` leaves out what needs an extra."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Generator, Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

MORE = (ModuleNotFoundError, PackageNotFoundError)


def lowest() -> Iterator[str]:
    """Each dependency of the base install at its lower bound."""
    for line in tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]:
        name, _, bound = line.partition(">=")
        yield f"{name}=={bound}"


def lacks(exc: BaseException | None) -> bool:
    """Whether an error, or one that led to it, says that something is not installed."""
    if exc is None:
        return False
    is_told = isinstance(exc, MORE) or any(word in str(exc) for word in ("ModuleNotFoundError", "not installed"))  # also of another process
    return is_told or lacks(exc.__cause__) or lacks(exc.__context__)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_setup() -> Generator[None, None, None]:
    yield from skipped()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    yield from skipped()


def skipped() -> Generator[None, None, None]:
    """A test that meets what is not installed is skipped."""
    try:
        yield
    except Exception as exc:
        if lacks(exc):
            pytest.skip(f"not of the base install: {exc!r:.100}")
        raise


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: Any) -> Generator[None, Any, Any]:
    """So is a file that imports it."""
    report = yield
    if report.failed and any(word in str(report.longrepr) for word in ("ModuleNotFoundError", "MissingExtraError")):
        report.outcome, report.longrepr = "skipped", (str(collector.path), 0, "not of the base install")
    return report


if __name__ == "__main__":
    print("\n".join(lowest() if sys.argv[1:] != ["newest"] else ()))
