"""The streams: numpy's legacy generator, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from stl_backbones.corruptions.native.pcg64 import begin, draw, jump
from stl_backbones.corruptions.native.streams import (
    WORDS,
    legacy_doubles,
    legacy_key,
    legacy_normals,
    next_words,
    window_of_normals,
)

SEEDS = [0, 1, 12345, 2**32 - 1]
SIZES = [1, 2, 311, 312, 313, 623, 624, 625, 5001]


def state(seed):
    return np.random.RandomState(seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", SIZES)
def test_equal_numpy(seed, size):
    np.testing.assert_array_equal(legacy_doubles(seed, size), state(seed).random_sample(size))
    np.testing.assert_array_equal(legacy_normals(seed, size), state(seed).standard_normal(size))


@pytest.mark.parametrize("seed", SEEDS)
def test_words(seed):
    key, words, found = legacy_key(seed), np.empty(WORDS, np.uint32), []
    for _ in range(3):
        next_words(key, words)
        found.append(words.copy())
    expected = np.frombuffer(state(seed).bytes(4 * 3 * WORDS), np.uint32)
    np.testing.assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [1, 128, 200])
def test_pcg64_from_any_place(seed, count):
    here, there, jumps = begin(seed, 1000, count)
    draws = np.random.Generator(np.random.PCG64(seed)).random(1000 + count)
    found = [draw(here, jumps[i + 1]) for i in range(count)]
    later = [draw(there, jumps[i + 1]) for i in range(count)]
    np.testing.assert_array_equal(np.array(found) / 2.0**53, draws[:count])
    np.testing.assert_array_equal(np.array(later) / 2.0**53, draws[1000:])
    first = tuple(map(np.uint64, jump(here, jumps[1])))
    np.testing.assert_array_equal(draw(first, jumps[count]) / 2.0**53, draws[count])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("shape", "top", "left", "size"),
    [
        ((32, 32), 0, 0, (32, 32)),
        ((33, 35), 0, 0, (33, 35)),  # an odd count: numpy keeps the pair's second normal
        ((50, 61), 20, 22, (10, 17)),
        ((40, 31), 39, 30, (1, 1)),
        ((64, 64), 0, 60, (64, 4)),
    ],
)
def test_window_and_the_double_after_it(seed, shape, top, left, size):
    random = state(seed)
    whole = random.standard_normal(shape)
    out = np.empty(size)
    after = window_of_normals(legacy_key(seed), out, shape[1], (top, left), whole.size)
    np.testing.assert_array_equal(out, whole[top : top + size[0], left : left + size[1]])
    assert after == random.random_sample()
