"""What a run wants of a Ray cluster: how many actors, and what each takes of its node."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spinlock.config.model import Config

OFFERED = 0.7
"""The share of a node's memory that Ray offers to actors."""

Nodes = Sequence[Mapping[str, Any]]
"""Nodes as `ray.nodes` tells them."""


@dataclass(frozen=True)
class Share:
    """What an actor takes of a node: a processor core, or a part of a GPU."""

    gpu: float = 0.0
    memory: int = 0

    @property
    def device(self) -> str:
        """The name of the device, as the actor sees it: Ray shows it the one GPU that it was given."""
        return "cuda:0" if self.gpu else "cpu"

    @property
    def sharing(self) -> int:
        """How many actors share the device."""
        return int(1 / self.gpu) if self.gpu else 1

    def options(self) -> dict[str, Any]:
        """Return what Ray is told of it."""
        memory = {"memory": self.memory} if self.memory else {}
        return {"num_cpus": 0 if self.gpu else 1, "num_gpus": self.gpu, **memory}


def part_of_gpu(slots: int) -> float:
    """Return the part of a GPU that one of so many actors takes; Ray counts in ten-thousandths."""
    return int(10_000 / slots) / 10_000


@dataclass(frozen=True)
class Demand:
    """What a run wants; decided once, so that nodes that come later bring no other kind of device.

    Attributes
    ----------
    shares
        What actors take, in turn.
    grows
        Whether there is an actor for every core or slot of a GPU that the cluster has; else one for each of
        ``shares``.
    workers
        How many actors are asked for; None where it is left to the cluster.
    missing
        What to tell of GPUs that are asked for and are not there; empty where none is.
    """

    shares: tuple[Share, ...]
    grows: bool
    workers: int | None
    missing: str

    def actors(self, nodes: Nodes) -> list[Share]:
        """Return the share of each actor that the run wants of a cluster as it is.

        So many as are asked for are wanted even where there is no room for them yet.
        """
        if self.workers is not None:
            return [self.shares[number % len(self.shares)] for number in range(self.workers)]
        if not self.grows:
            return list(self.shares)
        (share,) = self.shares
        return [share] * sum(_room(node, share) for node in nodes if node["Alive"])


def decided_demand(config: Config, nodes: Nodes, each_bytes: int) -> Demand | None:
    """Return what a run wants of a cluster; None as long as the cluster has neither cores nor GPUs.

    Without ``devices`` that is every GPU, or without a GPU every core, as far as memory reaches; else one
    actor for each entry. ``slots_per_device`` multiplies GPUs and entries.

    Parameters
    ----------
    config
        Says what is wanted.
    nodes
        The nodes there are.
    each_bytes
        Memory that one actor needs.
    """
    if not _count(nodes, "CPU") and not _count(nodes, "GPU"):
        return None
    parallelism, device = config.simulation.parallelism, config.simulation.device
    workers = None if parallelism.workers == "auto" else parallelism.workers
    memory = _memory(nodes, int(each_bytes * OFFERED / config.simulation.memory_fraction))
    if parallelism.devices != "auto":
        shares, missing = _listed(parallelism.devices, parallelism.slots_per_device, nodes, memory)
        return Demand(tuple(shares), grows=False, workers=workers, missing=missing)
    on_gpu = device != "cpu" and _count(nodes, "GPU") > 0
    share = Share(gpu=part_of_gpu(parallelism.slots_per_device)) if on_gpu else Share(memory=memory)
    lacks = device.startswith("cuda") and not on_gpu
    missing = f"device {device!r}: the cluster has no GPU; its processors are used" if lacks else ""
    return Demand((share,), grows=True, workers=workers, missing=missing)


def _count(nodes: Nodes, kind: str) -> int:
    return sum(int(node["Resources"].get(kind, 0)) for node in nodes if node["Alive"])


def _memory(nodes: Nodes, bytes_wanted: int) -> int:
    """Return the memory to ask for; 0, which asks for none, where a node with cores has not as much."""
    offers = [node["Resources"].get("memory", 0) for node in nodes if node["Resources"].get("CPU", 0)]
    return bytes_wanted if all(offer >= bytes_wanted for offer in offers) else 0


def _room(node: Mapping[str, Any], share: Share) -> int:
    """Return how many actors a node has room for, by what it has in all."""
    resources = node["Resources"]
    if share.gpu:
        return int(resources.get("GPU", 0)) * share.sharing
    count = int(resources.get("CPU", 0))
    return min(count, int(resources.get("memory", 0) / share.memory)) if share.memory else count


def _listed(devices: Sequence[str], slots: int, nodes: Nodes, memory: int) -> tuple[list[Share], str]:
    """Return the shares of a list of devices, and what to tell of GPUs that are not there.

    They are left out. Which GPU a name means, Ray decides.
    """
    held = _count(nodes, "GPU")
    missing = sorted({name for name in devices if name.startswith("cuda")})[held:]
    used = [name for name in devices if name not in missing]
    rest = ", ".join(dict.fromkeys(used)) or "the CPU"
    told = f"the cluster has no GPU for {', '.join(missing)}; the run uses {rest}" if missing else ""
    kinds = ["cpu" if name == "auto" and not held else name for name in used or ["cpu"]]
    most = max((kinds.count(name) for name in kinds if name != "cpu"), default=1)
    on_gpu, on_cpu = Share(gpu=part_of_gpu(slots * most)), Share(memory=memory)
    return [on_cpu if name == "cpu" else on_gpu for name in kinds for _ in range(slots)], told
