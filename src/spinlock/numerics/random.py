"""Keyed draws as tensors: uniforms and normals that depend on their coordinates alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from spinlock.errors import UsageError
from spinlock.keys import Key, Purpose, check_counter, check_sites, philox4x32


def random_words(
    key: Key,
    purpose: Purpose,
    count: int,
    *,
    samples: Int64[Tensor, "b"] | int,
    steps: Int64[Tensor, "b"] | int = 0,
    site: int = 0,
    realizations: Int64[Tensor, "b"] | int = 0,
    device: torch.device | None = None,
) -> Int64[Tensor, "4 b blocks"]:
    """Return the four words of each block that ``count`` elements need, a row for each coordinate.

    ``samples``, ``steps`` and ``realizations`` are columns of equal length or plain numbers; element e of a
    row is word ``e % 4`` of block ``e // 4``. Columns on a GPU are not waited for: their limits are checked
    by who fills them.
    """
    columns = samples, steps, realizations
    device = device or next((c.device for c in columns if isinstance(c, Tensor)), torch.device("cpu"))

    def column(value: Tensor | int) -> Tensor:
        tensor = value if isinstance(value, Tensor) else torch.tensor([value], dtype=torch.int64)
        return tensor.to(device)[:, None]

    check_counter(site=site)
    for what, values in zip(("index", "step", "realization"), columns, strict=True):
        if not isinstance(values, Tensor) or values.device.type == "cpu":
            _check_column(what, values)
    rows = (column(steps) << 16) | site, column(samples), (column(realizations) << 16) | int(purpose)
    count = -(-count // 4)
    if device.type == "cpu":
        from spinlock.numerics.blocks import philox_blocks

        coordinates = torch.stack(torch.broadcast_tensors(*rows))[..., 0]
        return torch.from_numpy(philox_blocks(coordinates.numpy(), count, key.words))
    blocks = torch.arange(count, dtype=torch.int64, device=device)
    output = philox4x32((blocks[None, :], *rows), key.words)
    return torch.stack(torch.broadcast_tensors(*output))


def _check_column(what: str, values: Tensor | int) -> None:
    """Raise `UsageError` where a coordinate does not fit its place in the counter."""
    if not isinstance(values, Tensor):
        check_counter(**{what: values})
    elif len(values):
        for bound in torch.aminmax(values):
            check_counter(**{what: int(bound)})


def _in_order(numbers: Float32[Tensor, "4 b blocks"], count: int) -> Float32[Tensor, "b count"]:
    """Return the numbers of each row in the order of its elements: word by word, block after block."""
    _, rows, blocks = numbers.shape
    return numbers.permute(1, 2, 0).reshape(rows, 4 * blocks)[:, :count].contiguous()


def uniforms_from_words(words: Int64[Tensor, "4 b blocks"], count: int) -> Float32[Tensor, "b count"]:
    """Return uniforms in (0, 1) on 23 bits: ``(floor(word / 512) + 1/2) / 2**23``, exact in float32.

    With one more bit the halves would round, and the greatest number to 1.
    """
    return _in_order(((words >> 9).to(torch.float32) + 0.5) * 2.0**-23, count)


def normals_from_words(words: Int64[Tensor, "4 b blocks"], count: int) -> Float32[Tensor, "b count"]:
    """Return standard normals by Box and Muller (1958): √(−2 ln u)·(cos θ, sin θ) from each pair of words.

    u is on 32 bits, so that ``|ξ|`` reaches 6.7.
    """
    radius = ((words[:2].to(torch.float32) + 0.5) * 2.0**-32).log_().mul_(-2.0).clamp_(min=0.0).sqrt_()
    angle = (words[2:] >> 8).to(torch.float32) * (2.0 * math.pi * 2.0**-24)
    return _in_order(torch.cat((radius * torch.cos(angle), radius * torch.sin(angle))), count)


@dataclass(frozen=True)
class SampleKeys:
    """The random numbers of a batch of samples: row b is a function of its own index alone.

    ``draws`` counts independent draws of one sample (a second triple of channels, say). Every call names a
    ``site``; a site that the part did not declare is refused, so no two quantities share numbers by accident.
    """

    key: Key
    indices: Int64[Tensor, "b"]
    draws: Int64[Tensor, "b"]
    sites: dict[str, int] = field(default_factory=dict)
    purpose: Purpose = Purpose.INITIAL_CONDITION

    @classmethod
    def of(
        cls, key: Key, indices: Tensor, sites: tuple[str, ...], draws: Tensor | None = None
    ) -> "SampleKeys":
        """Return the keys of samples ``indices`` [B] for a part with those sites."""
        draws = torch.zeros_like(indices) if draws is None else draws
        _check_column("index", indices)
        _check_column("realization", draws)
        return cls(key, indices, draws, check_sites(key.domain, sites))

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.indices)

    def within(self, part: str, sites: tuple[str, ...]) -> "SampleKeys":
        """Return the keys of another part used inside this one, unrelated to its own."""
        return replace(self, key=self.key.within(part), sites=check_sites(part, sites))

    def uniform(self, site: str, *shape: int, step: int = 0) -> Float32[Tensor, "b *shape"]:
        """Return uniforms in (0, 1), ``[B, *shape]``."""
        return self._draw(uniforms_from_words, site, shape, step)

    def normal(self, site: str, *shape: int, step: int = 0) -> Float32[Tensor, "b *shape"]:
        """Return standard normals, ``[B, *shape]``."""
        return self._draw(normals_from_words, site, shape, step)

    def integers(self, site: str, below: int, *shape: int, step: int = 0) -> Int64[Tensor, "b *shape"]:
        """Return integers in [0, below), ``[B, *shape]``, by multiplying a 23-bit uniform (below ≤ 2**16)."""
        if not 1 <= below <= 2**16:
            raise UsageError(f"integers below {below} were asked for: it must be in [1, 2**16]")
        return (self.uniform(site, *shape, step=step) * below).long().clamp_(max=below - 1)

    def _draw(
        self, transform: Callable[[Tensor, int], Tensor], site: str, shape: tuple[int, ...], step: int
    ) -> Tensor:
        if site not in self.sites:
            raise KeyError(f"{self.key.domain}: site {site!r} is not declared")
        check_counter(step=step)
        count = int(np.prod(shape, dtype=np.int64))
        words = random_words(
            self.key,
            self.purpose,
            count,
            samples=self.indices,
            steps=step,
            site=self.sites[site],
            realizations=self.draws,
        )
        return transform(words, count).reshape(len(self), *shape)
