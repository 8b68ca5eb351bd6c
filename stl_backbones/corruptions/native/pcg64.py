"""numpy's newer random stream, PCG64, bit for bit, from any place of it.

A linear congruential generator of 128 bits, whose halves are combined and rotated (O'Neill 2014,
"PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for Random Number
Generation", XSL-RR). So many steps are one step with another multiplier and increment: the draws of
a block do not wait for each other, and a few of a long stream cost no more than those few.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from stl_backbones.corruptions.native.arrays import Longs
from stl_backbones.corruptions.native.compiled import kernel

State = tuple[int, int]  # upper and lower 64 bits
Jumps = Longs

_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_WHOLE = (1 << 128) - 1
_WORD = (1 << 64) - 1


def begin(seed: int, ahead: int, count: int) -> tuple[State, State, Jumps]:
    """A stream at its beginning and farther on, and the way through it.

    Args:
        seed: As ``numpy.random.PCG64`` takes it.
        ahead: How many draws lie between both places.
        count: Of jumps.

    Returns:
        The state before the first draw, the state after ``ahead`` draws, and multiplier and
        increment of 0, 1, ... ``count`` steps at once, their halves: ``(count + 1, 4)``.
    """
    generator = np.random.PCG64(seed)
    state = generator.state["state"]
    later = generator.advance(ahead).state["state"]["state"]
    jumps = _jumps(_steps(count), _halves(state["inc"]))
    return _halves(state["state"]), _halves(later), jumps


@lru_cache(maxsize=1)
def _steps(count: int) -> Jumps:
    """Multiplier of 0, 1, ... steps, and how often their increment holds the stream's own."""
    multiplier, times, rows = 1, 0, []
    for _ in range(count + 1):
        rows.append([*_halves(multiplier), *_halves(times)])
        times = (times * _MULTIPLIER + 1) & _WHOLE
        multiplier = multiplier * _MULTIPLIER & _WHOLE
    return np.array(rows, dtype=np.uint64)


def _halves(number: int) -> State:
    return np.uint64(number >> 64), np.uint64(number & _WORD)


def _high_of_product(typing_context: Any, first: Any, second: Any) -> Any:
    """The upper 64 bits of the product of two 64 bit numbers."""

    def generate(context: Any, builder: Any, signature: Any, numbers: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(number, wide) for number in numbers))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), generate


_multiply_high: Any = intrinsic(_high_of_product)


@kernel
def _jumps(steps: Jumps, increment: State) -> Jumps:
    rows = steps.copy()
    for i in range(rows.shape[0]):
        rows[i, 2], rows[i, 3] = _product(increment, steps[i, 2], steps[i, 3])
    return rows


@kernel
def _product(state: State, upper: int, lower: int) -> State:
    """The lower 128 bits."""
    high = _multiply_high(state[1], lower) + state[1] * upper + state[0] * lower
    return high, state[1] * lower


@kernel
def jump(state: State, by: Jumps) -> State:
    """The state so many steps later as a row of jumps says."""
    high, product = _product(state, by[0], by[1])
    low = product + by[3]
    return high + by[2] + (np.uint64(1) if low < product else np.uint64(0)), low


@kernel
def draw(state: State, by: Jumps) -> int:
    """The 53 bits, of a double of [0, 1), that come so many steps later."""
    upper, lower = jump(state, by)
    both, turn = upper ^ lower, upper >> np.uint64(58)
    turned = (both >> turn) | (both << ((np.uint64(64) - turn) & np.uint64(63)))
    return np.uint64(turned >> np.uint64(11))
