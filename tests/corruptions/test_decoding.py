"""Image files by OpenCV: the same pixels, and no memory for what a damaged file only states."""

from unittest import mock

import cv2
import numpy as np
import pytest

from stl_backbones.corruptions import decoding
from stl_backbones.corruptions.decoding import decode, png_chunks
from stl_backbones.errors import InputError
from stl_backbones.robustness.items import read_image

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def encoded(ending=".png"):
    return cv2.imencode(ending, PIXELS)[1].tobytes()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("flags", [cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE])
def test_pixels_are_opencv_s(ending, flags):
    content = encoded(ending)
    expected = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    np.testing.assert_array_equal(decode(content, flags), expected)


def test_chunks_of_a_png_follow_each_other():
    content = encoded()
    names, begins, ends = zip(*png_chunks(content), strict=True)
    assert (names[0], names[-1]) == (b"IHDR", b"IEND")
    assert (begins[0], ends[-1]) == (8, len(content))
    assert begins[1:] == ends[:-1]


def states_too_much(content, name):
    """The file with a chunk that states 4 GB."""
    begin = content.index(name) - 4
    return content[:begin] + b"\xff\x00\x00\x00" + content[begin + 4 :]


@pytest.mark.parametrize(
    "content",
    [
        states_too_much(encoded(), b"IDAT"),
        states_too_much(encoded(), b"IEND"),
        encoded()[:-1],
        encoded()[:200],
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_a_png_that_states_more_than_it_has_is_not_decoded(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with mock.patch.object(decoding.cv2, "imdecode", side_effect=AssertionError):
        assert decode(content, cv2.IMREAD_COLOR) is None
        with pytest.raises(InputError, match=r"a\.png' (cannot be read|is (a damaged|no) image)"):
            read_image(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"text", b"\xff\xd8\xff"])
def test_no_image(content):
    assert decode(content, cv2.IMREAD_COLOR) is None
