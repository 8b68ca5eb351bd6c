"""numpy's legacy random streams, bit for bit, without a global generator.

``numpy.random.seed`` and numba's ``numpy.random.seed`` both start MT19937 (Matsumoto & Nishimura
1998) with ``init_genrand``; normals come from Marsaglia's polar method, doubles from two words.
"""

from __future__ import annotations

import math

import numpy as np

from stl_backbones.corruptions.native.arrays import Doubles, Words
from stl_backbones.corruptions.native.compiled import kernel
from stl_backbones.corruptions.native.scratch import scratch

WORDS = 624  # of MT19937's state, and made at a time
DOUBLES = WORDS // 2
PAIRS = WORDS // 4
TWO_POW_MINUS_53 = 1.0 / 9007199254740992.0


def legacy_key(seed: int) -> Words:
    """MT19937's state after ``numpy.random.seed(seed)``: ``(624,)``."""
    state = np.random.RandomState(seed).get_state(legacy=False)
    return np.asarray(state["state"]["key"], dtype=np.uint32)


@kernel
def next_words(state: Words, words: Words) -> None:
    """Advance the state by 624 steps and temper it into ``words``."""
    upper, lower = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)
    matrix, one = np.uint32(0x9908B0DF), np.uint32(1)
    # Three loops, each without a dependency inside a vector's width.
    for i in range(227):
        y = (state[i] & upper) | (state[i + 1] & lower)
        state[i] = state[i + 397] ^ (y >> one) ^ (matrix * (y & one))
    for i in range(227, 454):
        y = (state[i] & upper) | (state[i + 1] & lower)
        state[i] = state[i - 227] ^ (y >> one) ^ (matrix * (y & one))
    for i in range(454, 623):
        y = (state[i] & upper) | (state[i + 1] & lower)
        state[i] = state[i - 227] ^ (y >> one) ^ (matrix * (y & one))
    y = (state[623] & upper) | (state[0] & lower)
    state[623] = state[396] ^ (y >> one) ^ (matrix * (y & one))
    for i in range(624):
        y = state[i]
        y ^= y >> np.uint32(11)
        y ^= (y << np.uint32(7)) & np.uint32(0x9D2C5680)
        y ^= (y << np.uint32(15)) & np.uint32(0xEFC60000)
        y ^= y >> np.uint32(18)
        words[i] = y


@kernel
def next_doubles(state: Words, words: Words, out: Doubles) -> None:
    """The next 312 doubles of [0, 1): ``(a >> 5, b >> 6)`` of two words as 53 bits."""
    next_words(state, words)
    pairs = words.view(np.uint64)
    for i in range(312):
        pair = pairs[i]
        high = ((pair & np.uint64(0xFFFFFFFF)) >> np.uint64(5)) << np.uint64(26)
        out[i] = np.float64(np.int64(high | (pair >> np.uint64(38)))) * TWO_POW_MINUS_53


@kernel
def refill(
    state: Words, words: Words, stream: Doubles, position: int, filled: int
) -> tuple[int, int]:
    """Move what is left of a stream of doubles to its front and draw more.

    Returns:
        Where the next one is, and how many there are.
    """
    left = filled - position
    for i in range(left):
        stream[i] = stream[position + i]
    end = left
    while end + DOUBLES <= stream.shape[0]:
        next_doubles(state, words, stream[end : end + DOUBLES])
        end += DOUBLES
    return 0, end


@kernel
def _fill_doubles(state: Words, out: Doubles) -> None:
    words = np.empty(WORDS, np.uint32)
    for block in range(out.shape[0] // DOUBLES):
        next_doubles(state, words, out[block * DOUBLES : (block + 1) * DOUBLES])


@kernel
def next_pairs(
    state: Words, words: Words, doubles: Doubles, pairs: tuple[Doubles, Doubles, Doubles]
) -> int:
    """The accepted points (x, y, x^2 + y^2) of the next 156 tries of the polar method."""
    xs, ys, squares = pairs
    next_doubles(state, words, doubles)
    for i in range(DOUBLES):
        doubles[i] = 2.0 * doubles[i] - 1.0
    accepted = 0
    for i in range(PAIRS):
        x, y = doubles[2 * i], doubles[2 * i + 1]
        square = x * x + y * y
        xs[accepted], ys[accepted], squares[accepted] = x, y, square
        accepted += 1 if (square < 1.0 and square != 0.0) else 0
    return accepted


@kernel
def new_pairs() -> tuple[Doubles, Doubles, Doubles]:
    """Room for `next_pairs`."""
    return np.empty(PAIRS), np.empty(PAIRS), np.empty(PAIRS)


@kernel
def _fill_normals(state: Words, out: Doubles) -> None:
    words, doubles, pairs = np.empty(WORDS, np.uint32), np.empty(DOUBLES), new_pairs()
    xs, ys, squares = pairs
    done, size = 0, out.shape[0]
    while done < size:
        accepted = next_pairs(state, words, doubles, pairs)
        for i in range(accepted):
            squares[i] = math.log(squares[i]) * -2.0 / squares[i]
        for i in range(min(accepted, (size - done + 1) // 2)):
            factor = math.sqrt(squares[i])
            out[done + 2 * i] = factor * ys[i]
            if done + 2 * i + 1 < size:
                out[done + 2 * i + 1] = factor * xs[i]
        done += 2 * accepted


@kernel
def window_of_normals(
    state: Words, out: Doubles, width: int, corner: tuple[int, int], count: int
) -> float:
    """The normals of a window of a larger array, and the double drawn after them all.

    Args:
        state: The generator, advanced.
        out: ``(h, w)``, filled with the window.
        width: Of the whole array.
        corner: Row and column of the window.
        count: Size of the whole array.
    """
    words, doubles, pairs = np.empty(WORDS, np.uint32), np.empty(DOUBLES), new_pairs()
    xs, ys, squares = pairs
    top, left = corner
    first, last = top * width + left, (top + out.shape[0] - 1) * width + left + out.shape[1]
    done = 0
    while True:
        accepted = next_pairs(state, words, doubles, pairs)
        if done + 2 * accepted > first and done < last:
            for i in range(2 * accepted):
                row, column = (done + i) // width - top, (done + i) % width - left
                if 0 <= row < out.shape[0] and 0 <= column < out.shape[1]:
                    square = squares[i // 2]
                    factor = math.sqrt(math.log(square) * -2.0 / square)
                    out[row, column] = factor * (ys[i // 2] if i % 2 == 0 else xs[i // 2])
        if done + 2 * accepted >= count:
            break
        done += 2 * accepted
    # Where does the stream stand after the last pair that was needed?
    need = (count - done + 1) // 2
    tries = 0
    while need > 0:
        square = doubles[2 * tries] ** 2 + doubles[2 * tries + 1] ** 2
        need -= 1 if (square < 1.0 and square != 0.0) else 0
        tries += 1
    if tries == PAIRS:
        next_doubles(state, words, doubles)
        return np.float64(doubles[0])
    return np.float64((doubles[2 * tries] + 1.0) * 0.5)


def legacy_doubles(seed: int, size: int) -> Doubles:
    """What ``RandomState(seed).random_sample(size)`` returns, in a work array of this thread."""
    out = scratch("doubles", (-(-size // DOUBLES) * DOUBLES,))
    _fill_doubles(legacy_key(seed), out)
    return out[:size]


def legacy_normals(seed: int, size: int) -> Doubles:
    """What ``RandomState(seed).standard_normal(size)`` returns, in a work array of this thread."""
    out = scratch("normals", (size,))
    _fill_normals(legacy_key(seed), out)
    return out
