"""Data that a sweep cannot use, reported before anything is scored."""

from __future__ import annotations

import dataclasses
import json
import zlib
from unittest import mock

import cv2
import numpy as np
import pytest
from PIL import Image

from stl_backbones.copies.manifest import ManifestHeader, Row, digest, read_header
from stl_backbones.datasets.loading import naming_the_image
from stl_backbones.errors import InputError
from stl_backbones.records import Cell
from stl_backbones.robustness.copy_identity import read_manifest
from stl_backbones.robustness.dense_data import DenseData
from stl_backbones.robustness.items import read_image
from stl_backbones.robustness.options import SweepOptions

HEADER = ManifestHeader(
    layout="cityscapes", split="val", protocol="stl-cityscapes-c", mode="exact",
    compat="imaug-1.1.5", engine="stl_backbones 1", channel_order="rgb", seed=0, versions={},
    images=1, cells={"fog": (1, 2)}, image_format="png isal 1.9.1, level 1",
)  # fmt: skip


@pytest.fixture
def items(tmp_path):
    """Images of 64x40, 64x31 and, once it is turned as its EXIF says, 31x64."""
    exif = Image.Exif()
    exif[274] = 6
    for name, size, more in (
        ("a", (64, 40), {}), ("b", (64, 31), {}), ("c", (64, 31), {"exif": exif}),
    ):  # fmt: skip
        Image.new("RGB", size).save(tmp_path / f"{name}.png", **more)
    return [{"img_path": str(tmp_path / f"{name}.png")} for name in "abc"]


class FakeDataset:
    def __init__(self, items):
        self.items, self.data_prefix = items, {}

    def __len__(self):
        return len(self.items)

    def get_data_info(self, index):
        return self.items[index]


def checked(items, **options):
    data = DenseData(FakeDataset(items))
    data._check(SweepOptions(**options).resolved(protocol="all", batch_size=1))
    return data


def test_images_too_small_to_corrupt_are_named(items):
    message = r"b\.png' is 64x31; expected sides of at least 32 .* \(2 of 3 images are broken; --sk"
    with pytest.raises(InputError, match=message):
        checked(items)
    data = checked(items, skip_broken=True)
    assert (data.keys, data.skipped, data.total) == (("a.png",), ("b.png", "c.png"), 3)
    assert "is 31x64;" in data.broken[items[2]["img_path"]]


def test_small_images_alone_are_refused(items):
    with pytest.raises(InputError, match=r"\(1 of 1 images are broken\)"):
        checked(items[1:2], skip_broken=True)


def test_a_truncated_label_map_is_found_first(items, tmp_path):
    label = tmp_path / "label.png"
    Image.effect_noise((64, 40), 90).save(label)
    label.write_bytes(label.read_bytes()[:-50])
    items = [items[0], {"img_path": items[2]["img_path"]}]
    items[0]["seg_map_path"] = str(label)
    cv2.imwrite(items[1]["img_path"], np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(InputError, match=r"label\.png' is truncated.*\(1 of 2 images are broken"):
        checked(items)
    assert checked(items, skip_broken=True).keys == ("c.png",)


def test_an_image_listed_twice_is_refused(items):
    with pytest.raises(InputError, match=r"holds 'a\.png' twice"):
        checked([items[0], items[0]])


def test_what_mmcv_cannot_decode_is_named():
    message = r"'x/a\.png' is damaged: it cannot be decoded"
    with pytest.raises(ValueError, match=message), naming_the_image(lambda: "x/a.png"):
        raise AssertionError("failed to load image: a.png")


def test_opencv_s_own_errors_are_named():
    with (
        pytest.raises(ValueError, match=r"'x/a\.png' cannot be used: "),
        naming_the_image(lambda: "x/a.png"),
    ):
        cv2.resize(np.zeros((4, 4), np.uint8), (0, 0))


def test_other_assertions_are_bugs_and_stay():
    with pytest.raises(AssertionError, match="something else"), naming_the_image(lambda: "a.png"):
        raise AssertionError("something else")


@pytest.fixture
def listed(tmp_path):
    """A manifest of one image in two cells."""
    lines = "".join(
        Row("a.png", "fog", level, f"fog/{level}/val/a.png", 9, 8, 8, "0").to_line()
        for level in (1, 2)
    )
    (tmp_path / "manifest.jsonl").write_text(lines)
    header = dataclasses.replace(HEADER, files=2, rows_blake2b=digest(lines.encode()))
    (tmp_path / "manifest.json").write_bytes(header.to_json())
    return tmp_path, header


def test_a_manifest_that_does_not_list_a_cell(listed):
    root, header = listed
    found, digests, sizes = read_manifest(root, [Cell("fog", 1), Cell("fog", 2)], ["a.png"])
    assert found == header
    assert {cell: own.tolist() for cell, own in sizes.items()} == {
        Cell("fog", 1): [9], Cell("fog", 2): [9],
    }  # fmt: skip
    assert list(digests) == ["fog-1", "fog-2"]
    for cell in (Cell("fog", 3), Cell("snow", 1)):
        with pytest.raises(ValueError, match=f"does not list cell '{cell.name}'"):
            read_manifest(root, [Cell("fog", 1), cell], ["a.png"])


def test_a_manifest_whose_rows_are_altered(listed):
    root, _ = listed
    rows = root / "manifest.jsonl"
    rows.write_text(rows.read_text().replace('"size":9', '"size":8'))
    with pytest.raises(ValueError, match=r"manifest.jsonl' is missing or was altered"):
        read_manifest(root, [Cell("fog", 1)], ["a.png"])
    rows.unlink()
    with pytest.raises(ValueError, match=r"manifest.jsonl' is missing or was altered"):
        read_manifest(root, [Cell("fog", 1)], ["a.png"])


def test_a_copy_without_manifest_says_nothing(tmp_path):
    assert read_manifest(tmp_path, [Cell("fog", 1)], ["a.png"]) == (None, {}, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "zero"}, "seed must be of type int, got 'zero'"),
        ({"mode": None}, "mode must be of type str, got None"),
        ({"versions": [1]}, r"versions must be of type dict, got \[1\]"),
        ({"cells": {"fog": 1}}, "not iterable"),
    ],
)
def test_a_manifest_of_wrong_types(tmp_path, change, message):
    content = {**json.loads(HEADER.to_json()), **change}
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=rf"is no manifest of a corrupted copy: .*{message}"):
        read_header(tmp_path)


def test_a_manifest_that_lacks_a_field(tmp_path):
    (tmp_path / "manifest.json").write_text('{"cells": {}}')
    with pytest.raises(ValueError, match="is no manifest of a corrupted copy: it lacks 'format'"):
        read_header(tmp_path)


def test_an_image_of_too_many_pixels_is_not_decoded(tmp_path):
    """A few bytes that say 595 million pixels."""
    header = (25701).to_bytes(4, "big") + (23139).to_bytes(4, "big") + b"\x08\x00\x00\x00\x00"
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    content = b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        for kind, data in chunks
    )
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    with (
        mock.patch("cv2.imdecode", side_effect=AssertionError),
        pytest.raises(ValueError, match=r"a\.png' is a damaged image: .*594695439 pixels"),
    ):
        read_image(tmp_path / "a.png")
