"""Direction numbers: triangular, full rank, and made of primitive polynomials."""

import numpy as np

from spinlock.sampling.directions import BITS, MAX_DIMENSIONS, direction_numbers
from spinlock.sampling.joe_kuo import JOE_KUO


def table():
    for line in JOE_KUO.split("\n"):
        if line:
            dimension, degree, coefficients, *initial = (int(word) for word in line.split())
            yield dimension, degree, coefficients, initial


def prime_factors(n):
    factor = 2
    while factor * factor <= n:
        if n % factor:
            factor += 1
        else:
            yield factor
            n //= factor
    if n > 1:
        yield n


def power_of_x(exponent, polynomial):
    """x**exponent modulo a polynomial over the field of two elements, coefficients as bits."""
    degree = polynomial.bit_length() - 1

    def times(a, b):
        product = 0
        for k in range(degree):
            if b >> k & 1:
                product ^= a << k
        for k in range(2 * degree, degree - 1, -1):
            if product >> k & 1:
                product ^= polynomial << (k - degree)
        return product

    result, base = 1, times(2, 1)
    while exponent:
        if exponent & 1:
            result = times(result, base)
        base, exponent = times(base, base), exponent >> 1
    return result


def is_primitive(polynomial):
    """Whether the order of x modulo the polynomial is 2**degree − 1."""
    order = 2 ** (polynomial.bit_length() - 1) - 1
    return power_of_x(order, polynomial) == 1 and all(
        power_of_x(order // p, polynomial) != 1 for p in prime_factors(order)
    )


def test_every_polynomial_is_primitive_and_of_its_own_dimension():
    polynomials = [1 << degree | coefficients << 1 | 1 for _, degree, coefficients, _ in table()]
    assert len(set(polynomials)) == MAX_DIMENSIONS - 1
    assert all(is_primitive(polynomial) for polynomial in polynomials)
    assert not is_primitive(0b1111)  # (1 + x)(1 + x²)
    assert not is_primitive(0b11111)  # irreducible, but x has order 5


def test_initial_numbers_are_odd_and_below_their_power_of_two():
    for dimension, (listed, degree, _, initial) in enumerate(table(), start=2):
        assert listed == dimension
        assert len(initial) == degree
        assert all(m % 2 == 1 and m < 2 ** (j + 1) for j, m in enumerate(initial))


def test_direction_numbers_are_triangular_so_that_every_coordinate_is_a_bijection():
    numbers = direction_numbers()
    assert numbers.shape == (MAX_DIMENSIONS, BITS)
    lowest = numbers & -numbers
    assert np.array_equal(lowest, np.broadcast_to(2 ** np.arange(BITS - 1, -1, -1), numbers.shape))
    assert numbers.max() < 2**BITS
    assert not numbers.flags.writeable
