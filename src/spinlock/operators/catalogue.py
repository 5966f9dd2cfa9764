"""The catalogue of operator families: how one is declared, built and identified."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from spinlock.keys import Key, Purpose, check_counter, check_sites
from spinlock.numerics.random import normals_from_words, random_words
from spinlock.registry import Entry, Registry, options_of, summary_of

HiddenHook = Callable[[int, Tensor], Tensor]
"""Called with (hidden block, its output [1,C,H,W]); returns what the next block sees (noise, dropout)."""


@runtime_checkable
class Operator(Protocol):
    """One step of a dynamical system: y = O(x)."""

    lockstep: bool
    """Whether the realizations of an ensemble must be evaluated together (batch normalization)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return O(x) for states x [B,C,H,W], without noise."""
        ...

    def ensemble(
        self, states: Sequence[Tensor], hooks: Sequence[HiddenHook], peers: Sequence[Sequence[int]]
    ) -> list[Tensor]:
        """Return O of each state [1,C,H,W]; member k shares statistics with the positions ``peers[k]``."""
        ...


@dataclass(frozen=True)
class WeightKeys:
    """The random weights of one sample's operator: a function of (seed, family, sample, site, layer)."""

    key: Key
    sample: int
    sites: Mapping[str, int]

    def normal(self, site: str, layer: int, *shape: int) -> Tensor:
        """Return standard normals ``[*shape]`` float32, drawn on the CPU: the same on every device."""
        check_counter(index=self.sample, step=layer)
        count = int(torch.Size(shape).numel())
        words = random_words(
            self.key, Purpose.WEIGHTS, count, samples=self.sample, steps=layer, site=self.sites[site]
        )
        return normals_from_words(words, count).reshape(shape)


@dataclass(frozen=True)
class OperatorFamily(Entry):
    """A family: its function builds the operator from channels, keys and options.

    Attributes
    ----------
    sites
        Names of the places of its weights, which are drawn from keys by them.
    flops
        Options, channels and grid → operations of one application to one state.
    hidden_width
        Options → the largest number of channels between its layers.
    """

    sites: tuple[str, ...] = ()
    flops: Callable[..., int] = lambda **_: 0
    hidden_width: Callable[..., int] = lambda **_: 0


families: Registry[OperatorFamily] = Registry("operator family", "spinlock.operators")
"""Every operator family, by name."""


def operator_family(
    *, source: str, sites: tuple[str, ...], flops: Callable[..., int], hidden_width: Callable[..., int]
) -> Callable[[Callable[..., nn.Module]], Callable[..., nn.Module]]:
    """Register a family: a function ``(channels, weights, *, options) -> nn.Module`` that is an `Operator`.

    Parameters
    ----------
    source
        Where the architecture comes from.
    sites
        Names of the family's random tensors.
    flops
        ``flops(channels=, size=, **options)``: floating-point operations of one application to one state.
    hidden_width
        ``hidden_width(**options)``: the widest layer's channels, for memory estimates.
    """

    def register(function: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        name = function.__name__
        check_sites(name, sites)
        families.add(
            OperatorFamily(
                name,
                function,
                options_of(function),
                summary_of(function),
                {"source": source},
                sites,
                flops,
                hidden_width,
            )
        )
        return function

    return register


def build(
    family: str,
    options: Mapping[str, Any],
    *,
    channels: int,
    seed: int,
    sample: int,
    device: torch.device | str = "cpu",
    precision: str = "float32",
) -> nn.Module:
    """Return the operator of sample ``sample``: an `nn.Module` that is an `Operator`.

    The weights are drawn from keys; nothing is stored and no global generator is read. ``precision``
    (float32, bfloat16, float16) is the number format of weights and activations; states stay float32.

    Raises
    ------
    UnknownNameError
        If no family has that name.
    OptionError
        If an option is unknown or out of range.
    """
    entry = families[family]
    weights = WeightKeys(Key(seed, family), sample, check_sites(family, entry.sites))
    operator = entry.function(channels, weights, **entry.check_options(options))
    return operator.to(device=device, dtype=getattr(torch, precision)).requires_grad_(False).eval()


def operator_digest(operator: nn.Module) -> str:
    """Return the SHA-256 of an operator's weights: names, shapes and float32 bytes, in order."""
    digest = hashlib.sha256()
    for name, tensor in operator.state_dict().items():
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()
