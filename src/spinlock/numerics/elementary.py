"""Elementary functions in float32, made of operations that IEEE 754 fixes to the last bit.

Each is a fixed sequence of additions, multiplications, divisions, minima and maxima, so that it gives the
same bits in a compiled loop, on whole numpy arrays, and with every vector width. Coefficients are our own
least squares fits, reweighted towards the smallest largest relative error; NaN gives NaN. The errors are
the largest that tests allow, in units of the last place of the result.

==============  ===============================  ===================================  ==============
function        form                             for                                  error
==============  ===============================  ===================================  ==============
`exponential`   2ⁿ·(1 + r + r²·p₄(r))            x in [−87, 88], clamped beyond       2
`tangent`       x·p₆(x²)/q₃(x²)                  all x                                8
`half_normal`   x·p₅(x²)/q₅(x²)                  all x                                8
`sine`          (−1)ⁿ·r·p₄(r²), x = nπ + r       x up to 10⁸                          1, of max(x, 1)
`gelu`          x·(1/2 + `half_normal`)          all x                                4, of max(x, 1)
`silu`          x/(1 + `exponential`(−x))        x from −10³⁰                         4
`elu`           from `tangent`                   all x                                8
==============  ===============================  ===================================  ==============
"""

import numpy as np

from spinlock.numerics.compiled import compilable

F = np.float32

LN2_HIGH, LN2_LOW, PER_LN2 = F(0.693359375), F(-0.00021219444), F(1.44269504)
"""ln 2 in two parts, the first of ten bits so that its multiples are exact, and 1/ln 2."""

PI_HIGH, PI_LOW, PER_PI = 3.1415926218032837, 3.1786509424591713e-08, 0.3183098861837907
"""π in two parts, the first of 26 bits, and 1/π."""

ROUND_32, ROUND_64 = F(12582912.0), 6755399441055744.0
"""1.5·2²³ and 1.5·2⁵²: adding and subtracting one rounds to the nearest integer."""

ONE, HALF, ZERO = F(1.0), F(0.5), F(0.0)


@compilable
def relu(x):
    """Return x above 0, else 0; added to 0, since the sign of the larger of two zeros is nobody's promise."""
    return np.maximum(x, ZERO) + ZERO


@compilable
def exponential(x):
    """Return eˣ; below −87 as at −87, above 88 as at 88."""
    x = np.minimum(np.maximum(x, F(-87.0)), F(88.0))
    n = (x * PER_LN2 + ROUND_32) - ROUND_32
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    p = F(0.0013814539)
    p = p * r + F(0.008368745)
    p = p * r + F(0.041668389)
    p = p * r + F(0.16666521)
    p = p * r + F(0.49999994)
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(F)
    return ((p * r) * r + r + ONE) * power


@compilable
def tangent(x):
    """Return tanh x; beyond ±9 as at ±9, where it is ±1 in float32."""
    x = np.minimum(np.maximum(x, F(-9.0)), F(9.0))
    s = x * x
    p = F(-8.4894013e-14)
    p = p * s + F(5.2782476e-11)
    p = p * s + F(-2.0225908e-08)
    p = p * s + F(1.1154489e-05)
    p = p * s + F(0.0031039743)
    p = p * s + F(0.13084027)
    p = p * s + ONE
    q = F(0.0002546171)
    q = q * s + F(0.024495251)
    q = q * s + F(0.46417353)
    q = q * s + ONE
    return x * p / q


@compilable
def half_normal(x):
    """Return Φ(x) − 1/2, Φ the normal distribution function; beyond ±√32 it is ±1/2 in float32."""
    x = np.minimum(np.maximum(x, F(-5.656854)), F(5.656854))
    s = x * x
    p = F(2.1949569e-08)
    p = p * s + F(6.287846e-06)
    p = p * s + F(0.000171621)
    p = p * s + F(0.004693576)
    p = p * s + F(0.034214504)
    p = p * s + F(0.39894226)
    q = F(1.1693189e-06)
    q = q * s + F(7.409684e-05)
    q = q * s + F(0.0019009089)
    q = q * s + F(0.028837603)
    q = q * s + F(0.2524293)
    q = q * s + ONE
    return x * p / q


@compilable
def sine(x):
    """Return sin x, reduced to [−π/2, π/2] in float64; somewhere in [−1, 1] where |x| exceeds 10⁸."""
    wide = np.float64(x)
    n = (wide * PER_PI + ROUND_64) - ROUND_64
    odd = n - 2.0 * ((n * 0.5 + ROUND_64) - ROUND_64)
    r = F((wide - n * PI_HIGH) - n * PI_LOW)
    r = np.minimum(np.maximum(r, F(-1.5707964)), F(1.5707964))
    s = r * r
    p = F(2.6057815e-06)
    p = p * s + F(-0.00019809604)
    p = p * s + F(0.0083330665)
    p = p * s + F(-0.1666666)
    return (r + r * (s * p)) * F(1.0 - 2.0 * (odd * odd))


@compilable
def gelu(x):
    """Return x·Φ(x) (Hendrycks & Gimpel, arXiv:1606.08415)."""
    return x * (HALF + half_normal(x))


@compilable
def silu(x):
    """Return x/(1 + e⁻ˣ) (Elfwing, Uchibe & Doya, Neural Networks 2018)."""
    return x / (ONE + exponential(-x))


@compilable
def elu(x):
    """Return x above 0, below eˣ − 1 = 2t/(1 − t) with t = tanh(x/2) (Clevert et al., ICLR 2016)."""
    t = tangent(np.minimum(x, ZERO) * HALF)
    return relu(x) + (t + t) / (ONE - t)


@compilable
def leaky_relu(x):
    """Return x above 0, else x/100."""
    return relu(x) - F(0.01) * relu(-x)
