"""Distances: Cityscapes' disparities, maps in metres, their holes, and what records say."""

import dataclasses
import json
import shutil
import zlib
from unittest import mock

import cv2
import numpy as np
import pytest
from PIL import Image

from stl_backbones.copies.request import GenerateOptions, plan_copy
from stl_backbones.corruptions import CorruptionEngine, corrupt, corrupt_all, custom_versions
from stl_backbones.corruptions.driving.depth import FILLING, fill, identity, read_depth
from stl_backbones.corruptions.driving.fog import fog_depth
from stl_backbones.errors import InputError, MissingFileError
from stl_backbones.robustness.options import SweepOptions

HEIGHT, WIDTH = 40, 48
KEY = "aachen/aachen_000000_000019_leftImg8bit.png"
CAMERA = {
    "extrinsic": {"baseline": 0.2093},
    "intrinsic": {"fx": 2262.5, "u0": 24.0, "v0": 20.0},
}


@pytest.fixture(autouse=True)
def _no_memory():
    yield
    read_depth.cache_clear()
    identity.cache_clear()


@pytest.fixture
def cityscapes(tmp_path):
    """A root with one image's disparities, all of 1 pixel, and its camera."""
    root = tmp_path / "cityscapes"
    write_disparity(root, np.full((HEIGHT, WIDTH), 257))
    file = root / "camera/val/aachen/aachen_000000_000019_camera.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(CAMERA))
    return root


def write_disparity(root, stored):
    file = root / "disparity/val/aachen/aachen_000000_000019_disparity.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(file), stored.astype(np.uint16))


def test_one_pixel_of_disparity_is_474_m(cityscapes):
    depth = read_depth(str(cityscapes), KEY, HEIGHT, WIDTH)
    assert depth[19, 23] == pytest.approx(0.2093 * 2262.5)  # x 24, y 20 from 1: straight ahead
    assert depth[19, 23] == pytest.approx(474, abs=0.5)
    slant = np.sqrt(1 + (24**2 + 20**2) / 2262.5**2)
    assert depth[39, 47] == pytest.approx(0.2093 * 2262.5 * slant)
    # The city is in the name, where the key has no folders; the split is found.
    assert np.array_equal(depth, read_depth(str(cityscapes), f"val/{KEY}", HEIGHT, WIDTH))
    assert np.array_equal(depth, read_depth(str(cityscapes), KEY.split("/")[1], HEIGHT, WIDTH))


def test_stored_1_is_infinite_and_0_a_hole(cityscapes):
    stored = np.full((HEIGHT, WIDTH), 1 + 256 * 10)
    stored[30, 10], stored[30, 20] = 1, 0
    write_disparity(cityscapes, stored)
    depth = read_depth(str(cityscapes), KEY, HEIGHT, WIDTH)
    assert np.isinf(depth[30, 10])
    assert depth[30, 20] == depth[30, 19:22].max()


def test_holes_are_filled_by_the_three_rules():
    depth = np.full((6, 6), 8.0, np.float32)
    depth[:2, 3] = 0  # above the first value of its column, upper half: sky
    depth[4, 1:3] = np.nan  # between 8 and 30: what is hidden is behind
    depth[4, 3:] = 30
    depth[2:, 0] = 0  # the border has one neighbour
    depth[5] = 0  # nothing in its row: the row above
    filled = fill(depth)
    assert np.isinf(filled[:2, 3]).all()
    assert filled[4].tolist() == [30, 30, 30, 30, 30, 30]
    assert filled[3].tolist() == [8] * 6
    assert filled[5].tolist() == filled[4].tolist()
    assert depth[5, 0] == 0


@pytest.mark.parametrize("ending", [".npy", ".png"])
def test_maps_of_ones_own(tmp_path, ending):
    metres = np.linspace(1, 90, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    (tmp_path / "a").mkdir()
    if ending == ".npy":
        np.save(tmp_path / "a/b.npy", metres)
    else:
        cv2.imwrite(str(tmp_path / "a/b.png"), np.rint(100 * metres).astype(np.uint16))
    found = read_depth(str(tmp_path), "a/b.jpg", HEIGHT, WIDTH)
    assert found == pytest.approx(metres, abs=0.0051)


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (np.ones((20, 48), np.float32), "is 48x20, its image is corrupted at 48x40"),
        (-np.ones((HEIGHT, WIDTH), np.float32), "negative"),
        (np.full((HEIGHT, WIDTH), np.nan, np.float32), "no valid value"),
        (np.ones((HEIGHT, WIDTH), np.int32), "floating-point metres, got int32"),
        (np.ones((HEIGHT, WIDTH, 3), np.float32), "floating-point metres"),
    ],
)
def test_maps_that_do_not_fit(tmp_path, stored, says):
    np.save(tmp_path / "b.npy", stored)
    with pytest.raises(InputError, match=says):
        read_depth(str(tmp_path), "b.png", HEIGHT, WIDTH)


def test_files_that_are_none(tmp_path, cityscapes):
    (tmp_path / "b.npy").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"b\.npy' is no whole \.npy file of numbers"):
        read_depth(str(tmp_path), "b.png", HEIGHT, WIDTH)
    np.savez(tmp_path / "b.npz", np.ones((HEIGHT, WIDTH)))
    (tmp_path / "b.npz").replace(tmp_path / "b.npy")
    with pytest.raises(InputError, match=r"b\.npy' is no whole \.npy file of numbers"):
        read_depth(str(tmp_path), "b.png", HEIGHT, WIDTH)
    (tmp_path / "c.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match="16 bits, centimetres; got no picture"):
        read_depth(str(tmp_path), "c.png", HEIGHT, WIDTH)
    Image.fromarray(np.ones((4, 4), np.uint16)).save(tmp_path / "e.png")
    with (
        mock.patch.object(Image, "MAX_IMAGE_PIXELS", 7),
        pytest.raises(InputError, match="16 bits, centimetres; got no picture"),
    ):
        read_depth(str(tmp_path), "e.png", 4, 4)
    with pytest.raises(MissingFileError, match=r"image 'd\.png' has no depth: expected"):
        read_depth(str(tmp_path), "d.png", HEIGHT, WIDTH)
    with pytest.raises(MissingFileError, match=r"aachen_000000_000020_disparity\.png"):
        read_depth(str(cityscapes), KEY.replace("19", "20"), HEIGHT, WIDTH)
    camera = cityscapes / "camera/val/aachen/aachen_000000_000019_camera.json"
    camera.write_text("{}")
    with pytest.raises(InputError, match=r"extrinsic\.baseline and"):
        read_depth(str(cityscapes), KEY, HEIGHT, WIDTH)
    camera.write_text("[" * 100_000)
    with pytest.raises(InputError, match=r"camera\.json' is nested too deep"):
        read_depth(str(cityscapes), KEY, HEIGHT, WIDTH)
    for wrong in ("1" + "0" * 400, "NaN", "Infinity", "-1"):
        numbers = '{"extrinsic": {"baseline": 1}, "intrinsic": {"fx": %s, "u0": 1, "v0": 1}}'
        camera.write_text(numbers % wrong)
        with pytest.raises(InputError, match="camera '"):
            read_depth(str(cityscapes), KEY, HEIGHT, WIDTH)
    camera.unlink()
    with pytest.raises(MissingFileError, match="disparities need their camera"):
        read_depth(str(cityscapes), KEY, HEIGHT, WIDTH)


def test_a_picture_of_more_pixels_than_opencv_takes(tmp_path):
    _, data = cv2.imencode(".png", np.ones((HEIGHT, WIDTH), np.uint16))
    head = b"IHDR" + (2**21).to_bytes(4, "big") + data.tobytes()[20:29]
    content = data.tobytes()[:12] + head + zlib.crc32(head).to_bytes(4, "big")
    (tmp_path / "b.png").write_bytes(content + data.tobytes()[33:])
    with pytest.raises(InputError, match="16 bits, centimetres; got no picture"):
        read_depth(str(tmp_path), "b.png", HEIGHT, WIDTH)


def test_the_engine_reads_the_images_own_map(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    depth = np.full((HEIGHT, WIDTH), 70, np.float32)
    np.save(tmp_path / "b.npy", depth)
    made = corrupt(image, "fog_depth", 2.5, key="b.png", depth=str(tmp_path))
    level = float(f"{(300 * 150) ** 0.5:.4g}")  # half-way in ratios
    assert np.array_equal(made, fog_depth(image, level, np.random.default_rng(0), depth))
    engine = CorruptionEngine(depth=str(tmp_path))
    (variant,) = corrupt_all(image, ["fog_depth+rain"], [1], key="b.png", engine=engine)
    assert variant.image.shape == image.shape


def test_without_a_folder():
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    with pytest.raises(
        InputError, match="'fog_depth' needs distances: name their folder by --depth"
    ):
        corrupt(image, "fog_depth", 1, key="b.png")
    with pytest.raises(MissingFileError, match="--depth: folder '/nosuch' does not exist"):
        corrupt(image, "rain", 1, key="b.png", depth="/nosuch")


def test_the_version_names_folder_hash_and_filling(tmp_path):
    first = tmp_path / "first"
    first.mkdir()
    np.save(first / "b.npy", np.ones((HEIGHT, WIDTH), np.float32))
    shutil.copytree(first, tmp_path / "second")
    np.save(tmp_path / "second/b.npy", np.zeros((HEIGHT, WIDTH), np.float32))
    names = ["fog_depth", "rain", "fog_depth+rain"]
    found, others = (custom_versions(names, str(tmp_path / one)) for one in ("first", "second"))
    assert found["rain"] == others["rain"] == "1"
    assert found["fog_depth"].startswith("1, depth 'first' ")
    assert found["fog_depth"].endswith(f", {FILLING}")
    hashes = {one["fog_depth"].split()[3] for one in (found, others)}
    assert len(hashes) == 2
    assert found["fog_depth"] in found["fog_depth+rain"]


def test_sweeps_and_copies_ask_for_distances_before_they_begin(tmp_path):
    with pytest.raises(InputError, match="needs distances"):
        SweepOptions(protocol="driving").resolved(protocol="", batch_size=1)
    chosen = SweepOptions(protocol="driving", corruptions=["optics"])
    assert len(chosen.resolved(protocol="", batch_size=1).cells()) == 11
    given = SweepOptions(protocol="driving", depth=tmp_path).resolved(protocol="", batch_size=1)
    assert given.engine.depth == str(tmp_path)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/b.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    np.save(tmp_path / "b.npy", np.ones((HEIGHT, WIDTH), np.float32))
    asked = GenerateOptions("folder", "driving", label_maps=True)
    with pytest.raises(InputError, match="needs distances"):
        plan_copy(tmp_path / "images", tmp_path / "out", asked)
    engine = CorruptionEngine("fast", depth=str(tmp_path))
    plan = plan_copy(
        tmp_path / "images", tmp_path / "out", dataclasses.replace(asked, engine=engine)
    )
    assert FILLING in plan.custom["fog_depth"]
    (tmp_path / "b.npy").unlink()
    with pytest.raises(MissingFileError, match=r"image 'b\.png' has no depth"):
        plan_copy(tmp_path / "images", tmp_path / "out", dataclasses.replace(asked, engine=engine))
