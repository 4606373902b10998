"""A small cluster of Ray on this machine, for tests."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import pytest

CPUS = 6  # that each of its machines believes in


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """A cluster of one machine, and this process in it. Others come with `add_node`, and go with `remove_node`."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": CPUS, "include_dashboard": False, "object_store_memory": 100 << 20})
    try:
        ray.init(address=nodes.address, log_to_driver=False, configure_logging=False)
        yield nodes
    finally:
        ray.shutdown()
        nodes.shutdown()
