"""Words, errors and failing checks of the codes, each against its own check matrix."""

import pytest
import torch

from spinlock.errors import OptionError
from spinlock.initial_conditions import generate
from spinlock.initial_conditions.error_correcting_code import ArrayCode, code_of, noise_level
from spinlock.keys import Key
from spinlock.numerics.linear_codes import extended_hamming
from spinlock.numerics.random import SampleKeys

CODES = ("hamming", "repetition", "parity", "random", "ldpc", "toric")


def bits(fields, blocks=16):
    size = fields.shape[-1]
    at = (torch.arange(blocks) * size + size // 2) // blocks
    return fields[..., at, :][..., :, at]


def failing(code_type, arrays):
    """Return the number of checks that fail, of the lines or of the whole array."""
    code = code_of(code_type, arrays.shape[-1], 0.5)
    checks = torch.from_numpy(code.checks).double()
    ones = (arrays < 0).double()
    if code.length == arrays.shape[-1]:
        return float((checks @ ones % 2).sum() + (ones @ checks.T % 2).sum())
    return float((ones.flatten(1) @ checks.T % 2).sum())


@pytest.mark.parametrize("code_type", CODES)
def test_words_pass_every_check_and_received_words_fail_some(code_type):
    sent, received, _ = generate("error_correcting_code", 64, 3, range(8), code_type=code_type).unbind(1)
    assert failing(code_type, bits(sent)) == 0
    assert failing(code_type, bits(received)) > 0


@pytest.mark.parametrize("code_type", CODES)
def test_without_errors_nothing_fails(code_type):
    fields = generate("error_correcting_code", 64, 3, range(4), code_type=code_type, error_rate=0.0)
    assert torch.equal(fields[:, 0], fields[:, 1])
    assert not fields[:, 2].any()


@pytest.mark.parametrize("code_type", CODES)
def test_half_of_the_bits_are_ones(code_type):
    sent = bits(generate("error_correcting_code", 32, 1, range(128), code_type=code_type))
    assert set(sent.unique().tolist()) == {-1.0, 1.0}
    assert float((sent < 0).double().mean()) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("transmit", ["bsc", "awgn"])
@pytest.mark.parametrize("rate", [0.01, 0.1, 0.4])
def test_the_channel_changes_the_share_of_signs_asked_for(transmit, rate):
    fields = bits(generate("error_correcting_code", 16, 2, range(64), error_rate=rate, transmit=transmit))
    changed = (fields[:, 0] * fields[:, 1] < 0).double()
    assert float(changed.mean()) == pytest.approx(rate, abs=4 * (rate * (1 - rate) / changed.numel()) ** 0.5)
    assert (fields[:, 1].abs() == 1).all() == (transmit == "bsc")


def test_gaussian_noise_has_the_level_that_flips_as_often():
    sigma = noise_level(0.15865525)
    assert float(sigma) == pytest.approx(1.0, abs=1e-6)
    fields = generate("error_correcting_code", 16, 2, range(64), error_rate=0.15865525, transmit="awgn")
    assert float((fields[:, 1] - fields[:, 0]).square().mean()) == pytest.approx(1.0, abs=0.05)
    assert float(noise_level(0.0)) == 0.0


@pytest.mark.parametrize("code_type", CODES)
def test_one_flip_fails_the_checks_it_is_in(code_type):
    code = ArrayCode(code_of(code_type, 16, 0.5), 16, torch.device("cpu"))
    flip = torch.zeros(1, 16, 16)
    flip[0, 5, 9] = 1.0
    share = code.failing(flip)[0]
    assert float(share[5, 9]) == 1.0
    assert 0 < int((share > 0).sum()) < 256
    if code_type in ("hamming", "parity", "random"):
        assert torch.equal(share.nonzero()[:, 0] == 5, share.nonzero()[:, 1] != 9) or share[5].min() >= 0.5
        assert (share[5] >= 0.5).all()
        assert (share[:, 9] >= 0.5).all()
        assert int((share > 0).sum()) == 31


def test_one_to_three_flips_in_a_row_are_seen_by_that_row():
    code = ArrayCode(extended_hamming(16), 16, torch.device("cpu"))
    for places in ((3,), (3, 7), (0, 8, 15)):
        flips = torch.zeros(1, 16, 16)
        flips[0, 2, list(places)] = 1.0
        free = [column for column in range(16) if column not in places]
        assert (code.failing(flips)[0, 2, free] == 0.5).all()


def test_broken_faces_of_the_torus_come_in_pairs():
    received = bits(generate("error_correcting_code", 32, 2, range(32), code_type="toric"))[:, 1]
    checks = torch.from_numpy(code_of("toric", 16, 0.5).checks).double()
    broken = ((received < 0).double().flatten(1) @ checks.T % 2).sum(dim=1)
    assert (broken % 2 == 0).all()
    assert broken.max() > 0
    toss = (generate("gaussian_random_field", 16, 1, range(32), kernel="white") < 0).double().flatten(1)
    assert ((toss @ checks.T % 2).sum(dim=1) % 2 == 0).all()  # no array of bits breaks an odd number


@pytest.mark.parametrize("size", [16, 50, 64, 100, 256])
def test_pixels_show_their_bit_on_any_grid(size):
    field = generate("error_correcting_code", size, 3, [0])[0]
    bit = torch.arange(size) * 16 // size
    shown = bits(field[None])[0]
    assert torch.equal(field, shown[:, bit][:, :, bit])
    assert torch.equal(shown, generate("error_correcting_code", 16, 3, [0])[0])


@pytest.mark.parametrize(("block_size", "blocks"), [(4, 32), (8, 16), (16, 8)])
@pytest.mark.parametrize("code_type", CODES)
def test_block_size_sets_the_number_of_bits(code_type, block_size, blocks):
    sent = generate("error_correcting_code", 64, 1, range(4), code_type=code_type, block_size=block_size)[
        :, 0
    ]
    assert failing(code_type, bits(sent, blocks)) == 0
    bit = torch.arange(64) * blocks // 64
    assert torch.equal(sent, bits(sent, blocks)[:, bit][:, :, bit])


@pytest.mark.parametrize(("code_type", "rate"), [("repetition", 0.25), ("random", 0.25), ("random", 0.75)])
def test_the_code_rate_sets_the_rank_of_the_words(code_type, rate):
    assert code_of(code_type, 16, rate).dimension == 16 * rate
    few = generate("error_correcting_code", 16, 1, range(4), code_type=code_type, code_rate=rate)
    assert not torch.equal(few, generate("error_correcting_code", 16, 1, range(4), code_type=code_type))


def test_a_constant_word_is_changed():
    """With two message bits a line, one array in 8 would be all 0 or all 1."""
    code = ArrayCode(code_of("repetition", 16, 0.1), 16, torch.device("cpu"))
    keys = SampleKeys.of(Key(0, "codes"), torch.arange(256), ("message",))
    words = code.words(keys)
    assert (words.amax(dim=(1, 2)) > words.amin(dim=(1, 2))).all()
    assert len({tuple(word.flatten().tolist()) for word in words}) == 14


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (64, {"block_size": 5}, "does not divide 128"),
        (50, {"block_size": 8}, "not a whole number"),
        (16, {"block_size": 4}, "not a whole number"),
        (64, {"block_size": 2, "code_type": "ldpc"}, "too fine"),
        (64, {"code_type": "repetition", "code_rate": 0.7}, "does not repeat"),
        (64, {"transmit": "awgn", "error_rate": 0.5}, "unbounded noise"),
        (64, {"code_rate": 0.5}, "no effect"),
    ],
)
def test_what_cannot_be_is_refused(size, options, message):
    with pytest.raises(OptionError, match=message):
        generate("error_correcting_code", size, **options)
