"""The encoder against independent decoders."""

import io
import zlib
from importlib.metadata import version

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from stl_backbones.copies.png import ENCODER, encode_png


def pictures():
    rng = np.random.default_rng(3)
    ramp = np.arange(40 * 48 * 3, dtype=np.uint8).reshape(40, 48, 3)
    return {
        "noise": rng.integers(0, 256, (33, 57, 3), dtype=np.uint8),
        "few levels": rng.integers(100, 104, (64, 90, 3), dtype=np.uint8),
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
@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 40), st.just(3)),
              elements=st.integers(0, 255), fill=st.integers(0, 2)))  # fmt: skip
def test_pixels_survive(picture):
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(encode_png(picture)))), picture)


@pytest.mark.parametrize(("name", "filters"), [("ramp", {1, 4}), ("few levels", {0})])
def test_noise_is_not_filtered(name, filters):
    picture = pictures()[name]
    content = encode_png(picture)
    start = content.index(b"IDAT") + 4
    rows = zlib.decompressobj().decompress(content[start:])
    assert set(rows[:: 1 + 3 * picture.shape[1]]) == filters


def test_a_change_of_the_bytes_changes_what_manifests_hold():
    assert version("isal") in ENCODER
