"""Barkley's excitable medium: rest, threshold, bounds, and a front that travels."""

import torch

from spinlock.numerics.barkley import A, B, cycle, evolve, react

N = 64
K = 2 * torch.pi * torch.fft.fftfreq(N)
K2 = (K[:, None].square() + K[: N // 2 + 1].square())[None] / 0.4**2


def test_the_reaction_stays_between_rest_and_excitation():
    u = torch.linspace(0.0, 1.0, 101).expand(1, 11, -1)
    v = torch.linspace(0.0, 1.0, 11)[None, :, None].expand(-1, -1, 101)
    for time in (0.001, 0.04, 5.0):
        after = react(u, v, time)
        assert after.min() >= 0.0
        assert after.max() <= 1.0
        above = u > (v + B) / A
        assert (after[above] >= u[above]).all()
        assert (after[~above] <= u[~above]).all()


def test_a_small_step_is_the_rate():
    u, v = torch.full((1, 1, 1), 0.6), torch.full((1, 1, 1), 0.2)
    rate = u * (1 - u) * (u - (v + B) / A) / 0.02
    assert torch.allclose((react(u, v, 1e-4) - u) / 1e-4, rate, rtol=0.01)


def test_rest_is_stable_and_a_front_spreads():
    u, v = torch.zeros(1, N, N), torch.zeros(1, N, N)
    weak = u.clone()
    weak[:, :, 30:34] = 0.005
    assert evolve(weak, v, K2, 0.02, 50)[0].abs().max() < 0.0025
    strong = u.clone()
    strong[:, :, 28:36] = 1.0
    early, late = (evolve(strong, v, K2, 0.02, steps)[0][0, 0] > 0.5 for steps in (20, 60))
    assert late.sum() > early.sum() + 10


def test_the_first_guess_of_a_cycle_is_excited_first():
    u, v = cycle(torch.linspace(0.0, 0.999, 100).expand(1, 1, -1))
    assert u[0, 0, :29].min() == 1.0
    assert u[0, 0, 31:].max() == 0.0
    assert (v[0, 0, :30].diff() > 0).all()
    assert (v[0, 0, 31:].diff() < 0).all()
