"""A stand-in for the package ray: actors are threads of this process, on nodes that are only names.

It has what the executor asks of Ray, with Ray's rules: an actor that dies fails what it was given, begins
again where there is room, and answers the calls that may be retried; shards come one after the other.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from spinlock.execution.executors import ray_actors, ray_worker

WAITED_SECONDS = 0.005


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


class RayActorError(RayError):
    actor_init_failed = False


class OutOfMemoryError(RayError):
    pass


class Death(BaseException):
    """Raised in an actor: its process dies, as Ray tells it by ``error``."""

    def __init__(self, error: Exception | None = None, *, with_node: bool = False) -> None:
        self.error, self.with_node = error or RayActorError("the actor is unavailable"), with_node


here = threading.local()
"""The actor whose thread this is."""


class Actor:
    """A thread that runs the calls of an actor in turn, and others for those beside."""

    def __init__(self, ray: "StandIn", options: dict[str, Any], make: Callable[[], Any]) -> None:
        self.ray, self.options, self._make = ray, options, make
        self.node: str | None = None
        self.first_node: str | None = None
        self.body: Any = None
        self.dead = False
        self._away: Exception | None = None
        self.given: deque[tuple[str, tuple[Any, ...], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __getattr__(self, name: str) -> "Method":
        return Method(self, name)

    def call(self, name: str, words: tuple[Any, ...], *, beside: bool) -> "Future[Any]":
        future: Future[Any] = Future()
        if beside:
            threading.Thread(target=self._beside, args=(name, words, future), daemon=True).start()
            return future
        with self._changed:
            if name == "run" and self._away is not None:
                future.set_exception(self._away)
                return future
            self._away = None
            self.given.append((name, words, future))
            self.ray.most_given = max(self.ray.most_given, sum(one[0] == "run" for one in self.given))
            self._changed.notify_all()
        return future

    def _beside(self, name: str, words: tuple[Any, ...], future: "Future[Any]") -> None:
        here.actor = self
        _fill(future, lambda: getattr(self.body, name)(*words))

    def _work(self) -> None:
        here.actor = self
        while not self.dead:
            if self.body is None and not self._begin():
                continue
            with self._changed:
                if not self.given:
                    self._changed.wait(WAITED_SECONDS)
                    continue
                name, words, future = self.given[0]
            try:
                _fill(future, lambda name=name, words=words: getattr(self.body, name)(*words))
            except Death as death:
                self._die(death)
            else:
                with self._changed:
                    self.given.popleft()

    def _begin(self) -> bool:
        """Begin where there is room, if there is any by now."""
        self.node = self.ray.place(self)
        if self.node is None:
            time.sleep(WAITED_SECONDS)
            return False
        self.first_node = self.first_node or self.node
        self.body = self._make()
        return True

    def _die(self, death: Death) -> None:
        if death.with_node:
            self.ray.lose(self.node)
        self.ray.leave(self)
        self.node = self.body = None
        with self._changed:
            self._away = death.error
            for _, _, future in self.given:
                future.set_exception(death.error)
            self.given.clear()

    def end(self) -> None:
        self.dead = True
        self.ray.leave(self)

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive(), "an actor is still at work"


def _fill(future: "Future[Any]", work: Callable[[], Any]) -> None:
    try:
        result = work()
    except Exception as error:
        if not future.done():
            future.set_exception(error if isinstance(error, RayError) else RayTaskError(str(error)))
    else:
        if not future.done():
            future.set_result(result)


class Method:
    def __init__(self, actor: Actor, name: str, **options: Any) -> None:
        self._actor, self._name, self._options = actor, name, options

    def options(self, **options: Any) -> "Method":
        return Method(self._actor, self._name, **options)

    def remote(self, *words: Any) -> "Future[Any]":
        if self._name == "run":
            assert self._options == {"max_task_retries": 0}
        assert all(isinstance(word, str | int | float) for word in words), "something would be pickled"
        return self._actor.call(self._name, words, beside="concurrency_group" in self._options)


class Kind:
    def __init__(self, ray: "StandIn", body: type, options: dict[str, Any]) -> None:
        self._ray, self._body, self._options = ray, body, options

    def options(self, **options: Any) -> "Kind":
        return Kind(self._ray, self._body, {**self._options, **options})

    def remote(self, *words: Any) -> Actor:
        assert all(isinstance(word, str) for word in words), "something would be pickled"
        actor = Actor(self._ray, self._options, lambda: self._body(*words))
        self._ray.actors.append(actor)
        return actor


class StandIn:
    """The package, connected to a cluster.

    Parameters
    ----------
    nodes
        The resources of each node.
    """

    exceptions = SimpleNamespace(
        RayError=RayError, RayTaskError=RayTaskError, RayActorError=RayActorError,
        OutOfMemoryError=OutOfMemoryError,
    )  # fmt: skip

    def __init__(self, *nodes: dict[str, float]) -> None:
        self._nodes = [
            {"NodeID": f"{number:02d}" * 28, "Alive": True, "Resources": dict(resources)}
            for number, resources in enumerate(nodes)
        ]
        self.actors: list[Actor] = []
        self.killed: list[Actor] = []
        self.most_given = 0
        self._lock = threading.Lock()
        self._taken: dict[Actor, tuple[str, dict[str, float]]] = {}

    def nodes(self) -> list[dict[str, Any]]:
        return self._nodes

    def available_resources(self) -> dict[str, float]:
        return {}

    def add(self, **resources: float) -> None:
        self._nodes.append({"NodeID": f"{len(self._nodes):02d}" * 28, "Alive": True, "Resources": resources})

    def lose(self, node: str | None) -> None:
        for one in self._nodes:
            if one["NodeID"] == node:
                one["Alive"], one["Resources"] = False, {}

    def place(self, actor: Actor) -> str | None:
        """Give an actor room on the emptiest node that has it; None where none has."""
        needs = {"CPU": actor.options.get("num_cpus", 0), "GPU": actor.options.get("num_gpus", 0)}
        with self._lock:
            free = []
            for node in self._nodes:
                taken = [needed for place, needed in self._taken.values() if place == node["NodeID"]]
                left = {
                    kind: node["Resources"].get(kind, 0) - sum(one[kind] for one in taken) for kind in needs
                }
                if node["Alive"] and all(left[kind] >= needs[kind] for kind in needs):
                    free.append((sum(left.values()), node["NodeID"]))
            if not free:
                return None
            self._taken[actor] = (max(free)[1], needs)
            return max(free)[1]

    def leave(self, actor: Actor) -> None:
        with self._lock:
            self._taken.pop(actor, None)

    def remote(self, **options: Any) -> Callable[[type], Kind]:
        assert options["max_restarts"] == -1
        assert options["max_task_retries"] == 3
        return lambda body: Kind(self, body, options)

    def wait(
        self, refs: Sequence["Future[Any]"], *, num_returns: int, timeout: float
    ) -> tuple[list[Any], list[Any]]:
        if num_returns == 1:
            wait(refs, timeout, return_when=FIRST_COMPLETED)
        elif timeout:
            wait(refs, timeout)
        done = [ref for ref in refs if ref.done()]
        return done[:num_returns], [ref for ref in refs if ref not in done]

    def get(self, ref: "Future[Any]") -> Any:
        return ref.result(timeout=0)

    def kill(self, actor: Actor, *, no_restart: bool) -> None:
        assert no_restart
        self.killed.append(actor)
        actor.end()


@contextmanager
def standing_in(patch: pytest.MonkeyPatch, ray: StandIn) -> Iterator[None]:
    """Let runs join the stand-in; afterwards nothing of it is at work any more."""

    @contextmanager
    def joined_cluster(_cpus: int) -> Iterator[StandIn]:
        yield ray

    patch.setattr(ray_actors, "joined_cluster", joined_cluster)
    patch.setattr(ray_worker, "_node", lambda: here.actor.node)
    yield
    for actor in ray.actors:
        assert actor.dead, "an actor was left behind"
        actor.join()
