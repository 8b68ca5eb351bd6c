"""Resize and crop, pixel for pixel against timm's transforms and the training's own."""

import numpy as np
import pytest
from PIL import Image
from timm.data import create_transform

from stl_backbones.copies.images import read_image
from stl_backbones.datasets.two_views import CenterCropViews, start_item
from stl_backbones.datasets.views import IMAGENET_C_VIEW, View


def picture(width, height):
    pixels = np.random.default_rng(width).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("size", [(500, 375), (375, 501), (100, 90), (64, 64), (333, 1000)])
@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize(("crop_pct", "interpolation"), [(0.875, "bilinear"), (1.0, "bicubic")])
def test_equals_timms_transform(size, mode, crop_pct, interpolation):
    image = picture(*size)
    transform = create_transform(
        (3, 64, 64), is_training=False, use_prefetcher=True, interpolation=interpolation,
        crop_pct=crop_pct, crop_mode=mode,
    )  # fmt: skip
    view = View.of_crop_pct(64, crop_pct, interpolation=interpolation, mode=mode)
    assert np.array_equal(view(image), np.asarray(transform(image)).transpose(1, 2, 0))


def test_equals_the_validation_view_of_pretraining():
    image = picture(500, 375)
    item = start_item(image, rng=np.random.default_rng(0), label=0, path="x")
    expected = CenterCropViews(224, crop_ratio=0.9)(item)["views"]["student"]
    view = View.of_crop_pct(224, 0.9, interpolation="bicubic")
    assert np.array_equal(view(image), np.array(expected))


def test_equals_the_crop_of_generated_copies(tmp_path):
    picture(500, 375).save(tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as image:
        assert np.array_equal(IMAGENET_C_VIEW(image), read_image(tmp_path / "x.png", crop=True))


def test_in_words():
    view = View.of_crop_pct(224, 0.9, interpolation="bicubic")
    assert str(view) == "center crop 224 of 248 bicubic"


def test_resized_keeps_what_fits():
    image = np.zeros((64, 64, 3), np.uint8)
    assert View(64, 73).resized(image) is image
    assert View(32, 32).resized(image).shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: View(224, 256, "cubic"), "interpolation must be one of nearest.* got 'cubic'"),
        (lambda: View(224, 256, mode="border"), "crop mode must be one of .* got 'border'"),
        (lambda: View(224, 200), r"the crop must be in 1..200 .* got 224"),
        (lambda: View.of_crop_pct(224, 1.5, interpolation="box"), "at most 1, got 1.5"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
