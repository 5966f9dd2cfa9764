"""The actors of a run on a Ray cluster: who is there, what they were given, what they say, who leaves."""

import logging
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from spinlock.errors import UsageError
from spinlock.execution.devices import refuse_unsuited
from spinlock.execution.environment import differences
from spinlock.execution.estimate import estimate
from spinlock.execution.executors.outcome import Job, Outcome, outcome_of
from spinlock.execution.executors.ray_cluster import (
    kill_on_node,
    source_environment,
)
from spinlock.execution.executors.ray_demand import Demand, Share, decided_demand
from spinlock.execution.executors.ray_handle import CONTROL, MOST_GIVEN, Given, Handle, said
from spinlock.execution.executors.ray_worker import ShardActor
from spinlock.execution.executors.silence import longest_silence
from spinlock.execution.executors.worker_process import FEWER, GRACE_SECONDS, LONGER, WorkerError
from spinlock.execution.in_flight import MOST_IN_FLIGHT, InFlight
from spinlock.execution.orders import OUTCOMES, Answer, Order
from spinlock.numerics.devices import parse_device
from spinlock.storage import Receipt

logger = logging.getLogger("spinlock")

POLLED_SECONDS = 0.25

COUNTED_SECONDS = 5.0
"""The cluster is asked so often whether it has grown."""

BEAT_SECONDS, BEATS_PER_SECOND = 0.25, 400.0
"""An actor is asked for signs of life so often at most; all together so many times a second at most."""

SHORTEST_PATIENCE = 2.0
"""Signs of life come by a network: an actor is not stuck before so many seconds, whatever is configured."""

TOLD_SECONDS = 30.0
"""A run that has had no actor for so long says what it waits for."""

MOST_STARTS = 5
"""Actors that may die one after the other before one of them has started."""

BEGIN_AGAIN = (
    "Give the cluster nodes of one kind, begin again with --fresh, or accept the mixture with --allow-mixed"
)


class RayCrew:
    """The actors of a run, all served by the thread of the driver.

    Parameters
    ----------
    ray
        The package, connected to a cluster.
    job
        What they work on.
    mark
        The file by which a node proves that it sees the run directory.
    on_row
        Called for every row.
    """

    def __init__(self, ray: Any, job: Job, mark: Path, on_row: Callable[[], None]) -> None:
        self._ray, self._job, self._mark, self._on_row = ray, job, mark, on_row
        self.handles: list[Handle] = []
        self._waiting: deque[int] = deque()
        self._attempts = job.attempts()
        self._nodes: dict[str, InFlight] = {}
        self._environments = [] if job.allow_mixed else list(job.environments)
        self._patience = max(longest_silence(job.plan), SHORTEST_PATIENCE)
        self._each_bytes = int(estimate(job.plan).memory_bytes)
        self._kind = ray.remote(
            max_restarts=-1, max_task_retries=3, concurrency_groups={CONTROL: 2}, scheduling_strategy="SPREAD"
        )(ShardActor)
        self._retired = self._failed_starts = self._told = 0
        self._manned = self._looked = time.monotonic()
        self._counted = -COUNTED_SECONDS
        self._demand: Demand | None = None

    def outcomes(self, waiting: deque[int]) -> Generator[Outcome, None, None]:
        """Yield the outcome of each shard that waits."""
        self._waiting = waiting
        while self._waiting or any(handle.given for handle in self.handles):
            self._grow()
            self._hand_out()
            for handle, ref in self._events():
                outcome = self._handled(handle, ref)
                if outcome is not None:
                    yield outcome
            for handle in self._silent():
                outcome = self._stuck(handle)
                if outcome is not None:
                    yield outcome

    def _grow(self) -> None:
        """Let actors begin for which the cluster has room by now."""
        now = time.monotonic()
        if now - self._counted < COUNTED_SECONDS:
            return
        self._counted = now
        self._tell()
        if not self._waiting:
            return  # whoever is at work ends the run
        wanted = self._wanted()
        wanted = wanted[: max(1, min(len(wanted) - self._retired, self._job.workers))]
        absent = Counter(wanted) - Counter(handle.share for handle in self.handles)
        room = len(wanted) - len(self.handles)
        for share in list(absent.elements())[: max(0, room)]:
            order = Order.of(self._job.plan, self._job.directory, share.device, share.sharing)
            kind = self._kind.options(**share.options(), runtime_env=source_environment() or None)
            self.handles.append(Handle(kind.remote(order.to_json(), str(self._mark)), share))

    def _wanted(self) -> list[Share]:
        """Return what the run wants of the cluster; decide it as soon as the cluster has anything."""
        nodes = self._ray.nodes()
        if self._demand is None:
            self._demand = decided_demand(self._job.plan.config, nodes, self._each_bytes)
            if self._demand is not None and self._demand.missing:
                warnings.warn(self._demand.missing, UserWarning, stacklevel=2)
        return [] if self._demand is None else self._demand.actors(nodes)

    def _tell(self) -> None:
        """Say how many actors there are by now, and what a run without any waits for."""
        ready = sum(handle.is_ready for handle in self.handles)
        if ready > self._told:
            self._told = ready
            self._job.on_workers(ready)
        now = time.monotonic()
        if ready:
            self._manned = now
        elif now - self._manned > TOLD_SECONDS:
            self._manned = float("inf")  # once, until there is one again
            free = self._ray.available_resources()
            logger.info(
                "no worker has started: the cluster has %g processors and %g GPUs free; the run waits for "
                "room there (Ctrl-C ends it)", free.get("CPU", 0), free.get("GPU", 0),
            )  # fmt: skip

    def _flight(self, handle: Handle) -> InFlight:
        """Return the places of a node; there are as many as actors until memory runs out."""
        if handle.node not in self._nodes:
            self._nodes[handle.node] = InFlight(MOST_IN_FLIGHT, f"workers on {handle.where}")
        return self._nodes[handle.node]

    def _hand_out(self) -> None:
        """Give shards to those who have none, then one more to each while there are plenty."""
        ready = [handle for handle in self.handles if handle.is_ready]
        for handle in ready:
            if self._waiting and not handle.given and self._flight(handle).has_room:
                self._begin(handle, self._give(handle))
        for handle in ready:
            if len(self._waiting) > len(self.handles) and 0 < len(handle.given) < MOST_GIVEN:
                self._give(handle)

    def _give(self, handle: Handle) -> Given:
        shard = self._waiting.popleft()
        return handle.give(shard, self._attempts.number(shard))

    def _begin(self, handle: Handle, given: Given) -> None:
        """Note that an actor begins with a shard that it was given."""
        given.flight = self._flight(handle)
        given.place = given.flight.enter()
        handle.silent = 0.0
        if handle.signs is None:
            handle.listen(self._beat)

    @property
    def _beat(self) -> float:
        return max(BEAT_SECONDS, len(self.handles) / BEATS_PER_SECOND)

    def _events(self) -> Iterator[tuple[Handle, Any]]:
        """Wait a little and yield what was filled in meanwhile, each with its actor."""
        owners = {ref: handle for handle in self.handles for ref in handle.awaited()}
        refs = list(owners)
        if not refs:
            time.sleep(POLLED_SECONDS)
        elif self._ray.wait(refs, num_returns=1, timeout=POLLED_SECONDS)[0]:
            for ref in self._ray.wait(refs, num_returns=len(refs), timeout=0)[0]:
                if ref in owners[ref].awaited():  # not given up by what came before it
                    yield owners[ref], ref
        now = time.monotonic()
        # The time in which this process was stopped itself does not count.
        for handle in self.handles:
            handle.silent += min(now - self._looked, 2 * POLLED_SECONDS)
        self._looked = now

    def _handled(self, handle: Handle, ref: Any) -> Outcome | None:
        """Do what has to be done with what an actor said; return the outcome of a shard, if it is one."""
        if ref == handle.hello:
            self._greeted(handle)
        elif ref == handle.signs:
            self._listened(handle)
        else:
            return self._answered(handle)
        return None

    def _greeted(self, handle: Handle) -> None:
        """Admit an actor that has started, or let another start in its place."""
        errors = self._ray.exceptions
        try:
            answer = said(self._ray.get(handle.hello))
        except errors.RayTaskError as error:
            raise _unable(error) from None
        except errors.RayError as error:
            self._failed_starts += 1
            if getattr(error, "actor_init_failed", False) or self._failed_starts >= MOST_STARTS:
                raise _unable(error) from None
            self._dismiss(handle)
            return
        handle.hello = None
        handle.silent = 0.0
        self._failed_starts = 0
        self._admit(handle, answer)
        if all(other.is_ready for other in self.handles):
            self._tell()

    def _admit(self, handle: Handle, answer: Mapping[str, Any]) -> None:
        """Note where an actor is; refuse a node that cannot take part."""
        handle.node, handle.host, handle.pid = answer["node"], answer["host"], answer["pid"]
        if "refused" in answer:
            raise UsageError(f"{handle.where} cannot take part: {answer['refused']}")
        if "environment" in answer:
            environment = answer["environment"]
            refuse_unsuited(self._job.plan.config.simulation.precision, parse_device(environment["device"]))
            self._require_same(handle, environment)

    def _require_same(self, handle: Handle, environment: Mapping[str, str]) -> None:
        if self._job.allow_mixed:
            return
        differing = differences([*self._environments, environment])
        if differing:
            raise UsageError(
                f"{handle.where} would mix environments, which changes the last bits of the dataset "
                f"({differing}). {BEGIN_AGAIN}"
            )
        self._environments = [environment]

    def _listened(self, handle: Handle) -> None:
        """Hear the signs of life of an actor, and ask for the next ones."""
        signs, handle.signs = handle.signs, None
        with suppress(self._ray.exceptions.RayError):  # its shard will tell what happened
            self._count(handle, said(self._ray.get(signs)))
        if handle.given:
            handle.listen(self._beat)

    def _count(self, handle: Handle, told: Mapping[str, Any]) -> None:
        if told["heard"]:
            handle.silent = 0.0
        for _ in range(told["rows"]):
            self._on_row()

    def _answered(self, handle: Handle) -> Outcome | None:
        """Return the outcome of the shard that an actor has ended, and let it go on with the next one."""
        errors = self._ray.exceptions
        try:
            answer = said(self._ray.get(handle.given[0].ref))
        except errors.RayTaskError as error:
            raise _unable(error) from None
        except errors.RayError as error:
            return self._died(handle, error)
        self._admit(handle, answer)
        self._count(handle, answer)
        outcome = self._settled(handle, answer)
        if isinstance(outcome, Receipt):
            self._require_same(handle, outcome.environment)
        if "out_of_memory" in answer:
            self._dismiss(handle)  # its memory is free before anything else begins
        else:
            self._go_on(handle)
        return outcome

    def _settled(self, handle: Handle, answer: Answer) -> Outcome | None:
        """Take its first shard from an actor; return the outcome, or None where it is to be tried again."""
        given = handle.given.popleft()
        short = answer.get("out_of_memory")
        again = short and given.flight.ran_out(given.place, short)
        given.flight.leave(given.place)
        given_up = not answer.keys() & {*OUTCOMES, "died"}
        outcome = None if again or given_up else outcome_of(given.shard, answer, self._attempts)
        if outcome is None:
            self._waiting.append(given.shard)
        return outcome

    def _go_on(self, handle: Handle) -> None:
        """Let an actor begin with the shard that waits there, or leave where its node holds fewer by now."""
        flight = self._flight(handle)
        beside = sum(other.node == handle.node for other in self.handles)
        if beside > flight.limit or (handle.given and not flight.has_room):
            self._dismiss(handle)
        elif handle.given:
            self._begin(handle, handle.given[0])

    def _died(self, handle: Handle, error: Exception) -> Outcome | None:
        """Count the death of an actor against the shard that it computed, and wait until it lives again."""
        there = any(node["Alive"] and node["NodeID"] == handle.node for node in self._ray.nodes())
        worker = f"its worker on {handle.where}"
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            reason = f"{worker} was killed by Ray, since the node ran out of memory"
            answer = {"died": reason, "out_of_memory": reason}
        elif there:
            reason = f"{worker} was killed: by somebody, by the system for lack of memory ({FEWER})"
            answer = {"died": f"{reason}, or because the node goes down"}
        else:
            answer = {"died": f"{worker} was lost with the node"}
        outcome = self._settled(handle, answer)
        if "out_of_memory" in answer:
            self._dismiss(handle)
        else:
            self._take_back(handle)
            handle.greet()
        return outcome

    def _silent(self) -> list[Handle]:
        """Return the actors of which nothing was heard for too long."""
        return [handle for handle in self.handles if handle.given and handle.silent >= self._patience]

    def _stuck(self, handle: Handle) -> Outcome | None:
        """Kill an actor that is stuck, and count it against its shard."""
        words = f"its worker on {handle.where} was stuck and was killed: nothing was said for"
        outcome = self._settled(handle, {"died": f"{words} {self._patience:g} s ({LONGER})"})
        self._dismiss(handle)
        kill_on_node(self._ray, handle.node, handle.pid)
        return outcome

    def _take_back(self, handle: Handle) -> None:
        """Let the shards that an actor has not begun wait again."""
        for given in reversed(handle.given):
            self._waiting.appendleft(given.shard)
        handle.given.clear()

    def _dismiss(self, handle: Handle) -> None:
        """End an actor; another one takes its place, unless its node holds no more."""
        self._take_back(handle)
        self.handles.remove(handle)
        self._kill(handle)
        beside = sum(other.node == handle.node for other in self.handles)
        if handle.is_ready and beside >= self._flight(handle).limit:
            self._retired += 1
        self._counted = -COUNTED_SECONDS

    def _kill(self, handle: Handle) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(handle.actor, no_restart=True)

    def disband(self) -> None:
        """Ask those at work to leave at their next step, and end all of them."""
        with suppress(self._ray.exceptions.RayError):
            busy = [handle for handle in self.handles if handle.given and handle.is_ready]
            for handle in busy:
                handle.leave()
            refs = [handle.given[0].ref for handle in busy]
            if refs:
                self._ray.wait(refs, num_returns=len(refs), timeout=GRACE_SECONDS)
        for handle in self.handles:
            self._kill(handle)
        self.handles.clear()


def _unable(error: Exception) -> WorkerError:
    """Return what to tell where no worker can start."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = lines[-1] if lines else type(error).__name__
    return WorkerError(
        f"a worker cannot start on the cluster ({words}): every node needs the same version of spinlock and "
        "of Python, and this shell the RAY_AUTH_MODE of the cluster; Ray's logs of the node say more"
    )
