"""Pipeline steps: corruption on RGB, labels that are classes, a cast."""

from __future__ import annotations

import numpy as np
import pytest
from mmengine.registry import TRANSFORMS

from stl_backbones.corruptions import corrupt
from stl_backbones.datasets.transforms import CheckSegMap, CorruptImage, corrupt_bgr
from stl_backbones.records import CorruptionEngine, CorruptionSpec


@pytest.fixture
def rgb():
    picture = np.random.default_rng(1).integers(0, 100, (40, 50, 3))
    picture[:20, :, 0] += 150
    return picture.astype(np.uint8)


@pytest.fixture
def results(rgb):
    """What OpenMMLab's loaders hand on: BGR."""
    image = np.ascontiguousarray(rgb[..., ::-1])
    return {"img": image, "img_path": "/data/images/val/a.png", "img_shape": (40, 50)}


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize("name", ["frost", "jpeg_compression", "gaussian_noise"])
def test_corrupts_as_the_engine_does_on_rgb(rgb, results, name, order):
    step = CorruptImage(name, 3, seed=5, channel_order=order, image_root="/data/images")
    ours = step(results)["img"]
    expected = corrupt(rgb, name, 3, key="val/a.png", seed=5, channel_order=order)
    np.testing.assert_array_equal(ours[..., ::-1], expected)
    assert ours.flags.c_contiguous


def test_without_a_root_the_key_is_the_files_name(rgb, results):
    ours = CorruptImage("gaussian_noise", 2)(results)["img"]
    expected = corrupt(rgb, "gaussian_noise", 2, key="a.png")
    np.testing.assert_array_equal(ours[..., ::-1], expected)


def test_a_moved_data_set_gives_the_same_draw(results):
    moved = {**results, "img_path": "/elsewhere/val/a.png"}
    one = CorruptImage("gaussian_noise", 2, image_root="/data/images")(results)["img"]
    other = CorruptImage("gaussian_noise", 2, image_root="/elsewhere")(moved)["img"]
    np.testing.assert_array_equal(one, other)


def test_nothing_but_the_image_changes(results):
    before = {name: value for name, value in results.items() if name != "img"}
    after = CorruptImage("fog", 1)(results)
    assert {name: value for name, value in after.items() if name != "img"} == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"corruption": "fogg", "severity": 1}, KeyError, "did you mean fog"),
        ({"corruption": "fog", "severity": 6}, ValueError, "severity must be"),
        ({"corruption": "fog", "severity": 1, "mode": "x"}, ValueError, "mode must be one of"),
        ({"corruption": "fog", "severity": 1, "channel_order": "x"}, ValueError, "channel order"),
        ({"corruption": "fog", "severity": 1, "compat": "x"}, ValueError, "compat must be one of"),
    ],
)
def test_bad_options_are_refused_when_built(arguments, error, message):
    with pytest.raises(error, match=message):
        CorruptImage(**arguments)


def test_mmengine_builds_the_steps_by_name():
    step = TRANSFORMS.build(
        {"type": "stl_backbones.CorruptImage", "corruption": "fog", "severity": 2}
    )
    assert (type(step), step.spec.name, step.spec.severity) == (CorruptImage, "fog", 2)


def test_the_step_is_fast_unless_set_otherwise():
    assert CorruptImage("fog", 2).spec == CorruptionSpec("fog", 2)
    asked = {"mode": "exact", "compat": "imagecorruptions-1.1.2", "seed": 4}
    assert CorruptImage("fog", 2, **asked).spec == CorruptionSpec(
        "fog", 2, CorruptionEngine(**asked)
    )


def seg(labels, path="/data/labels/a.png"):
    return {"gt_seg_map": np.asarray(labels, np.uint8), "seg_map_path": path}


def test_labels_that_are_classes_pass_unchanged():
    given = seg([[0, 1], [18, 255]])
    passed = CheckSegMap(num_classes=19)(given)["gt_seg_map"]
    np.testing.assert_array_equal(passed, [[0, 1], [18, 255]])


def test_foreign_labels_are_named_with_their_file():
    message = r"a\.png' holds labels that are no class: expected 0\.\.18 or 255, got \[19, 33\]"
    with pytest.raises(ValueError, match=message):
        CheckSegMap(num_classes=19)(seg([[0, 33], [19, 255]]))


def test_another_ignored_label():
    step = CheckSegMap(num_classes=2, ignore_index=7)
    step(seg([[0, 7]]))
    with pytest.raises(ValueError, match=r"expected 0\.\.1 or 7, got \[255\]"):
        step(seg([[0, 255]]))


def test_a_label_map_of_many_channels():
    with pytest.raises(ValueError, match=r"must have one channel, got shape \(2, 2, 3\)"):
        CheckSegMap(num_classes=19)(seg(np.zeros((2, 2, 3))))


def test_labels_beyond_8_bit_are_named_too():
    wide = {"gt_seg_map": np.array([[0, 300]], np.int64), "seg_map_path": "a.png"}
    with pytest.raises(ValueError, match=r"got \[300\]"):
        CheckSegMap(num_classes=19)(wide)


def test_gray_images_are_corrupted_as_colour_ones():
    gray = np.random.default_rng(2).integers(0, 256, (40, 50), dtype=np.uint8)
    spec = CorruptionSpec("gaussian_noise", 3)
    colour = corrupt_bgr(np.stack([gray] * 3, axis=-1), spec, key="a.png")
    luma = colour @ [0.114, 0.587, 0.299]  # of blue, green and red, ITU-R BT.601
    found = corrupt_bgr(gray, spec, key="a.png")
    assert (found.shape, found.dtype) == (gray.shape, np.uint8)
    assert np.abs(found - luma).max() <= 0.501
    assert np.abs(found.astype(int) - gray).mean() > 5


def test_what_is_no_8_bit_image_is_refused():
    with pytest.raises(ValueError, match="uint8"):
        corrupt_bgr(np.zeros((8, 8, 3), np.float32), CorruptionSpec("fog", 1), key="a")
