"""A Ray cluster as a run uses it: joined or started, kept quiet, and left as it was found."""

import contextlib
import logging
import os
import signal
import socket
import sysconfig
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import spinlock
from spinlock.errors import SpinlockError
from spinlock.execution.executors.ray_worker import end_actor
from spinlock.execution.in_flight import one_line

logger = logging.getLogger("spinlock")

ADDRESS = "RAY_ADDRESS"

ANSWER_SECONDS = 5.0

STORE_BYTES = 80 << 20
"""Ray's object store at its smallest: only receipts travel, and they are not stored there."""


@contextlib.contextmanager
def joined_cluster(cpus: int) -> Iterator[Any]:
    """Join the cluster of ``RAY_ADDRESS``, or one that runs here, or start one; yield the package.

    What was started is shut down after the body, and a connection that was made is closed; one that the
    caller had made stays.

    Parameters
    ----------
    cpus
        Cores of a cluster that is started.

    Raises
    ------
    SpinlockError
        Where no cluster answers at ``RAY_ADDRESS``, or it is of another version.
    """
    import ray

    if ray.is_initialized():
        yield ray
        return
    with _own_signals(), _quiet(ray):
        _join(ray, cpus)
    with _quiet(ray):
        try:
            yield ray
        finally:
            ray.shutdown()


def _join(ray: Any, cpus: int) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    address = _address(ray)
    if address is None:
        small = {"include_dashboard": False, "object_store_memory": STORE_BYTES}
        ray.init(address="local", num_cpus=cpus, **small, **quiet)
        return
    try:
        ray.init(address="auto", **quiet)  # so Ray finds its token
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise SpinlockError(
            f"the Ray cluster at {address} cannot be joined ({one_line(error)}): every node needs the same "
            "versions of Python and Ray, and this shell the RAY_AUTH_MODE of the cluster (token or none); "
            f"{ADDRESS}=local uses this machine alone"
        ) from None


def _address(ray: Any) -> str | None:
    """Return the address of the cluster to join; None where there is none.

    Ray itself would wait for minutes for one that does not answer, such as one that was killed here.
    """
    asked = os.environ.get(ADDRESS)
    if asked == "local":
        return None
    if asked and "://" in asked:
        raise SpinlockError(
            f"{ADDRESS}={asked} is an address for clients outside of a cluster: run this command on a node "
            f"of it (`ray job submit` does) without {ADDRESS}, or with {ADDRESS}=host:port"
        )
    try:
        found = ray._private.services.canonicalize_bootstrap_address("auto")  # noqa: SLF001 (no other way)
    except (ConnectionError, ValueError):
        found = None
    if found is not None and _answers(found):
        return found
    if asked:
        raise SpinlockError(
            f"no Ray cluster answers at {ADDRESS}={asked}: start it, correct the address (host:port), or set "
            f"{ADDRESS}=local to use this machine alone"
        )
    return None


def _answers(address: str) -> bool:
    """Return whether somebody listens at ``host:port``."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS):
            return True
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the handler of SIGTERM, in place of which Ray puts its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _quiet(ray: Any) -> Iterator[None]:
    """Keep what Ray tells of dead workers off the terminal for the body; the run has words of its own."""
    worker = ray._private.worker  # noqa: SLF001 (there is no other switch)
    before = getattr(worker, "_worker_logs_enabled", None)
    try:
        worker._worker_logs_enabled = False  # noqa: SLF001
        yield
    finally:
        worker._worker_logs_enabled = before  # noqa: SLF001


def kill_on_node(ray: Any, node: str, pid: int) -> None:
    """Let Ray kill the process of an actor on its node, which may be too stuck to hear of it.

    Parameters
    ----------
    ray
        The package, connected to a cluster.
    node, pid
        Where the actor is, as it has said.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node, soft=False)
    runtime = source_environment() or None
    kill = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=there, runtime_env=runtime)(end_actor)
    kill.remote(pid)


def source_environment() -> dict[str, Any]:
    """Return the runtime environment by which workers find the package where it is not installed."""
    folder = Path(spinlock.__file__).resolve().parents[1]
    if folder in {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}:
        return {}
    return {"env_vars": {"PYTHONPATH": os.pathsep.join([str(folder), "${PYTHONPATH}"])}}
