"""How many actors a run wants of a cluster, what each takes, and how the cluster is joined and left."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import h5py
import pytest

import tiny
from ray_stand_in import StandIn, standing_in
from spinlock.cli.program import run
from spinlock.errors import SpinlockError
from spinlock.execution.executors import ray_cluster, ray_worker
from spinlock.execution.executors.ray_cluster import joined_cluster
from spinlock.execution.executors.ray_demand import Share, decided_demand, part_of_gpu

GIB = 1 << 30
EACH = 2 * GIB
CPU = Share(memory=EACH)
GPU, HALF, THIRD = Share(gpu=1.0), Share(gpu=0.5), Share(gpu=0.3333)


def node(number, cpus=0.0, gpus=0.0, memory=64 * GIB, *, alive=True):
    resources = {"CPU": float(cpus), "GPU": float(gpus), "memory": float(memory)}
    return {"NodeID": str(number), "Alive": alive, "Resources": resources if alive else {}}


def config_with(tmp_path, device="auto", **parallelism):
    changes = {"simulation.device": device, "simulation.parallelism": parallelism}
    return tiny.config_of(tmp_path / "a.h5", tiny.PLAIN, changes)


CLUSTER = [node(0, cpus=2), node(1, cpus=3), node(2, alive=False)]
WITH_GPUS = [node(0, cpus=8), node(1, cpus=16, gpus=2), node(2, cpus=16, gpus=1)]


@pytest.mark.parametrize(
    ("nodes", "asked", "wanted"),
    [
        (CLUSTER, {}, [CPU] * 5),
        (CLUSTER, {"device": "cuda"}, [CPU] * 5),
        (CLUSTER, {"slots_per_device": 2}, [CPU] * 5),  # a core is no better for being shared
        (CLUSTER, {"workers": 3}, [CPU] * 3),
        (CLUSTER, {"workers": 7}, [CPU] * 7),  # two of them wait for nodes to come
        (CLUSTER, {"devices": ["cpu", "cpu"], "slots_per_device": 2}, [CPU] * 4),
        (CLUSTER, {"devices": ["auto"]}, [CPU]),
        (CLUSTER, {"devices": [0, 1]}, [CPU]),
        ([node(0, cpus=9, memory=5 * GIB)], {}, [CPU] * 2),
        ([node(0, cpus=9, memory=GIB), node(1, cpus=1)], {}, [Share()] * 10),  # else none fits on the first
        (WITH_GPUS, {}, [GPU] * 3),
        (WITH_GPUS, {"device": "cpu"}, [CPU] * 40),
        (WITH_GPUS, {"slots_per_device": 2}, [HALF] * 6),
        (WITH_GPUS, {"slots_per_device": 3}, [THIRD] * 9),
        (WITH_GPUS, {"slots_per_device": 3, "workers": 4}, [THIRD] * 4),
        (WITH_GPUS, {"devices": ["cpu", "cpu", "cuda:0", "cuda:0"]}, [CPU, CPU, HALF, HALF]),
        (WITH_GPUS, {"devices": [0, 1, 2, 3]}, [GPU] * 3),
        (WITH_GPUS, {"devices": ["auto"]}, [GPU]),
    ],
)
def test_what_is_wanted_of_a_cluster(tmp_path, nodes, asked, wanted):
    demand = decided_demand(config_with(tmp_path, **asked), nodes, EACH)
    assert demand is not None
    assert demand.actors(nodes) == wanted


@pytest.mark.parametrize("asked", [{}, {"workers": 2}, {"devices": ["cpu"]}, {"device": "cuda"}])
def test_nothing_is_decided_before_the_cluster_has_anything(tmp_path, asked):
    assert (
        decided_demand(config_with(tmp_path, **asked), [node(0), node(1, cpus=2, alive=False)], EACH) is None
    )


def test_nodes_that_come_and_go_bring_actors_of_the_same_kind(tmp_path):
    """A GPU that comes later is not used: it would make other bits."""
    demand = decided_demand(config_with(tmp_path), CLUSTER, EACH)
    assert demand.actors([*CLUSTER, node(3, cpus=4, gpus=8)]) == [CPU] * 9
    assert demand.actors(CLUSTER[1:]) == [CPU] * 3
    assert demand.actors([node(0, cpus=4, memory=3 * GIB)]) == [CPU]
    on_gpus = decided_demand(config_with(tmp_path), WITH_GPUS, EACH)
    assert on_gpus.actors([*WITH_GPUS, node(3, cpus=64)]) == [GPU] * 3


def test_what_ray_is_told_of_a_share():
    assert CPU.options() == {"num_cpus": 1, "num_gpus": 0.0, "memory": EACH}
    assert Share().options() == {"num_cpus": 1, "num_gpus": 0.0}
    assert THIRD.options() == {"num_cpus": 0, "num_gpus": 0.3333}
    assert [share.device for share in (CPU, HALF)] == ["cpu", "cuda:0"]
    assert [share.sharing for share in (CPU, GPU, HALF, THIRD)] == [1, 1, 2, 3]
    assert all(slots * part_of_gpu(slots) <= 1 for slots in range(1, 65))
    assert all(Share(gpu=part_of_gpu(slots)).sharing == slots for slots in range(1, 65))


def test_a_smaller_fraction_of_the_memory_makes_actors_ask_for_more(tmp_path):
    config = tiny.config_of(
        tmp_path / "a.h5", tiny.PLAIN, {"simulation.memory_fraction": 0.35, "simulation.parallelism": {}}
    )
    nodes = [node(0, cpus=9, memory=8 * GIB)]
    assert decided_demand(config, nodes, EACH).actors(nodes) == [Share(memory=2 * EACH)] * 2


@pytest.mark.parametrize(
    ("nodes", "asked", "said"),
    [
        (CLUSTER, {}, ""),
        (CLUSTER, {"device": "cpu"}, ""),
        (CLUSTER, {"device": "cuda:1"}, "device 'cuda:1': the cluster has no GPU; its processors are used"),
        (CLUSTER, {"devices": [0, 0, 1]}, "the cluster has no GPU for cuda:0, cuda:1; the run uses the CPU"),
        (WITH_GPUS, {"device": "cuda"}, ""),
        (WITH_GPUS, {"devices": [4, 4, 5, 6, "cpu"]}, ""),
        (
            WITH_GPUS,
            {"devices": [0, 1, 2, 3, "cpu", "cpu"]},
            "the cluster has no GPU for cuda:3; the run uses cuda:0, cuda:1, cuda:2, cpu",
        ),
    ],
)
def test_missing_gpus_are_named(tmp_path, nodes, asked, said):
    assert decided_demand(config_with(tmp_path, **asked), nodes, EACH).missing == said


class FakeRay:
    """The package, as far as joining goes.

    Parameters
    ----------
    found
        The address of a cluster that ran on this machine, if there is none in the environment.
    error
        What joining it raises.
    """

    def __init__(self, found=None, error=None, *, initialized=False):
        self.found, self.error, self.initialized, self.said = found, error, initialized, []
        worker = SimpleNamespace(_worker_logs_enabled=True)
        services = SimpleNamespace(canonicalize_bootstrap_address=self.address)
        self._private = SimpleNamespace(worker=worker, services=services)
        self.__spec__ = SimpleNamespace()

    def address(self, asked):
        assert asked == "auto"
        found = os.environ.get("RAY_ADDRESS", self.found)
        if found is None:
            raise ConnectionError("none found")
        return found

    def is_initialized(self):
        return self.initialized

    def init(self, address, **how):
        signal.signal(signal.SIGTERM, lambda *_: None)  # as Ray does
        assert how["log_to_driver"] is False
        assert self._private.worker._worker_logs_enabled is False
        self.said.append(address)
        if self.error:
            raise self.error
        self.how = how

    def shutdown(self):
        self.said.append("shutdown")


@pytest.fixture
def listening():
    """The address of a port at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def silent():
    """The address of a port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def joining(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")

    def join(ray):
        monkeypatch.setitem(sys.modules, "ray", ray)
        return joined_cluster(3)

    return join


@pytest.mark.parametrize("asked", [False, True])
def test_a_cluster_that_runs_is_joined_and_left(joining, monkeypatch, listening, asked):
    if asked:
        monkeypatch.setenv("RAY_ADDRESS", listening)
    ray, before = FakeRay(found=None if asked else listening), signal.getsignal(signal.SIGTERM)
    with joining(ray) as package:
        assert package is ray
        assert ray.said == ["auto"]
        assert signal.getsignal(signal.SIGTERM) is before
    assert ray.said == ["auto", "shutdown"]
    assert ray._private.worker._worker_logs_enabled is True


@pytest.mark.parametrize("there", ["nothing", "one that was killed", "one that is not wanted"])
def test_without_a_cluster_one_is_started_that_is_small_and_silent(joining, monkeypatch, listening, there):
    ray = FakeRay(found={"nothing": None, "one that was killed": silent()}.get(there, listening))
    if there == "one that is not wanted":
        monkeypatch.setenv("RAY_ADDRESS", "local")
    with pytest.raises(ValueError, match="no luck"), joining(ray):
        raise ValueError("no luck")
    assert ray.said == ["local", "shutdown"]
    assert ray.how["num_cpus"] == 3
    assert ray.how["include_dashboard"] is False
    assert ray.how["object_store_memory"] < 100 << 20
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_a_connection_of_the_caller_stays_as_it_is(joining):
    ray = FakeRay(initialized=True)
    with joining(ray):
        pass
    assert ray.said == []


def test_a_cluster_that_does_not_answer_is_told(joining, monkeypatch):
    address = silent()
    monkeypatch.setenv("RAY_ADDRESS", address)
    ray = FakeRay()
    with (
        pytest.raises(SpinlockError, match=f"no Ray cluster answers at RAY_ADDRESS={address}") as told,
        joining(ray),
    ):
        pass
    assert "RAY_ADDRESS=local" in str(told.value)
    assert ray.said == []


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_an_address_for_clients_outside_is_told_where_to_run(joining, monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address)
    ray = FakeRay()
    with pytest.raises(SpinlockError, match="run this command on a node of it"), joining(ray):
        pass
    assert ray.said == []


def test_a_cluster_of_another_version_is_told(joining, listening):
    ray = FakeRay(found=listening, error=RuntimeError("Version mismatch: 2.40 here"))
    same = "every node needs the same versions of Python and Ray"
    with pytest.raises(SpinlockError, match=same) as told, joining(ray):
        pass
    assert "Version mismatch: 2.40 here" in str(told.value)


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_without_the_package_the_command_says_what_to_install(tmp_path, monkeypatch, capsys, more):
    monkeypatch.setitem(sys.modules, "ray", None)
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN)
    output = tmp_path / "a.h5"
    words = ["generate", "--config", str(config), "--output", str(output), "--executor", "ray", *more]
    assert run(words) == 2
    assert 'pip install "spinlock[ray]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [config]


def test_workers_find_the_package_where_it_is_not_installed(monkeypatch):
    monkeypatch.setattr(ray_cluster.sysconfig, "get_path", lambda name: f"/no/{name}")
    found = ray_cluster.source_environment()["env_vars"]["PYTHONPATH"]
    assert found == f"{tiny.SOURCE}{os.pathsep}${{PYTHONPATH}}"
    monkeypatch.setattr(ray_cluster.sysconfig, "get_path", lambda name: str(tiny.SOURCE))
    assert ray_cluster.source_environment() == {}


def test_only_actors_are_killed():
    """A process that has got the number of an actor in the meantime is left alone."""
    for name, ended in (("ray::ShardActor.run", True), ("another", False)):
        sleep = f"import sys; sys.argv = ['{name}']; sys.stdin.read()"
        process = subprocess.Popen([sys.executable, "-S", "-c", sleep, name], stdin=subprocess.PIPE)
        try:
            assert process.stdin is not None
            while name not in tiny.command_line(process.pid):
                time.sleep(0.01)
            ray_worker.end_actor(process.pid)
            if ended:
                assert process.wait(30) == -signal.SIGKILL
            assert (process.poll() is None) != ended
        finally:
            process.kill()
            process.communicate()


@pytest.mark.usefixtures("joining")
def test_a_dry_run_starts_no_cluster(tmp_path, monkeypatch, capsys):
    ray = FakeRay()
    monkeypatch.setitem(sys.modules, "ray", ray)
    config = tiny.write_config(tmp_path / "c.yaml", tiny.PLAIN, simulation__parallelism={"strategy": "ray"})
    with tiny.unchecked_shapes():
        assert (
            run(["generate", "--config", str(config), "--output", str(tmp_path / "a.h5"), "--dry-run"]) == 0
        )
    assert "(ray, up to 3 workers, devices of the cluster)" in capsys.readouterr().out
    assert ray.said == []


def test_a_run_by_actors_makes_the_dataset_that_threads_make(plain, tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO", "spinlock")
    ray = StandIn({"CPU": 1.0, "memory": 1e12}, {"CPU": 1.0, "memory": 1e12})
    monkeypatch.setitem(sys.modules, "ray", FakeRay())
    with standing_in(monkeypatch, ray):
        output = tiny.generate(tmp_path / "a.h5", tiny.PLAIN, {"simulation.parallelism": {"strategy": "ray"}})
    assert tiny.differing(plain, output) == []
    assert not output.with_name("a.h5.parts").exists()
    with h5py.File(output) as file:
        provenance = json.loads(file["metadata"].attrs["provenance"])
    assert provenance["executor"] == "ray"
    assert 1 <= provenance["workers"] <= 2
