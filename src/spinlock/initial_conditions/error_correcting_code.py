"""Words of a linear code, what a noisy channel makes of them, and the checks that fail."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from spinlock.errors import OptionError
from spinlock.initial_conditions.catalogue import Draw, Law, initial_condition
from spinlock.initial_conditions.laws import near
from spinlock.numerics.columns import column
from spinlock.numerics.grid import REFERENCE_SIZE, Grid
from spinlock.numerics.linear_codes import (
    LinearCode,
    extended_hamming,
    gallager,
    random_systematic,
    repetition,
    single_parity,
    toric,
)
from spinlock.numerics.random import SampleKeys
from spinlock.registry import Integer, Real, When
from spinlock.shapes import Fields, PerSample

Code = Literal["hamming", "repetition", "parity", "random", "ldpc", "toric"]
Bits = Float32[Tensor, "b n n"]

BLOCKS = 16
WHOLE_ARRAY = ("ldpc", "toric")
"""Codes whose word is the array; the words of all others are its rows and its columns."""

NOISIEST_AWGN = 0.45


def blocks_a_side(block_size: int | None) -> int:
    """Return the number of blocks a side for a block size in px of a 128 grid, 16 if it is null."""
    return BLOCKS if block_size is None else REFERENCE_SIZE // block_size


def line_dimension(code_rate: float, blocks: int) -> int:
    """Return k for the rate k/n nearest to the one asked for, with 2 ≤ k < n."""
    return min(max(round(code_rate * blocks), 2), blocks - 1)


def check_code(values: Mapping[str, Any], grid_size: int | None) -> None:
    """Refuse blocks that do not tile the grid, and rates that a code or a channel cannot have."""
    size, code = values["block_size"], values["code_type"]
    if size is not None and REFERENCE_SIZE % size:
        raise OptionError(f"block_size {size} does not divide {REFERENCE_SIZE}: take 2, 4, 8 or 16, or null")
    if size is not None and grid_size is not None and size * grid_size % REFERENCE_SIZE:
        raise OptionError(
            f"block_size {size} px of a {REFERENCE_SIZE} grid is {size * grid_size / REFERENCE_SIZE:g} px "
            f"of a {grid_size} grid, not a whole number; null makes {BLOCKS} blocks on any grid"
        )
    if code in WHOLE_ARRAY and blocks_a_side(size) > 32:
        raise OptionError(f"block_size {size} is too fine for {code}: take 4, 8 or 16, or null")
    if code == "repetition" and values["code_rate"] > 0.5:
        raise OptionError(
            f"code_rate {values['code_rate']:g} leaves bits that repetition does not repeat: take 0.5 at most"
        )
    if values["transmit"] == "awgn" and values["error_rate"] > NOISIEST_AWGN:
        raise OptionError(
            f"error_rate {values['error_rate']:g} takes unbounded noise with awgn: "
            f"take {NOISIEST_AWGN} at most"
        )


def code_of(code_type: Code, blocks: int, code_rate: float) -> LinearCode:
    """Return the code of the rows and columns of an array, or of the array itself for ldpc and toric."""
    if code_type == "hamming":
        return extended_hamming(blocks)
    if code_type == "parity":
        return single_parity(blocks)
    if code_type == "ldpc":
        return gallager(blocks * blocks)
    if code_type == "toric":
        return toric(blocks)
    make = repetition if code_type == "repetition" else random_systematic
    return make(blocks, line_dimension(code_rate, blocks))


class ArrayCode:
    """A linear code of square arrays: a product code of lines, or a code of the whole array."""

    def __init__(self, code: LinearCode, blocks: int, device: torch.device) -> None:
        self.generator, self.checks = (
            torch.from_numpy(matrix).float().to(device) for matrix in (code.generator, code.checks)
        )
        self.blocks = blocks
        self.lines = code.length == blocks

    def words(self, keys: SampleKeys) -> Bits:
        """Return uniform random words, 0 or 1; a message whose word is constant has its first bit changed."""
        size, first = len(self.generator), self.generator[:1]
        shape = (size, size) if self.lines else (1, size)
        message = (keys.uniform("message", *shape) < 0.5).float()
        if self.lines:
            encoded = self.generator.T @ message @ self.generator % 2.0
            first = first.T @ first
        else:
            encoded = (message @ self.generator % 2.0).reshape(-1, self.blocks, self.blocks)
            first = first.reshape(self.blocks, self.blocks)
        blank = encoded.amax(dim=(1, 2)) == encoded.amin(dim=(1, 2))
        return torch.where(blank[:, None, None], (encoded + first) % 2.0, encoded)

    def failing(self, received: Bits) -> Bits:
        """Return for each bit the share of its checks that fail; a line's checks count as one."""
        if self.lines:
            columns = (self.checks @ received % 2.0).amax(dim=1)
            rows = (received @ self.checks.T % 2.0).amax(dim=2)
            return (rows[:, :, None] + columns[:, None, :]) / 2.0
        syndrome = received.flatten(1) @ self.checks.T % 2.0
        return (syndrome @ self.checks / self.checks.sum(dim=0)).reshape(received.shape)


def noise_level(error_rate: PerSample) -> Float64[Tensor, "b 1 1"]:
    """Return σ of the Gaussian noise that changes the sign of ±1 with probability p, 1/Φ⁻¹(1 − p)."""
    return 1.0 / -torch.special.ndtri(column(error_rate, 2).double())


def words_law() -> Law:
    """Return the law: every row and column of the words is a word of the extended Hamming code."""

    def check(draw: Draw) -> None:
        sent = draw(16, num_channels=1)[:, 0]
        assert bool((sent.abs() == 1).all()), "a word holds values other than ±1"
        checks = torch.from_numpy(extended_hamming(BLOCKS).checks).float()
        bits = (sent[:, 2::4, 2::4] < 0).float()
        for what, lines in (("columns", bits), ("rows", bits.transpose(1, 2))):
            near(f"failing checks of {what}", float((checks @ lines % 2.0).sum()), 0.0, 0.0)

    return Law("every row and column is a word of the [16, 11, 4] Hamming code", check)


def errors_law(rate: float = 0.1) -> Law:
    """Return the law: the share of blocks that the channel flips."""

    def check(draw: Draw) -> None:
        fields = draw(64, num_channels=2, error_rate=rate)[:, :, 2::4, 2::4]
        flipped = (fields[:, 0] * fields[:, 1] < 0).double()
        error = (rate * (1.0 - rate) / flipped.numel()) ** 0.5
        near("share of flipped blocks", float(flipped.mean()), rate, 4.0 * error)

    return Law(f"the channel flips {rate:g} of the blocks within 4 standard errors", check)


def no_error_law() -> Law:
    """Return the law: without errors no check fails and the word arrives."""

    def check(draw: Draw) -> None:
        fields = draw(8, error_rate=0.0)
        near("greatest share of failing checks", float(fields[:, 2].abs().max()), 0.0, 0.0)
        near("greatest change of a word", float((fields[:, 0] - fields[:, 1]).abs().max()), 0.0, 0.0)

    return Law("without errors the word arrives and no check fails", check)


def balance_law(tolerance: float = 0.05) -> Law:
    """Return the law: half of the bits are ones."""

    def check(draw: Draw) -> None:
        near("share of ones", float((draw(64, num_channels=1) < 0).double().mean()), 0.5, tolerance)

    return Law(f"half of the bits are ones within {tolerance:g}", check)


@initial_condition(
    domain="information",
    tier=4,
    source="Hamming 1950; Elias 1954; Gallager 1962; Kitaev 2003",
    sites=("message", "noise"),
    periodic=False,
    cost="closed",
    laws=(words_law(), errors_law(), no_error_law(), balance_law()),
    check=check_code,
)
def error_correcting_code(
    grid: Grid,
    keys: SampleKeys,
    *,
    code_type: Code = "hamming",
    block_size: Annotated[int | None, Integer(2, 16, "px")] = None,
    error_rate: Annotated[PerSample, Real(0.0, 0.5)] = 0.1,
    code_rate: Annotated[float, Real(0.1, 0.9), When("code_type", ("repetition", "random"))] = 0.5,
    transmit: Literal["bsc", "awgn"] = "bsc",
) -> Fields:
    """Random word of a linear code over GF(2) in blocks of equal pixels, before and after a channel.

    ``hamming``, ``parity``, ``repetition`` and ``random`` are product codes, X = GᵀMG mod 2: every row and
    every column is a word of a code with n = 16 bits, the extended Hamming code [16, 11, 4] (8 or 32 bits
    with ``block_size`` 16 or 4), the single parity code, a repetition code, or a fixed code G = [I | P], the
    last two with k/n near ``code_rate``. ``ldpc`` is Gallager's (3, 6) code of 252 bits and 4 parities;
    ``toric`` has an even number of ones at the corners of every black face of a chequerboard. Pixel i shows
    bit ⌊16 i/N⌋.

    Channels: the word, 1 for bit 0 and −1 for bit 1; the received word; the share of a bit's checks that fail
    (row and column, or those the bit is in). The channel flips bits with probability ``error_rate``
    (``bsc``), or adds Gaussian noise of a strength that flips as many signs (``awgn``).

    What to expect: a random mosaic whose lines hide a law. Good values: ``error_rate`` 0.02 to 0.2.
    """
    blocks = blocks_a_side(block_size)
    code = ArrayCode(code_of(code_type, blocks, code_rate), blocks, grid.device)
    word = code.words(keys)
    sent = 1.0 - 2.0 * word
    if transmit == "bsc":
        flipped = keys.uniform("noise", blocks, blocks) < column(error_rate, 2)
        received = torch.where(flipped, -sent, sent)
    else:
        received = sent + noise_level(error_rate).float() * keys.normal("noise", blocks, blocks)
    arrays = torch.stack([sent, received, code.failing((received < 0).float())], dim=1)
    bit = torch.arange(grid.size, device=grid.device) * blocks // grid.size
    return arrays[:, :, bit][:, :, :, bit]
