"""A Ray cluster of several nodes in this machine, and the processes of the actors on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tiny

STORE_BYTES = 80 << 20


@contextmanager
def three_nodes() -> Iterator[Any]:
    """Yield a cluster of three nodes with a core each; nothing of it runs on afterwards."""
    from ray.cluster_utils import Cluster

    before = set(processes())
    each = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=each)
    try:
        for _ in range(2):
            cluster.add_node(**each)
        yield cluster
    finally:
        cluster.shutdown()
        assert tiny.gone([pid for pid in processes() if pid not in before], word="ray")


def processes() -> list[int]:
    """The pids of all processes of Ray on this machine."""
    return [
        pid
        for pid in _pids()
        if any(word in tiny.command_line(pid) for word in ("ray::", "raylet", "gcs_server"))
    ]


def actors() -> list[int]:
    """The pids of the actors that compute shards."""
    return [pid for pid in _pids() if tiny.command_line(pid).startswith("ray::ShardActor")]


def actors_of(node: Any) -> list[int]:
    """The pids of the actors of one node of a cluster."""
    raylets = [
        info.process.pid for kind, infos in node.all_processes.items() for info in infos if kind == "raylet"
    ]
    return [pid for raylet in raylets for pid in tiny.children(raylet) if pid in actors()]


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def address(cluster: Any) -> dict[str, str]:
    """The environment of a driver that joins the cluster."""
    return {"RAY_ADDRESS": cluster.address}
