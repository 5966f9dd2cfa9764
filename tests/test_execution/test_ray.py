"""What a run on a Ray cluster does with actors that fail, die, are stuck, or may not take part."""

import logging
import os
import threading
import time

import pytest

import ray_stand_in
from ray_stand_in import Death, OutOfMemoryError, RayTaskError, StandIn, here
from spinlock.errors import SpinlockError, StorageError, UsageError
from spinlock.execution import environment as environments
from spinlock.execution import shard as shards
from spinlock.execution.executors import ray_crew, ray_worker
from spinlock.execution.executors.choice import execute
from spinlock.execution.executors.outcome import Quarantined
from spinlock.storage import Receipt
from test_execution.ray_scenes import CPU, Meeting, at, disturbed, job_of, outcomes, raising

ONE = {"CPU": 1.0, "memory": 1e12}


@pytest.fixture
def cluster(monkeypatch):
    """Two nodes with a core each."""
    ray = StandIn(ONE, ONE)
    monkeypatch.setattr(ray_crew, "COUNTED_SECONDS", 0.05)
    monkeypatch.setattr(ray_crew, "POLLED_SECONDS", 0.02)
    monkeypatch.setattr(ray_crew, "BEAT_SECONDS", 0.02)
    with ray_stand_in.standing_in(monkeypatch, ray):
        yield ray


def warned(caplog):
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_every_shard_is_computed_and_every_row_is_told(tmp_path, cluster, monkeypatch):
    rows, counts, meet, right = [], [], Meeting(2), shards.run_shard

    def run_shard(*words, **how):
        meet.all()
        return right(*words, **how)

    monkeypatch.setattr(shards, "run_shard", run_shard)
    found = outcomes(job_of(tmp_path, on_workers=counts.append), lambda: rows.append(1))
    assert [receipt.shard for receipt in found] == list(range(6))
    assert all(isinstance(receipt, Receipt) and receipt.attempt == 1 for receipt in found)
    assert len(rows) == 6
    assert max(counts) == 2
    assert len({actor.first_node for actor in cluster.actors}) == 2
    assert cluster.most_given == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml", "receipts", "shards"]
    assert len(list((tmp_path / "shards").iterdir())) == 6


def test_no_shards_need_no_cluster(tmp_path):
    assert list(execute("ray", job_of(tmp_path), [], lambda: None)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_actors_than_allowed(tmp_path, cluster, monkeypatch, workers):
    disturbed(monkeypatch)
    outcomes(job_of(tmp_path, workers=workers))
    assert len(cluster.actors) == workers


@pytest.mark.parametrize("error", [RuntimeError("no luck"), Death()])
def test_a_shard_that_fails_three_times_is_quarantined_and_the_rest_goes_on(
    tmp_path, cluster, monkeypatch, error
):
    tried = disturbed(monkeypatch, raising(at(2), error))
    found = outcomes(job_of(tmp_path))
    assert isinstance(found[2], Quarantined)
    said = "RuntimeError: no luck" if isinstance(error, RuntimeError) else "was killed: by somebody"
    assert said in found[2].reason
    assert tried.count(2) == 3
    assert set(tried) == set(range(6))
    assert [outcome.attempt for outcome in found if isinstance(outcome, Receipt)] == [1] * 5


@pytest.mark.parametrize("tries", [1, 2])
@pytest.mark.parametrize("error", [RuntimeError("no luck"), Death()])
def test_a_shard_that_succeeds_at_last_says_so_in_its_receipt(
    tmp_path, cluster, monkeypatch, caplog, error, tries
):
    disturbed(monkeypatch, raising(at(0, *range(1, tries + 1)), error))
    assert [receipt.attempt for receipt in outcomes(job_of(tmp_path))] == [1 + tries, 1, 1, 1, 1, 1]
    assert len(warned(caplog)) == tries


def test_a_shard_that_waits_behind_one_that_kills_its_actor_is_not_blamed(tmp_path, monkeypatch, cluster):
    """The first actor has two shards when it dies; a control sees that it had."""
    given = []

    def disturb(shard, tries, _signals):
        if shard == 0:
            while len(here.actor.given) < 2 and tries == 1:
                pass
            given.append([words[0] for _, words, _ in here.actor.given])
            raise Death

    tried = disturbed(monkeypatch, disturb)
    found = outcomes(job_of(tmp_path, workers=1))
    assert len(given[0]) == 2
    assert isinstance(found[0], Quarantined)
    assert [outcome.attempt for outcome in found[1:]] == [1] * 5
    assert tried.count(0) == 3


def test_a_lost_node_is_named_and_its_shard_made_elsewhere(tmp_path, cluster, monkeypatch, caplog):
    nodes = []

    def disturb(shard, tries, _signals):
        if shard == 1:
            nodes.append(here.actor.node)
            if tries == 1:
                raise Death(with_node=True)

    disturbed(monkeypatch, disturb)
    found = outcomes(job_of(tmp_path))
    assert [receipt.attempt for receipt in found] == [1, 2, 1, 1, 1, 1]
    assert len(set(nodes)) == 2
    (said,) = warned(caplog)
    assert f"({nodes[0][:8]}) was lost with the node" in said


def test_a_storage_error_ends_the_run_at_once(tmp_path, cluster, monkeypatch):
    tried = disturbed(monkeypatch, raising(at(0), StorageError("the disk is full")))
    with pytest.raises(StorageError, match="the disk is full"):
        outcomes(job_of(tmp_path, workers=1))
    assert tried.count(0) == 1


@pytest.mark.parametrize("error", [MemoryError("no room"), Death(OutOfMemoryError())])
def test_memory_that_runs_out_halves_what_is_in_flight_on_the_node(
    tmp_path, monkeypatch, caplog, cluster, error
):
    """Four actors on the first node are at work together, and one on the other; then two and one are."""
    cluster._nodes[0]["Resources"]["CPU"] = 4.0
    meet, first = Meeting(5), cluster._nodes[0]["NodeID"]
    at_work, seen, lock, failed = [], [], threading.Lock(), []

    def disturb(shard, tries, _signals):
        meet.all()
        with lock:
            if here.actor.node == first and not failed:
                failed.append(shard)
                raise error
            at_work.append(here.actor.node)
            seen.append(at_work.count(first))
        time.sleep(0.01)  # so that those beside are seen
        with lock:
            at_work.remove(here.actor.node)

    disturbed(monkeypatch, disturb)
    found = outcomes(job_of(tmp_path, samples=30, workers=30))
    assert [receipt.attempt for receipt in found] == [1] * 30
    (said,) = warned(caplog)
    assert "memory ran out with 4 workers on node" in said
    assert "at most 2" in said
    assert sum(actor.first_node == first for actor in cluster.actors) == 4
    assert len(cluster.actors) == 5
    assert max(seen) == 3
    assert max(seen[-10:]) <= 2


def test_memory_that_runs_out_alone_is_an_attempt(tmp_path, cluster, monkeypatch, caplog):
    """The control: with one actor on the node there is nothing to halve."""
    disturbed(monkeypatch, raising(at(3, 1), MemoryError("no room")))
    found = outcomes(job_of(tmp_path, workers=1))
    assert [receipt.attempt for receipt in found] == [1, 1, 1, 2, 1, 1]
    (said,) = warned(caplog)
    assert "shard 3 failed (MemoryError: no room) and is tried again" in said
    assert len(cluster.actors) == 2  # the first one gave its memory back


def test_gpus_that_are_missing_are_named_once(tmp_path, cluster, monkeypatch):
    disturbed(monkeypatch)
    changes = {"simulation.parallelism": {"devices": [0, 1, "cpu"]}}
    with pytest.warns(
        UserWarning, match="the cluster has no GPU for cuda:0, cuda:1; the run uses cpu"
    ) as told:
        outcomes(job_of(tmp_path, changes=changes))
    assert len(told) == 1
    assert len(cluster.actors) == 1


def test_a_run_that_finds_no_room_says_what_it_waits_for(tmp_path, cluster, monkeypatch, caplog):
    caplog.set_level("INFO", "spinlock")
    monkeypatch.setattr(ray_crew, "TOLD_SECONDS", 0.0)
    for node in cluster.nodes():
        cluster.lose(node["NodeID"])

    def available_resources():
        cluster.add(**ONE)
        return {"CPU": 0.5}

    monkeypatch.setattr(cluster, "available_resources", available_resources)
    disturbed(monkeypatch)
    assert len(outcomes(job_of(tmp_path))) == 6
    said = [record.message for record in caplog.records if "no worker has started" in record.message]
    assert len(said) == 1
    assert "the cluster has 0.5 processors and 0 GPUs free" in said[0]


def test_an_actor_that_falls_silent_is_killed_and_its_shard_made_by_another(
    tmp_path, cluster, monkeypatch, caplog
):
    end = threading.Event()
    killed = []
    monkeypatch.setattr(ray_crew, "SHORTEST_PATIENCE", 0.1)
    monkeypatch.setattr(ray_crew, "kill_on_node", lambda ray, *words: killed.append(words))

    def disturb(shard, tries, _signals):
        if shard == 0 and tries == 1:
            end.wait(60)

    disturbed(monkeypatch, disturb)
    try:
        found = outcomes(job_of(tmp_path, changes={"simulation.parallelism.stall_seconds": 0.6}))
    finally:
        end.set()
    assert all(isinstance(outcome, Receipt) for outcome in found)
    assert found[0].attempt == 2
    assert (cluster.killed[0].first_node, os.getpid()) in killed
    assert "was stuck and was killed: nothing was said for 0.6 s" in warned(caplog)[0]
    assert "stall_seconds allows more" in warned(caplog)[0]


def test_an_actor_that_speaks_may_take_its_time(tmp_path, cluster, monkeypatch, caplog):
    """The control: it computes until the driver has asked it ten times for longer than it may be silent."""
    asked, right = [], ray_worker.ShardActor.signs

    def signs(self, seconds):
        asked.append(1)
        return right(self, 0.1)

    def disturb(shard, tries, signals):
        while len(asked) < 20:
            signals.check()

    monkeypatch.setattr(ray_worker.ShardActor, "signs", signs)
    disturbed(monkeypatch, disturb)
    changes = {"simulation.parallelism.stall_seconds": 1.5}
    found = outcomes(job_of(tmp_path, samples=1, changes=changes))
    assert [receipt.attempt for receipt in found] == [1]
    assert warned(caplog) == []


def endless(_shard, _tries, signals):
    """Compute until the run ends."""
    while True:
        signals.check()
        time.sleep(0.01)


def test_closing_lets_those_at_work_leave_at_their_next_step(tmp_path, cluster, monkeypatch):
    begun, left = threading.Event(), []

    def disturb(shard, tries, signals):
        while shard:
            begun.set()
            try:
                signals.check()
            except shards.CancelledError:
                left.append(shard)
                raise

    disturbed(monkeypatch, disturb)
    job = job_of(tmp_path, workers=1)
    run = execute("ray", job, range(job.plan.num_shards), lambda: None)
    assert next(run).shard == 0
    assert begun.wait(60)  # the next one waited behind it
    run.close()
    assert left == [1]
    assert set(cluster.killed) == set(cluster.actors)


def test_actors_join_as_nodes_come(tmp_path, cluster, monkeypatch):
    cluster.lose(cluster._nodes[0]["NodeID"])
    meet = Meeting(2)

    def disturb(shard, tries, _signals):
        if shard == 0:
            cluster.add(**ONE)
        meet.all()

    disturbed(monkeypatch, disturb)
    assert [receipt.attempt for receipt in outcomes(job_of(tmp_path))] == [1] * 6
    assert len({actor.first_node for actor in cluster.actors}) == 2


def test_a_node_that_does_not_see_the_run_directory_is_named(tmp_path, cluster, monkeypatch):
    blind = cluster._nodes[1]["NodeID"]
    right = ray_worker._visible
    monkeypatch.setattr(ray_worker, "VISIBLE_SECONDS", 0.1)
    monkeypatch.setattr(ray_worker, "_visible", lambda path: here.actor.node != blind and right(path))
    disturbed(monkeypatch, endless)
    with pytest.raises(UsageError, match="cannot take part: it does not see") as told:
        outcomes(job_of(tmp_path))
    for words in (f"({blind[:8]})", str(tmp_path), "file system that all nodes of the cluster share"):
        assert words in str(told.value)


def test_the_proof_of_sight_is_the_content_of_a_new_file(tmp_path):
    """A directory of the same name on another disk is not taken for the run's."""
    with ray_worker.visible_mark(tmp_path) as mark:
        assert ray_worker._visible(mark)
        mark.write_text("another")
        assert not ray_worker._visible(mark)
        assert not ray_worker._visible(tmp_path / "elsewhere" / mark.name)
    assert list(tmp_path.iterdir()) == []


def mixed(monkeypatch, cluster):
    """Let the two nodes have different instruction sets."""
    right, other = environments.numerical_environment, cluster._nodes[1]["NodeID"]

    def numerical_environment(device):
        name = "SOME" if here.actor.node == other else "OTHER"
        return right(device) | {"instruction_set": name}

    monkeypatch.setattr(environments, "numerical_environment", numerical_environment)


def test_nodes_of_two_kinds_are_refused_unless_they_are_allowed(tmp_path, cluster, monkeypatch):
    mixed(monkeypatch, cluster)
    disturbed(monkeypatch, endless)
    with pytest.raises(UsageError, match=r"instruction_set: OTHER and SOME.*--allow-mixed"):
        outcomes(job_of(tmp_path))
    meet = Meeting(2)
    disturbed(monkeypatch, lambda *_: meet.all())
    assert len(outcomes(job_of(tmp_path, allow_mixed=True))) == 6


def test_a_node_unlike_those_of_earlier_shards_is_refused(tmp_path, cluster, monkeypatch):
    disturbed(monkeypatch)
    here_now = environments.numerical_environment(CPU)
    earlier = {**here_now, "torch": "0.1"}
    with pytest.raises(UsageError, match=r"torch: 0\.1 and"):
        outcomes(job_of(tmp_path, environments=(earlier,)))
    assert len(outcomes(job_of(tmp_path, environments=(here_now,)))) == 6


def test_a_node_with_another_plan_is_refused(tmp_path, cluster, monkeypatch):
    job = job_of(tmp_path)
    monkeypatch.setattr(job.plan, "digest", "f" * 64)
    with pytest.raises(UsageError, match=r"the driver's has f{64}: install the same version"):
        outcomes(job)


def greeting(monkeypatch, errors):
    """Let actors answer the greeting with errors, as long as there are any."""
    right, left = ray_worker.ShardActor.hello, list(errors)

    def hello(self):
        if left:
            raise left.pop()
        return right(self)

    monkeypatch.setattr(ray_worker.ShardActor, "hello", hello)


def test_a_node_without_the_package_ends_the_run(tmp_path, cluster, monkeypatch):
    greeting(monkeypatch, [RayTaskError("Traceback\nModuleNotFoundError: No module named 'spinlock'")])
    with pytest.raises(SpinlockError, match=r"cannot start on the cluster \(ModuleNotFoundError: No module"):
        outcomes(job_of(tmp_path))


def test_actors_that_die_before_they_have_started_are_replaced_a_few_times(tmp_path, cluster, monkeypatch):
    disturbed(monkeypatch)
    greeting(monkeypatch, [Death(), Death()])
    assert len(outcomes(job_of(tmp_path, workers=1))) == 6
    greeting(monkeypatch, [Death(ray_stand_in.RayActorError("gone for good"))] * 9)
    with pytest.raises(SpinlockError, match=r"cannot start on the cluster \(gone for good"):
        outcomes(job_of(tmp_path, workers=1))


def test_a_shard_of_an_actor_that_began_again_unnoticed_is_checked_like_a_first_one(
    tmp_path, cluster, monkeypatch
):
    """Its receipt says where it was computed."""
    job = job_of(tmp_path, workers=1)
    foreign = Receipt(0, 0, 1, job.plan.digest, 1, "s", "d", environment={"torch": "0.1"})
    monkeypatch.setattr(shards, "run_shard", lambda *words, **how: foreign)
    with pytest.raises(UsageError, match=r"torch: 0\.1 and"):
        outcomes(job)
