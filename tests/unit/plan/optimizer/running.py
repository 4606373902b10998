"""A plan run as it is written and as the rules make it."""

from __future__ import annotations

from collections.abc import Callable

import dreamframe as dr


def calls(made: Callable[[], dr.Frame]) -> tuple[int, int]:
    """What a plan asks as it is written, and optimised, each in a session of its own. Its rows, their order and types are the same."""
    with dr.Session(None) as session:
        expected = made().collect(optimize=False)
        most = session.usage()["calls"]
    with dr.Session(None) as session:
        plan = made()
        found = plan.collect()
        assert found.equals(expected)
        assert found.schema == expected.schema == plan.schema
        assert plan.collect().equals(expected)
        return most, session.usage()["calls"]
