"""The limits that a dataset card states: what a dataset does not hold, and why (mathematics, or a choice)."""

from collections.abc import Iterator, Mapping
from typing import Any

from spinlock.dataset.markdown import plain, share

ENVIRONMENTS = (
    "Same bits only in the same environment (device model, torch build, instruction set). Elsewhere draws "
    "are exact, weights and inputs agree within 1e-5, and chaotic rollouts part by e^(λT): mathematics."
)

SYNTHETIC = (
    "Nothing in it was measured in nature. Operators are random networks; the parameter ranges, the weights "
    "of the initial conditions and the number of steps are choices of the configuration, and shares of "
    "labels follow from them: classes are not balanced."
)

GEOMETRY = (
    "Two-dimensional square grids with periodic edges; a pixel and a step have no physical unit: a choice."
)

WEIGHTS = (
    "Weights and noise are not stored: they follow from keys, so that rebuilding them needs a Spinlock that "
    "makes the same plan of the configuration (a digest of each operator proves it): a choice."
)


def limits(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield the limits of what `spinlock.dataset.describe.described` says, each a line of Markdown."""
    yield SYNTHETIC
    yield GEOMETRY
    yield from _frames(content)
    yield from _lost(content)
    yield from _precision(content)
    yield WEIGHTS
    yield ENVIRONMENTS


def _frames(content: Mapping[str, Any]) -> Iterator[str]:
    last, stored = content["config"]["simulation"]["num_timesteps"], content["timesteps"]
    if not stored and last > 1:
        yield (
            f"The frames between frame 0 and frame {last} are not stored (`dataset.storage.trajectories: "
            "none`, a choice); `ds.rollout(i)` makes them again."
        )
    elif stored and len(stored) <= last:
        kept = f"{len(stored)} of {last + 1} frames"
        yield f"{kept} are stored, a choice; `ds.rollout(i)` makes the others again."
    if content["distributions"]["dynamics"].get("short"):
        yield "Rollouts are too short to tell dynamics or λ (under 16 steps): a choice."
    features = content["features"]
    if features is not None and features["samples"] < content["samples"]:
        measured = f"{features['samples']:,} of {content['samples']:,} samples"
        yield f"Only {measured} have features; those of the others are NaN: a choice."


def _lost(content: Mapping[str, Any]) -> Iterator[str]:
    rollouts, overflowed = content["rollouts"], content["accounting"]["all"]["overflowed"]
    if rollouts["stopped"]:
        lost, total = rollouts["stopped"], rollouts["total"]
        yield (
            f"{lost:,} of {total:,} rollouts ({share(lost, total)}) left the range abs(x) ≤ 1e8 and are NaN "
            "from there on; `metadata/finite_steps` counts their frames."
        )
    if overflowed:
        yield (
            f"{overflowed:,} rollouts went beyond the range of float16 and are NaN from there on; "
            "`metadata/overflow_steps` counts the frames."
        )


def _precision(content: Mapping[str, Any]) -> Iterator[str]:
    simulation, storage = content["config"]["simulation"], content["config"]["dataset"]["storage"]
    computed, stored = simulation.get("precision", "float32"), storage.get("precision", "float32")
    if (computed, stored) != ("float32", "float32"):
        yield f"Computed in {plain(computed)}, stored as {plain(stored)}: a choice."
