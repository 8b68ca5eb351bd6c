"""The encoder against three independent decoders, and deflate's own rules."""

import io
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from stl_backbones.copies.huffman import code_lengths
from stl_backbones.copies.png import deflate_runs, encode_png


def pictures():
    rng = np.random.default_rng(3)
    ramp = np.arange(40 * 48 * 3, dtype=np.uint8).reshape(40, 48, 3)
    return {
        "noise": rng.integers(0, 256, (33, 57, 3), dtype=np.uint8),
        "flat": np.full((50, 300, 3), 7, np.uint8),
        "black": np.zeros((32, 32, 3), np.uint8),
        "ramp": ramp,
        "pixel": np.array([[[1, 2, 3]]], np.uint8),
        "row": rng.integers(0, 4, (1, 500, 3), dtype=np.uint8),
        "column": rng.integers(0, 4, (500, 1, 3), dtype=np.uint8),
        "reversed": ramp[::-1, :, ::-1],
    }


@pytest.mark.parametrize("name", pictures())
def test_decoders_return_the_pixels(name):
    picture = pictures()[name]
    content = encode_png(picture)
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(content))), picture)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded[..., ::-1], picture)


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, st.integers(1, 700), elements=st.integers(0, 255), fill=st.integers(0, 2)))
def test_zlib_inflates(data):
    assert zlib.decompress(deflate_runs(data)) == data.tobytes()


@pytest.mark.parametrize("length", [1, 7, 8, 9, 10, 258, 259, 260, 516, 517, 518, 526, 3000])
def test_runs_of_every_length(length):
    data = np.concatenate(
        [np.array([5], np.uint8), np.zeros(length, np.uint8), np.array([9], np.uint8)]
    )
    assert zlib.decompress(deflate_runs(data)) == data.tobytes()


def test_rare_symbols_keep_codes_to_15_bits():
    counts = np.zeros(286, np.int64)
    counts[:30] = [int(1.7**power) + 1 for power in range(30)]  # as steep as Fibonacci's
    counts[256] = 1
    lengths = code_lengths(counts)
    assert 13 <= lengths.max() <= 15  # 30 without a limit
    assert (2.0 ** -lengths[lengths > 0]).sum() == 1  # Kraft: a complete code
    np.testing.assert_array_equal(lengths > 0, counts > 0)


def test_steep_counts_inflate():
    values = np.concatenate([np.full(int(1.7**power) + 1, power) for power in range(24)])
    data = np.random.default_rng(0).permutation(values).astype(np.uint8)
    assert zlib.decompress(deflate_runs(data)) == data.tobytes()


def test_huffman_lengths_by_hand():
    counts = np.zeros(286, np.int64)
    counts[[0, 1, 2, 256]] = [8, 4, 2, 1]
    assert code_lengths(counts)[[0, 1, 2, 256]].tolist() == [1, 2, 3, 3]


def test_bytes_are_pinned():
    """A change of the bytes must change `ENCODER`, which manifests hold."""
    picture = np.arange(40 * 48 * 3).reshape(40, 48, 3).astype(np.uint8)
    assert zlib.crc32(encode_png(picture)) == 2434847440
