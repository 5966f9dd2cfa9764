"""What each field of the configuration changes: for every leaf one change of value, and what it must reach.

A field that is content or layout reaches some of: the draws, the layout, the simulated data. One that affects
the execution has a proof of its own: a function of the configurations before and after the change, which
asserts the documented behaviour.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import torch
from pydantic import BaseModel

from spinlock.config import Config
from spinlock.config.digest import affects
from spinlock.config.parameters import HEADINGS
from spinlock.dataset import DatasetGenerationPipeline
from spinlock.dataset.quality import sampling_report
from spinlock.errors import SpinlockError
from spinlock.execution import in_flight, make_plan
from spinlock.execution.devices import resolve_devices
from spinlock.execution.estimate import PROCESS_BYTES, estimate
from spinlock.execution.executors import slurm_array
from spinlock.execution.executors.choice import choose
from spinlock.execution.executors.outcome import Job
from spinlock.execution.executors.silence import longest_silence
from spinlock.execution.executors.slurm_files import ArrayRecord
from spinlock.execution.executors.slurm_script import script_text
from test_config.config_texts import config_of

Proof = Callable[[Config, Config], None]

CPU = torch.device("cpu")


ABSENT = object()
"""In place of a value: the key is not written."""

BASE: dict[str, Any] = {
    "version": "1.0",
    "parameter_space": {
        "architecture": {"base_channels": {"type": "choice", "choices": [2]}},
        "operator": {"grid_size": {"type": "choice", "choices": [16]}},
    },
    "sampling": {"total_samples": 4},
    "simulation": {
        "device": "cpu",
        "num_realizations": 2,
        "num_timesteps": 3,
        "num_channels": 1,
        "input_generation": {"ic_type_weights": {"localized": 1}},
    },
    "dataset": {"output_path": "walk.h5"},
}


@dataclass(frozen=True)
class Entry:
    """One change of a field, from ``old`` to ``new`` beside the values of ``context``.

    ``reaches`` names what must change, and nothing else may: draws, layout, data. ``key`` is the key that is
    set, where that of the field has a ``*`` in it.
    """

    old: Any
    new: Any
    reaches: str = ""
    context: dict[str, Any] = field(default_factory=dict)
    proof: Proof | None = None
    key: str = ""

    def configs(self, leaf: str) -> tuple[Config, Config]:
        """Return the configurations before and after the change."""
        before, after = (
            config_of(self.context if value is ABSENT else self.context | {self.key or leaf: value}, BASE)
            for value in (self.old, self.new)
        )
        return before, after


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the key of every field that is no section, with what it affects; ``*`` stands for a name."""
    for name, info in model.model_fields.items():
        key, annotation = f"{prefix}{name}", info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from leaves(annotation, f"{key}.")
            continue
        yield key, affects(info)
        inner = get_args(annotation)[1] if get_origin(annotation) is dict else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from leaves(inner, f"{key}.*.")
    if model.model_config.get("extra") == "allow":
        yield f"{prefix}*", "content"


def workers_of(config: Config, devices: list[torch.device] | None = None) -> tuple[str, int]:
    """Return the executor and the number of workers chosen for all shards."""
    plan = make_plan(config)
    return choose(plan, devices or [CPU], plan.num_shards)


def batch_size_caps_workers(before: Config, after: Config) -> None:
    assert workers_of(before) == ("inline", 4)
    assert workers_of(after) == ("inline", 2)


def workers_are_counted(before: Config, after: Config) -> None:
    assert workers_of(before)[1] == 3
    assert workers_of(after)[1] == 2


def strategy_chooses(before: Config, after: Config) -> None:
    assert workers_of(before) == ("inline", 2)
    assert workers_of(after) == ("process", 2)


def with_gpus(config: Config) -> list[torch.device]:
    """Return the devices of a configuration on a machine with four GPUs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 4)
        return resolve_devices(config)


def device_is_used(before: Config, after: Config) -> None:
    assert with_gpus(before) == [CPU]
    assert with_gpus(after) == [torch.device("cuda:1")]


def devices_share_the_work(before: Config, after: Config) -> None:
    assert with_gpus(before) == [CPU]
    spread = with_gpus(after)
    assert spread == [torch.device("cuda:0"), torch.device("cuda:2"), torch.device("cuda:3")]
    assert workers_of(after, spread) == ("process", 3)


def fraction_bounds_workers(before: Config, after: Config) -> None:
    """On a machine whose free memory holds just ten samples."""
    plan = make_plan(before)
    free = 10 * (estimate(plan).memory_bytes - PROCESS_BYTES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_flight, "free_bytes", lambda device: free)
        assert workers_of(before) == ("inline", 4)
        assert workers_of(after) == ("inline", 2)


def slots_share_a_device(before: Config, after: Config) -> None:
    gpu = torch.device("cuda:1")
    assert with_gpus(before) == [gpu]
    assert with_gpus(after) == [gpu] * 4
    assert workers_of(before, [gpu]) == ("inline", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_flight, "free_bytes", lambda device: 1 << 40)
        assert workers_of(after, with_gpus(after)) == ("process", 4)


def tasks_are_counted(before: Config, after: Config) -> None:
    assert workers_of(before) == ("slurm", 1)  # more are not worth it
    assert workers_of(after) == ("slurm", 2)


def options_are_handed_on(before: Config, after: Config) -> None:
    record = ArrayRecord("/data/a.h5.parts", "spinlock-a", [0], 1)
    directives = ["#SBATCH --partition=gpu", "#SBATCH --time=60"]
    texts = [script_text(record, config.simulation.parallelism.slurm.options) for config in (before, after)]
    assert [[line in text for line in directives] for text in texts] == [[False] * 2, [True] * 2]


def slurm_is_asked_so_often(before: Config, after: Config) -> None:
    def pause(config: Config) -> float:
        slept: list[float] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(slurm_array, "require_commands", lambda instead: None)
            patch.setattr(slurm_array.time, "sleep", lambda seconds: slept.append(seconds) or 1 / 0)
            for name in ("begin", "submit", "leave"):
                patch.setattr(slurm_array._Run, name, lambda run: None)
            patch.setattr(slurm_array._Run, "look", lambda run: iter(()))
            job = Job(make_plan(config), Path(), (CPU,), 1)
            with pytest.raises(ZeroDivisionError):
                list(slurm_array.run_slurm(job, [0], lambda: None))
        return slept[0]

    assert (pause(before), pause(after)) == (10.0, 2.5)


def stall_is_limited(before: Config, after: Config) -> None:
    assert longest_silence(make_plan(before)) >= 600
    assert longest_silence(make_plan(after)) == 45


def output_is_made_there(before: Config, after: Config) -> None:
    for config in (before, after):
        DatasetGenerationPipeline(config).generate()
    assert Path(before.dataset.output_path).is_file()
    assert Path(after.dataset.output_path).is_file()


def backend_insists(before: Config, after: Config) -> None:
    for path in ("one.h5", "one.spin", "one.zarr"):
        config_of(
            BASE | {"dataset": {"output_path": path, "storage": {"backend": before.dataset.storage.backend}}}
        )
    with pytest.raises(SpinlockError, match="does not go with"):
        config_of(
            BASE
            | {"dataset": {"output_path": "one.zarr", "storage": {"backend": after.dataset.storage.backend}}}
        )


def failure_stops(before: Config, after: Config) -> None:
    assert sampling_report(make_plan(before)).failures
    with pytest.raises(SpinlockError, match="nothing was computed"):
        sampling_report(make_plan(after))


def limit_is_judged(option: str) -> Proof:
    """Return the proof that a limit of the sampling acts: it is named where it is passed, and only there."""

    def proof(before: Config, after: Config) -> None:
        assert sampling_report(make_plan(before)).failures == ()
        (failure,) = sampling_report(make_plan(after)).failures
        assert f"{option} allows" in failure

    return proof


SPACE = {
    f"parameter_space.architecture.{name}": {"type": "continuous", "bounds": [0.1, 0.5]}
    for name in ("gain", "bias_scale")
}
MANY = SPACE | {"sampling.total_samples": 250}
PARALLELISM, VALIDATION = "simulation.parallelism", "sampling.validation"
MEASURED = {"features.during_generation": True}
INLINE = {f"{PARALLELISM}.strategy": "inline"}


def heading_entries(heading: str) -> dict[str, Entry]:
    """Return the entries of a heading: a parameter more, and each key of a parameter."""
    place = f"parameter_space.{heading}"
    number, choice = f"{place}.bias_scale", f"{place}.activation"
    ranged = {number: {"type": "continuous", "bounds": [0.1, 0.5]}}
    counted = {number: {"type": "integer", "bounds": [0, 2]}}
    chosen = {choice: {"type": "choice"}}
    return {
        place: Entry(ABSENT, ranged[number], "draws layout data", key=number),
        f"{place}.*.type": Entry("integer", "continuous", "draws data", counted, key=f"{number}.type"),
        f"{place}.*.bounds": Entry([0.1, 0.5], [0.1, 0.6], "draws data", ranged, key=f"{number}.bounds"),
        f"{place}.*.log_scale": Entry(ABSENT, True, "draws data", ranged, key=f"{number}.log_scale"),
        f"{place}.*.choices": Entry(
            ["relu", "tanh"], ["tanh", "relu"], "draws data", chosen, key=f"{choice}.choices"
        ),
    }


ENTRIES: dict[str, Entry] = {
    "version": Entry("1.0", "1.0"),
    "metadata.name": Entry("one", "another"),
    "metadata.description": Entry(ABSENT, "what it is for"),
    "metadata.license": Entry(ABSENT, "cc-by-4.0"),
    **{key: entry for heading in HEADINGS for key, entry in heading_entries(heading).items()},
    "sampling.total_samples": Entry(4, 5, "draws layout data"),
    "sampling.sobol.scramble": Entry(True, False, "draws data", SPACE),
    "sampling.sobol.seed": Entry(42, 43, "draws data"),
    "sampling.batch_size": Entry(
        1000, 2, context=INLINE | {f"{PARALLELISM}.workers": 4}, proof=batch_size_caps_workers
    ),
    f"{VALIDATION}.on_failure": Entry(
        "warn", "stop", context=MANY | {f"{VALIDATION}.max_imbalance": 1e-6}, proof=failure_stops
    ),
    **{
        f"{VALIDATION}.{limit}": Entry(1.0, 1e-6, context=MANY, proof=limit_is_judged(limit))
        for limit in ("max_discrepancy_ratio", "max_correlation", "max_imbalance")
    },
    "simulation.device": Entry("cpu", "cuda:1", proof=device_is_used),
    "simulation.num_realizations": Entry(2, 3, "layout data"),
    "simulation.num_timesteps": Entry(3, 4, "data"),
    "simulation.num_channels": Entry(1, 2, "layout data"),
    "simulation.precision": Entry("float32", "bfloat16", "data"),
    f"{PARALLELISM}.strategy": Entry(
        "inline", "process", context={f"{PARALLELISM}.workers": 2}, proof=strategy_chooses
    ),
    f"{PARALLELISM}.workers": Entry(3, 2, context=INLINE, proof=workers_are_counted),
    f"{PARALLELISM}.devices": Entry("auto", [0, 2, "cuda:3"], proof=devices_share_the_work),
    f"{PARALLELISM}.slots_per_device": Entry(
        1, 4, context={"simulation.device": "cuda:1"}, proof=slots_share_a_device
    ),
    f"{PARALLELISM}.slurm.tasks": Entry(
        "auto", 2, context={f"{PARALLELISM}.strategy": "slurm"}, proof=tasks_are_counted
    ),
    f"{PARALLELISM}.slurm.options": Entry(
        ABSENT, {"partition": "gpu", "time": 60}, proof=options_are_handed_on
    ),
    f"{PARALLELISM}.slurm.poll_seconds": Entry(10.0, 2.5, proof=slurm_is_asked_so_often),
    f"{PARALLELISM}.stall_seconds": Entry("auto", 45, proof=stall_is_limited),
    "simulation.memory_fraction": Entry(
        0.7, 0.25, context=INLINE | {f"{PARALLELISM}.workers": 4}, proof=fraction_bounds_workers
    ),
    "simulation.input_generation.method": Entry(
        "localized", "random", "draws layout data", {"simulation.input_generation": {}}
    ),
    "simulation.input_generation.ic_type_weights": Entry(
        {"localized": 1, "random": 1}, {"localized": 1, "random": 9}, "draws data"
    ),
    "simulation.input_generation.*": Entry(
        {"num_blobs": 2}, {"num_blobs": 7}, "draws data", key="simulation.input_generation.localized"
    ),
    "features.during_generation": Entry(False, True, "layout data"),
    "features.categories": Entry("all", ["spectral", "temporal"], "data", MEASURED),
    "features.sdf_version": Entry("2.0.0", "1.0.0", "layout data", MEASURED),
    "dataset.storage.backend": Entry("auto", "hdf5", proof=backend_insists),
    "dataset.output_path": Entry("one.h5", "folder/another.hdf5", proof=output_is_made_there),
    "dataset.storage.compression": Entry("zstd", "lz4", "layout"),
    "dataset.storage.compression_level": Entry(ABSENT, 9, "layout"),
    "dataset.storage.precision": Entry("float32", "bitround:7", "layout"),
    "dataset.storage.trajectories": Entry("none", "all", "layout data"),
}
"""An entry for every leaf of the configuration; ``version`` has one value only."""
