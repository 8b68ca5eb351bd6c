"""Elementary functions in float32 that compile to vectors.

Numba calls the C library once per pixel; these polynomials have no branches, so a loop over them
takes eight or sixteen pixels at a time. IEEE arithmetic in the order written: the same bits on
every machine. The coefficients are least-maximum fits made for this file.
"""

from __future__ import annotations

import math

import numpy as np

from stl_backbones.corruptions.native.compiled import kernel

_ZERO, _HALF, _ONE, _TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)
_PI, _HALF_PI = np.float32(math.pi), np.float32(math.pi / 2)
_INVERSE_PI, _INVERSE_HALF_PI = np.float32(1 / math.pi), np.float32(2 / math.pi)
# Pi in three parts; products of the first two with numbers of 13 bits are exact.
_PI_1, _PI_2 = np.float32(3.140625), np.float32(0.0009675025939941406)
_PI_3 = np.float32(1.5099580252808664e-07)
_HALF_PI_1, _HALF_PI_2 = np.float32(1.5703125), np.float32(0.000483826792)
_SINE_3, _SINE_5 = np.float32(-1.66666603e-01), np.float32(8.33308505e-03)
_SINE_7, _SINE_9 = np.float32(-1.98109130e-04), np.float32(2.60853558e-06)


@kernel
def sine(x: float) -> float:
    """``sin(x)``, float32, for ``abs(x)`` below 25000; error below 2e-7 and that of ``x``."""
    turns = np.rint(x * _INVERSE_PI)
    return _half_wave(((x - turns * _PI_1) - turns * _PI_2) - turns * _PI_3, turns)


@kernel
def cosine(x: float) -> float:
    """``cos(x)``, float32, for ``abs(x)`` below 12000; error as of `sine`."""
    turns = np.rint(x * _INVERSE_PI - _HALF)
    middle = turns + _HALF
    return -_half_wave(((x - middle * _PI_1) - middle * _PI_2) - middle * _PI_3, turns)


@kernel
def _half_wave(x: float, turns: float) -> float:
    """``sin(x + pi * turns)`` for ``abs(x)`` up to pi / 2 and whole turns."""
    square = x * x
    series = _SINE_5 + square * (_SINE_7 + square * _SINE_9)
    value = x + x * square * (_SINE_3 + square * series)
    odd = turns - _TWO * np.floor(turns * _HALF)
    result: float = value * (_ONE - _TWO * odd)
    return result


@kernel
def sine_and_cosine(x: float) -> tuple[float, float]:
    """``sin(x), cos(x)``, float32, for ``abs(x)`` below 1000; error below 2e-7 and that of ``x``.

    Cheaper than one after the other.
    """
    turns = np.rint(x * _INVERSE_HALF_PI)
    rest = (x - turns * _HALF_PI_1) - turns * _HALF_PI_2
    square = rest * rest
    series = _SINE_5 + square * (_SINE_7 + square * _SINE_9)
    odd = rest + rest * square * (_SINE_3 + square * series)
    series = np.float32(-1.38888346e-03) + square * np.float32(2.44330945e-05)
    even = _ONE - square * (_HALF - square * (np.float32(4.16666456e-02) + square * series))
    # Quarters of a turn: 0 to 3.
    half = np.floor(turns * _HALF)
    is_swapped = turns - _TWO * half
    sign = _ONE - _TWO * (half - _TWO * np.floor(half * _HALF))
    first = even if is_swapped > _HALF else odd
    second = -odd if is_swapped > _HALF else even
    return sign * first, sign * second


@kernel
def arctangent(y: float, x: float) -> float:
    """``atan2(y, x)``, float32, error below 5e-7; 0 for two zeros."""
    wide, high = abs(x), abs(y)
    longer: float = max(max(wide, high), np.float32(1e-30))
    t = min(wide, high) / longer
    s = t * t
    series = np.float32(-0.07545873) + s * (
        np.float32(0.04313976) + s * (np.float32(-0.01632497) + s * np.float32(0.00291024))
    )
    series = np.float32(-0.14210218) + s * (np.float32(0.10662891) + s * series)
    angle = t + t * s * (np.float32(-0.33333147) + s * (np.float32(0.19993662) + s * series))
    angle = _HALF_PI - angle if high > wide else angle
    angle = _PI - angle if x < _ZERO else angle
    return -angle if y < _ZERO else angle


@kernel
def power(base: float, exponent: float) -> float:
    """``base ** exponent``, float32, relative error below 5e-6 of results in 1e-4..1e4.

    Negative bases and 0 count as the smallest normal number.
    """
    bits = np.float32(max(base, np.float32(1.1754944e-38))).view(np.int32)
    whole = np.int32(np.int32(bits - 0x3F3504F3) >> 23)  # so that mantissas begin at sqrt(1/2)
    mantissa = np.int32(bits - (whole << 23)).view(np.float32)
    t = (mantissa - _ONE) / (mantissa + _ONE)
    s = t * t
    series = np.float32(0.57707802) + s * np.float32(0.4121986)
    series = np.float32(2.88539008) + s * (np.float32(0.96179669) + s * series)
    raised = (np.float32(whole) + t * series) * exponent
    raised = min(max(raised, np.float32(-126)), np.float32(127))
    scale = np.rint(raised)
    f = raised - scale
    series = np.float32(0.00961813) + f * (np.float32(0.00133336) + f * np.float32(0.00015469))
    series = np.float32(0.24022650) + f * (np.float32(0.05550404) + f * series)
    fraction = _ONE + f * (np.float32(0.69314718) + f * series)
    result: float = np.int32((np.int32(scale) + 127) << 23).view(np.float32) * fraction
    return result
