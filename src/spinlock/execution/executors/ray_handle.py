"""An actor of a Ray cluster as the driver sees it: what it was given, when it was heard, where it is."""

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from spinlock.execution.executors.ray_demand import Share
from spinlock.execution.in_flight import InFlight, Place

CONTROL = "control"
"""The group of threads of an actor that is free while it computes."""

MOST_GIVEN = 2
"""Shards an actor has at most: one that it computes, and one that waits there, so that it need not ask."""


@dataclass(eq=False)
class Given:
    """A shard that an actor was given, and what Ray will fill in with the answer."""

    shard: int
    ref: Any
    flight: InFlight = field(default_factory=InFlight)
    place: Place = field(default_factory=lambda: Place(1, 0))
    """Its place in what is in flight on its node, once it is the first of its actor."""


class Handle:
    """An actor that Ray starts, here or elsewhere, as soon as there is room.

    Parameters
    ----------
    actor
        Ray's handle of it.
    share
        What it takes of a node.
    """

    def __init__(self, actor: Any, share: Share) -> None:
        self.actor, self.share = actor, share
        self.given: deque[Given] = deque()
        self.silent = 0.0
        self.node = self.host = ""
        self.pid = 0
        self.hello: Any = None
        self.signs: Any = None
        self.greet()

    @property
    def is_ready(self) -> bool:
        """Whether it has said where it is, since it was started or started again."""
        return self.hello is None

    @property
    def where(self) -> str:
        """The node in words."""
        return f"node {self.host} ({self.node[:8]})" if self.node else "a node that is not known yet"

    def greet(self) -> None:
        """Ask where it is; Ray asks again where it dies before it answers."""
        self.hello, self.signs = self.actor.hello.remote(), None

    def give(self, shard: int, attempt: int) -> Given:
        """Give it a shard; Ray does not try it again by itself, since failures are counted here."""
        ref = self.actor.run.options(max_task_retries=0).remote(shard, attempt)
        self.given.append(Given(shard, ref))
        return self.given[-1]

    def listen(self, seconds: float) -> None:
        """Ask what is heard of it in the next so many seconds."""
        self.signs = self.actor.signs.options(concurrency_group=CONTROL).remote(seconds)

    def leave(self) -> None:
        """Ask it to give up what it was given."""
        self.actor.leave.options(concurrency_group=CONTROL).remote()

    def awaited(self) -> list[Any]:
        """Return what may be filled in next."""
        head = self.given[0].ref if self.given else None
        return [ref for ref in (self.hello, self.signs, head) if ref is not None]


def said(text: str) -> dict[str, Any]:
    """Return what an actor said."""
    return json.loads(text)
