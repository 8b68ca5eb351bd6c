"""The generated data set: deterministic, consistent, readable by public tools, safely written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from stl_backbones.datasets import mini
from stl_backbones.datasets.mini import generate, writers
from stl_backbones.datasets.street_scenes import scene as scenes
from stl_backbones.datasets.street_scenes.layout import FOOTPRINTS
from stl_backbones.datasets.street_scenes.light import WEATHERS, Light

ROOT = Path(__file__).parents[2]
SIZE = {"height": 128, "width": 256}
OPTIONS = {"seed": 3, "num_train": 3, "num_val": 2, "height": 64, "width": 128}
FEW_CROPS = {"car": ("car",), "person": ("person",)}


@pytest.fixture(scope="module")
def val_scenes():
    return [mini.render_scene(mini.VAL_OFFSET + n, **SIZE) for n in range(24)]


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    out = tmp_path_factory.mktemp("mini") / "data"
    assert mini.write_mini_data(out, **OPTIONS)
    return out


def tree(root):
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def run_tool(*args):
    search = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "tools/make_mini_data.py", *map(str, args)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": search}, capture_output=True, text=True,
        check=False, timeout=120,
    )  # fmt: skip


def test_a_scene_is_a_function_of_seed_and_index_in_any_order():
    first = [mini.render_scene(n, seed=5, **SIZE) for n in (4, 1)]
    again = [mini.render_scene(n, seed=5, **SIZE) for n in (1, 4)][::-1]
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert [i.category for i in one.instances] == [i.category for i in other.instances]


def test_another_seed_or_index_gives_another_scene():
    base = mini.render_scene(4, seed=5, **SIZE).labels
    assert np.mean(base != mini.render_scene(4, seed=6, **SIZE).labels) > 0.1
    assert np.mean(base != mini.render_scene(5, seed=5, **SIZE).labels) > 0.1


def test_scene_arrays_have_the_stated_types_and_sizes():
    scene = mini.render_scene(0)
    assert (scene.image.shape, scene.image.dtype) == ((192, 384, 3), np.uint8)
    assert (scene.labels.shape, scene.labels.dtype) == ((192, 384), np.uint8)
    assert {i.mask.dtype for i in scene.instances} == {np.dtype(bool)}


def test_every_class_is_well_represented_in_a_validation_split(val_scenes):
    labels = np.stack([scene.labels for scene in val_scenes])
    counts = np.bincount(labels.ravel(), minlength=256)
    assert set(np.flatnonzero(counts)) <= {*range(19), 255}
    assert counts[:19].min() > 1e-3 * labels.size
    shown_in = [sum((scene.labels == c).any() for scene in val_scenes) for c in range(19)]
    assert min(shown_in) >= 4


def test_instance_masks_and_labels_agree_pixel_for_pixel(val_scenes):
    for scene in val_scenes:
        things = np.full(scene.labels.shape, 255, np.uint8)
        for instance in scene.instances:
            assert instance.mask.any()
            assert (things[instance.mask] == 255).all()  # no pixel has two owners
            things[instance.mask] = instance.category
        counted = np.isin(scene.labels, (6, 7, *range(11, 19)))
        np.testing.assert_array_equal(things[counted], scene.labels[counted])
        assert (things[~counted] == 255).all()


def test_sky_is_above_road(val_scenes):
    rows = np.arange(128)[:, None] * np.ones((1, 256))
    for scene in val_scenes:
        assert rows[scene.labels == 10].mean() < rows[scene.labels == 0].mean()


@pytest.mark.parametrize("kind", sorted(FOOTPRINTS))
def test_an_object_is_drawn_large_and_reproducibly(kind):
    crop, again = (mini.render_object(kind, 2, size=64) for _ in range(2))
    assert crop.image.shape == (64, 64, 3)
    assert crop.image.std() > 8
    assert (crop.mask.shape, crop.mask.dtype) == ((64, 64), bool)
    assert 0.01 < crop.mask.mean() < 0.7
    np.testing.assert_array_equal(crop.image, again.image)
    np.testing.assert_array_equal(crop.mask, again.mask)


@pytest.mark.parametrize("kind", ["bus", "person", "tree"])
def test_a_mask_is_where_the_picture_changes_without_the_object(monkeypatch, kind):
    """Index 3 has a tree behind the tree, of the same category."""
    crop = mini.render_object(kind, 3, size=64)
    # The object is drawn last, after its mask.
    draw_nothing = {"name": "_draw", "value": lambda *_args: None}
    monkeypatch.setattr(
        scenes, "_outline", lambda *_args: monkeypatch.setattr(scenes, **draw_nothing)
    )
    without = mini.render_object(kind, 3, size=64).image
    change = np.abs(crop.image.astype(int) - without).mean(axis=2)
    inside = cv2.erode(crop.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    outside = cv2.dilate(crop.mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    assert np.median(change[inside]) > 20
    assert np.percentile(change[outside], 99) < 15  # the noise of the sensor is drawn anew


def test_a_ridden_bicycle_and_a_sign_are_without_rider_and_pole():
    ridden = mini.render_object("cyclist", 2, size=64).mask
    rows = np.flatnonzero(ridden.any(axis=1))
    assert rows.min() > 20  # the rider reaches up to row 3
    sign = mini.render_object("traffic_sign", 1, size=64).mask
    assert not sign[-10:].any()  # where the pole stands


def test_shade_of_a_surface_that_faces_the_sun():
    light = Light(WEATHERS[0], (0.0, 1.0, 0.0))
    # ambient + sun at distance 0, ambient alone where the surface turns away
    assert light.shade((100, 100, 100), 0.0, (0.0, 1.0, 0.0)) == pytest.approx((114, 114, 114))
    assert light.shade((100, 100, 100), 0.0, (0.0, -1.0, 0.0)) == pytest.approx((62, 66, 74))
    # at the visibility, exp(-1) of the colour is left and the rest is haze
    clear = np.exp(-1)
    expected = 114 * clear + np.array(WEATHERS[0].sky_low) * (1 - clear)
    np.testing.assert_allclose(light.shade((100, 100, 100), 260.0, (0.0, 1.0, 0.0)), expected)


def test_cityscapes_files_pair_up_and_hold_the_rendered_scene(data_root):
    scene = mini.render_scene(1, seed=3, height=64, width=128)
    city = data_root / "cityscapes"
    name = "train/mini/mini_000001"
    labels = cv2.imread(str(city / f"gtFine/{name}_gtFine_labelTrainIds.png"), cv2.IMREAD_UNCHANGED)
    image = cv2.imread(str(city / f"leftImg8bit/{name}_leftImg8bit.png"))
    np.testing.assert_array_equal(labels, scene.labels)
    np.testing.assert_array_equal(image[..., ::-1], scene.image)
    assert len(list((city / "gtFine/val/mini").iterdir())) == OPTIONS["num_val"]


def test_train_and_val_show_different_scenes(data_root):
    names = [data_root / f"cityscapes/leftImg8bit/{s}/mini" for s in ("train", "val")]
    train, val = ({path.read_bytes() for path in folder.iterdir()} for folder in names)
    assert not train & val


def test_pycocotools_reads_the_annotations(data_root, capsys):
    coco = COCO(data_root / "coco/annotations/instances_train2017.json")
    assert coco.getImgIds() == [1, 2, 3]
    assert coco.getCatIds(catNms=["traffic light"]) == [10]
    assert list(coco.cats) == [1, 2, 3, 4, 6, 7, 8, 10]
    picture = coco.loadImgs([3])[0]
    image = cv2.imread(str(data_root / "coco/train2017" / picture["file_name"]))
    assert image.shape == (picture["height"], picture["width"], 3) == (64, 128, 3)
    assert len(coco.getAnnIds()) > 5


def test_polygons_boxes_and_areas_describe_the_visible_mask(val_scenes):
    checked = 0
    for scene in val_scenes:
        height, width = scene.labels.shape
        for instance in scene.instances:
            found = writers.annotate(instance)
            if found is None:
                assert instance.category == 7 or instance.mask.sum() < writers.MIN_VISIBLE
                continue
            area = instance.mask.sum()
            assert found["area"] == area
            x, y, w, h = found["bbox"]
            assert instance.mask[y : y + h, x : x + w].sum() == area
            assert instance.mask[y].any()
            assert instance.mask[y + h - 1].any()
            assert instance.mask[:, x].any()
            assert instance.mask[:, x + w - 1].any()
            if area < 100:
                continue
            codes = coco_mask.frPyObjects(found["segmentation"], height, width)
            wanted = coco_mask.encode(np.asfortranarray(instance.mask.astype(np.uint8)))
            assert coco_mask.iou([coco_mask.merge(codes)], [wanted], [0])[0, 0] >= 0.8
            checked += 1
    assert checked > 100


def test_trace_follows_the_edges_of_the_pixels():
    mask = np.zeros((8, 10), bool)
    mask[2:5, 3:9] = True
    (polygon,) = writers.trace(mask)
    xs, ys = polygon[::2], polygon[1::2]
    # 3..9 by 2..5, less the eighth of a pixel that the enlarged trace costs
    assert (min(xs), max(xs), min(ys), max(ys)) == (3.125, 8.875, 2.125, 4.875)


def test_a_rider_is_a_person_to_coco():
    assert writers.TO_COCO[12] == writers.TO_COCO[11] == 1
    assert writers.annotate(mini.Instance(7, np.ones((8, 8), bool))) is None


def test_class_folders_are_balanced(data_root):
    for split in ("train", "val"):
        folders = sorted((data_root / "imagenet" / split).iterdir())
        assert [folder.name for folder in folders] == sorted(mini.CROP_CLASSES)
        assert {len(list(folder.glob("*.JPEG"))) for folder in folders} == {generate.MIN_CROPS}
    assert cv2.imread(str(next(folders[0].iterdir()))).shape == (64, 64, 3)


def test_every_crop_has_a_mask_beside_it(data_root):
    crops = {path.relative_to(data_root / "imagenet").with_suffix("")
             for path in data_root.glob("imagenet/*/*/*.JPEG")}  # fmt: skip
    masks = {path.relative_to(data_root / "imagenet_masks").with_suffix("")
             for path in data_root.glob("imagenet_masks/*/*/*.png")}  # fmt: skip
    assert crops == masks
    path = data_root / "imagenet_masks/val/bicycle/bicycle_000002.png"  # the third is ridden
    shown = mini.render_object("cyclist", mini.VAL_OFFSET + 2, seed=3)
    mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, 255 * shown.mask.astype(np.uint8))


def test_the_written_bytes_depend_on_the_options_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "CROP_CLASSES", FEW_CROPS)
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        mini.write_mini_data(tmp_path / name, **{**OPTIONS, "seed": seed})
    first, same, other = (tree(tmp_path / name) for name in "abc")
    assert first == same
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr(generate, "write_crops", fail)
    with pytest.raises(error):
        mini.write_mini_data(tmp_path / "data", **OPTIONS)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_folder_is_refused_and_kept(tmp_path):
    kept = tmp_path / "photo.png"
    kept.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="not a generated mini data set; choose another"):
        mini.write_mini_data(tmp_path, **OPTIONS)
    assert kept.read_bytes() == b"mine"


def test_the_same_options_again_change_nothing(data_root):
    before = {path: path.stat().st_mtime_ns for path in data_root.rglob("*")}
    assert not mini.write_mini_data(data_root, **OPTIONS)
    assert before == {path: path.stat().st_mtime_ns for path in data_root.rglob("*")}


def test_other_options_are_refused(data_root):
    with pytest.raises(FileExistsError, match="made with other options"):
        mini.write_mini_data(data_root, **{**OPTIONS, "seed": 4})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"height": 32}, "at least 128x64 pixels .* got 128x32"),
        ({"num_train": 0}, "training scenes must be in 1..1000000, got 0"),
        ({"num_val": -2}, "validation scenes must be 1 or more, got -2"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_bad_options_say_what_was_expected(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        mini.write_mini_data(tmp_path / "data", **{**OPTIONS, **change})
    assert list(tmp_path.iterdir()) == []


def test_unknown_kind_of_object():
    with pytest.raises(ValueError, match=r"kind must be one of .* got 'zebra'"):
        mini.render_object("zebra", 0)


def test_tool_writes_the_data_set(tmp_path):
    out = tmp_path / "new" / "data"
    done = run_tool(out, "--train", 1, "--val", 1, "--size", "128x64", "--seed", 7, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    options = {"height": 64, "num_train": 1, "num_val": 1, "seed": 7, "width": 128}
    assert json.loads((out / "mini.json").read_text())["options"] == options


def test_tool_says_that_the_data_set_is_already_there(data_root):
    done = run_tool(data_root, "--seed", 3, "--train", 3, "--val", 2, "--size", "128x64")
    assert done.returncode == 0
    # The last line alone: importing OpenMMLab may print lines of its own before it.
    said = f"{data_root}: already there, made with the same options"
    assert done.stdout.splitlines()[-1] == said


def test_tool_says_a_bad_size_in_one_line(tmp_path):
    done = run_tool(tmp_path / "data", "--size", "256")
    got = "--size must be WIDTHxHEIGHT, such as 256x128, up to 8192x8192, got '256'"
    expected = f"make_mini_data.py: error: {got}\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)
