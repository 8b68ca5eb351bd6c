"""Broken files and pairs that do not fit, each told apart."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from stl_backbones.datasets.integrity import (
    check_pair,
    check_whole,
    drop_broken_pairs,
    image_header,
    image_id,
)

SIZE = (48, 32)  # width, height


def encode(mode="RGB", kind="PNG", size=SIZE):
    rng = np.random.default_rng(0)
    shape = (size[1], size[0])
    if mode == "I;16":
        picture = Image.fromarray(rng.integers(0, 60000, shape).astype(np.uint16))
    elif mode in ("L", "P", "1"):
        picture = Image.fromarray(rng.integers(0, 2, shape).astype(np.uint8)).convert(mode)
    else:
        channels = len(mode)
        picture = Image.fromarray(rng.integers(0, 256, (*shape, channels)).astype(np.uint8))
    file = io.BytesIO()
    picture.save(file, kind)
    return file.getvalue()


@pytest.fixture
def make_pair(tmp_path):
    """Write an image and a label map; bytes instead of the good ones where given."""

    def make(name="a", *, image=None, label=None):
        image_path, label_path = tmp_path / f"{name}.png", tmp_path / f"{name}_label.png"
        image_path.write_bytes(encode() if image is None else image)
        label_path.write_bytes(encode("L") if label is None else label)
        return {"img_path": str(image_path), "seg_map_path": str(label_path)}

    return make


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP"])
def test_a_whole_file_passes(tmp_path, kind):
    path = tmp_path / "image"
    path.write_bytes(encode(kind=kind))
    check_whole(path)


def test_padding_behind_the_end_passes(tmp_path):
    (tmp_path / "image.jpg").write_bytes(encode(kind="JPEG") + bytes(16))
    check_whole(tmp_path / "image.jpg")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(tmp_path, kind, part):
    whole = encode(kind=kind)
    path = tmp_path / "image"
    path.write_bytes(whole[: int(part * len(whole))])
    message = rf"is truncated: its end is missing \({int(part * len(whole))} bytes are there\)"
    with pytest.raises(ValueError, match=message):
        check_whole(path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_last_byte_is_needed(tmp_path, kind):
    path = tmp_path / "image"
    path.write_bytes(encode(kind=kind)[:-1])
    with pytest.raises(ValueError, match="is truncated"):
        check_whole(path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "image.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"image\.png' is empty"):
        check_whole(tmp_path / "image.png")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        check_whole(tmp_path / "absent.png")


def test_header(tmp_path):
    (tmp_path / "label.png").write_bytes(encode("L"))
    assert image_header(tmp_path / "label.png") == (SIZE, "L")


@pytest.mark.parametrize("mode", ["L", "P", "1"])
def test_a_good_pair_passes(make_pair, mode):
    pair = make_pair(label=encode(mode))
    check_pair(pair["img_path"], pair["seg_map_path"])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"image": encode()[:700]}, r"a\.png' is truncated"),
        ({"image": encode()[:5]}, r"a\.png' is no image"),
        ({"image": encode(kind="JPEG")[:-2]}, r"a\.png' is truncated"),
        ({"image": b""}, r"a\.png' is empty"),
        ({"image": b"<html>404</html>\n" * 9}, r"a\.png' is no image"),
        ({"label": encode("L")[:-12]}, r"a_label\.png' is truncated"),
        ({"label": b""}, r"a_label\.png' is empty"),
        ({"label": b"road\n"}, r"a_label\.png' is no image"),
        ({"label": encode("I;16")}, r"a_label\.png' must be 8 bit with one channel, got mode 'I"),
        ({"label": encode("RGB")}, r"must be 8 bit with one channel, got mode 'RGB'"),
        ({"label": encode("LA")}, r"must be 8 bit with one channel, got mode 'LA'"),
        ({"label": encode("L", size=(48, 31))}, r"a\.png' is 48x32, .*a_label\.png' is 48x31"),
    ],
)
def test_a_broken_pair_says_what_is_wrong(make_pair, broken, message):
    pair = make_pair(**broken)
    with pytest.raises(ValueError, match=message):
        check_pair(pair["img_path"], pair["seg_map_path"])


@pytest.mark.parametrize("length", range(1, 60))
def test_a_stump_of_any_length_is_refused(make_pair, length):
    pair = make_pair(image=encode()[:length])
    with pytest.raises(ValueError, match=r"a\.png'"):
        check_pair(pair["img_path"], pair["seg_map_path"])


def test_a_missing_label_map_is_named(make_pair, tmp_path):
    pair = make_pair()
    (tmp_path / "a_label.png").unlink()
    message = re.escape(f"'{pair['img_path']}' has no label map: expected")
    with pytest.raises(FileNotFoundError, match=message):
        check_pair(pair["img_path"], pair["seg_map_path"])


@pytest.fixture
def three(make_pair):
    """The second pair's image is truncated, the third's label map is missing."""
    pairs = [make_pair("a"), make_pair("b", image=encode()[:700]), make_pair("c")]
    pairs[2]["seg_map_path"] += ".absent"
    return pairs


def test_broken_pairs_are_refused(three):
    message = r"b\.png' is truncated.* \(2 of 3 images are broken; --skip-broken goes on without\)"
    with pytest.raises(ValueError, match=message):
        drop_broken_pairs(three, skip_broken=False)


def test_broken_pairs_are_left_out_on_request(three):
    whole, broken = drop_broken_pairs(three, skip_broken=True)
    assert whole == [0]
    assert list(broken) == [three[1]["img_path"], three[2]["img_path"]]
    assert "is truncated" in broken[three[1]["img_path"]]
    assert "has no label map" in broken[three[2]["img_path"]]


def test_nothing_is_left_out_of_a_whole_data_set(make_pair):
    pairs = [make_pair("a"), make_pair("b")]
    assert drop_broken_pairs(pairs, skip_broken=False) == ([0, 1], {})


def test_a_data_set_of_broken_pairs_alone_is_refused(three):
    with pytest.raises(ValueError, match=r"\(2 of 2 images are broken\)"):
        drop_broken_pairs(three[1:], skip_broken=True)


@pytest.mark.parametrize(
    ("root", "expected"),
    [("/data/images", "val/a.png"), ("/data/images/", "val/a.png"), ("/other", "a.png"),
     (None, "a.png")],
)  # fmt: skip
def test_image_id(root, expected):
    assert image_id("/data/images/val/a.png", root) == expected
