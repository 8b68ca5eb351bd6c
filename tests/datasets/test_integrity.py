"""Broken files and pairs that do not fit, each named separately."""

from __future__ import annotations

import errno
import io
import os
import re
import struct
import zlib
from types import SimpleNamespace
from unittest import mock

import cv2
import numpy as np
import pytest
from PIL import Image

from stl_backbones.datasets.integrity import (
    check_intact,
    check_pair,
    check_whole,
    decoded_size,
    drop_broken_pairs,
    find_lost_images,
    image_header,
    image_id,
)
from stl_backbones.errors import InputError

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
        ({"label": encode("L", kind="JPEG")}, r"stored without loss, as PNG, got JPEG"),
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


@pytest.mark.parametrize("place", [20, 45, 900, -20, -3])
def test_a_png_with_a_bit_turned_is_not_intact(tmp_path, place):
    content = bytearray(encode())
    (tmp_path / "whole.png").write_bytes(content)
    check_intact(tmp_path / "whole.png")
    content[place] ^= 4
    (tmp_path / "image.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"image\.png' is (damaged|truncated)"):
        check_intact(tmp_path / "image.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_truncated_file_is_not_intact(tmp_path, kind):
    (tmp_path / "image").write_bytes(encode(kind=kind)[:-1])
    with pytest.raises(ValueError, match="is truncated"):
        check_intact(tmp_path / "image")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_anything_may_stand_behind_the_end(tmp_path, kind):
    (tmp_path / "image").write_bytes(encode(kind=kind) + bytes(5000))
    check_whole(tmp_path / "image")


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image(tmp_path):
    thumbnail = encode(kind="JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = encode(kind="JPEG")
    with_thumbnail = whole[:2] + segment + whole[2:]
    (tmp_path / "image.jpg").write_bytes(with_thumbnail + bytes(100))
    check_whole(tmp_path / "image.jpg")
    (tmp_path / "image.jpg").write_bytes(with_thumbnail[:-300])
    with pytest.raises(ValueError, match="is truncated"):
        check_whole(tmp_path / "image.jpg")


@pytest.mark.parametrize("kind", ["folder", "broken link", "pipe"])
def test_what_is_no_file_is_refused(tmp_path, kind):
    path = tmp_path / "image.png"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere.png")
    for check in (check_whole, check_intact):
        with pytest.raises(FileNotFoundError, match=r"image\.png' does not exist, or is no file"):
            check(path)


@pytest.mark.parametrize(
    "error", [struct.error("x"), OverflowError("x"), KeyError("x"), OSError("broken"),
              MemoryError("x"), zlib.error("x"), TypeError("x")]
)  # fmt: skip
def test_whatever_pillow_raises_is_a_damaged_image(tmp_path, monkeypatch, error):
    (tmp_path / "image.png").write_bytes(encode())
    monkeypatch.setattr(Image, "open", mock.Mock(side_effect=error))
    with pytest.raises(InputError, match=r"image\.png' is a damaged image: "):
        image_header(tmp_path / "image.png")


def test_an_error_of_the_disk_is_none_of_the_image(tmp_path, monkeypatch):
    (tmp_path / "image.png").write_bytes(encode())
    error = OSError(errno.EIO, "Input/output error")
    monkeypatch.setattr(Image, "open", mock.Mock(side_effect=error))
    with pytest.raises(OSError, match="Input/output error"):
        image_header(tmp_path / "image.png")


def test_a_header_of_far_too_many_pixels_is_reported(tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    whole = encode()
    content = whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:]
    (tmp_path / "image.png").write_bytes(content)
    check_whole(tmp_path / "image.png")
    with pytest.raises(ValueError, match=r"image\.png' is a damaged image: .* pixels"):
        image_header(tmp_path / "image.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_decoded_size_is_opencv_s(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", SIZE).save(tmp_path / "image", kind, exif=exif)
    height, width = cv2.imread(str(tmp_path / "image")).shape[:2]
    assert decoded_size(tmp_path / "image") == (width, height)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\0"])
def test_exif_that_cannot_be_read_turns_nothing(tmp_path, exif):
    Image.new("RGB", SIZE).save(tmp_path / "image", "JPEG", exif=exif)
    assert decoded_size(tmp_path / "image") == SIZE


def test_a_turned_image_goes_with_the_label_map_of_what_is_decoded(make_pair):
    exif = Image.Exif()
    exif[274] = 6
    file = io.BytesIO()
    Image.new("RGB", SIZE).save(file, "PNG", exif=exif)
    pair = make_pair(image=file.getvalue(), label=encode("L", size=SIZE[::-1]))
    check_pair(pair["img_path"], pair["seg_map_path"])
    pair = make_pair("b", image=file.getvalue())
    with pytest.raises(ValueError, match=r"b\.png' is 32x48, .*b_label\.png' is 48x32"):
        check_pair(pair["img_path"], pair["seg_map_path"])


@pytest.fixture
def data_set(tmp_path):
    """What an mmseg data set says of its folders; label maps of a.png and b.png, image a.png."""
    for name in ("images/city/a.png", "labels/city/a_label.png", "labels/city/b_label.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encode("L"))
    prefix = {"img_path": str(tmp_path / "images"), "seg_map_path": str(tmp_path / "labels")}
    return SimpleNamespace(
        data_prefix=prefix, ann_file="", img_suffix=".png", seg_map_suffix="_label.png"
    )


def test_a_label_map_without_image_is_found(data_set, tmp_path):
    lost = find_lost_images(data_set)
    assert list(lost) == [str(tmp_path / "images/city/b.png")]
    assert (
        "b_label.png' has no image: expected the file" in lost[str(tmp_path / "images/city/b.png")]
    )
    (tmp_path / "images/city/b.png").symlink_to("nowhere")
    assert list(find_lost_images(data_set)) == list(lost)
    (tmp_path / "images/city/b.png").unlink()
    (tmp_path / "images/city/b.png").write_bytes(encode())
    assert find_lost_images(data_set) == {}


def test_images_that_a_file_lists_are_not_looked_for(data_set, tmp_path):
    (tmp_path / "list.txt").write_text("city/a\n")
    data_set.ann_file = str(tmp_path / "list.txt")
    assert find_lost_images(data_set) == {}


def test_lost_images_count_among_the_broken(three):
    lost = {"/d.png": "label map '/d_label.png' has no image"}
    with pytest.raises(ValueError, match=r"d_label\.png' has no image \(3 of 4 images are broken"):
        drop_broken_pairs(three, skip_broken=False, lost=lost)
    whole, broken = drop_broken_pairs(three, skip_broken=True, lost=lost)
    assert whole == [0]
    assert next(iter(broken)) == "/d.png"
