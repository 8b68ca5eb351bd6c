"""The views: geometry, appearance, and timm's own pipeline as the reference."""

import random
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from timm.data import create_transform
from timm.data.auto_augment import LEVEL_TO_ARG, NAME_TO_OP, rand_augment_transform
from timm.data.transforms import RandomResizedCropAndInterpolation

from stl_backbones.datasets.rand_augment import (
    FILL,
    SPATIAL,
    Operation,
    RandAugmentPolicy,
    draw_arguments,
)
from stl_backbones.datasets.two_views import (
    CenterCropViews,
    PackViews,
    RandAugmentViews,
    RandomFlipViews,
    RandomResizedCropViews,
    TwoViews,
    draw_crop,
    start_item,
)

POLICY = "rand-m9-mstd0.5-inc1"
PHOTOMETRIC = sorted(op.name for op in RandAugmentPolicy(POLICY).ops if op.name not in SPATIAL)
SIZE = 64


@pytest.fixture(scope="module")
def photo():
    """Smooth colours with some noise, 100x75."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(small.resize((100, 75), Image.Resampling.BICUBIC)).astype(int)
    return Image.fromarray((smooth + rng.integers(-9, 10, (75, 100, 3))).clip(0, 255).astype("u1"))


def coordinates(width=100, height=75):
    """An image that says where a pixel is from: red is twice the column, green twice the row."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return Image.fromarray(np.stack([2 * x, 2 * y, 0 * x], axis=-1).astype(np.uint8))


def views(image, seed=0, *, labeler_view=("spatial",), policy=POLICY, prob=0.5):
    """Both views of an image, as arrays (H, W, 3)."""
    steps = [
        TwoViews(labeler_view=labeler_view),
        RandomResizedCropViews(SIZE),
        RandomFlipViews(prob),
        RandAugmentViews(policy),
        PackViews(),
    ]
    item = start_item(image, rng=np.random.default_rng(seed), label=3, path="a.jpg")
    for step in steps:
        item = step(item)
    return tuple(item[name].permute(1, 2, 0).numpy() for name in ("student", "labeler"))


def unchanged(image, *_, **__):
    return image


NO_PHOTOMETRY = dict.fromkeys(PHOTOMETRIC, unchanged)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_both_views_show_the_same_places(seed):
    image, policy = coordinates(), "rand-m9-n4-p0.9-mstd0.5-inc1"
    _, labeler = views(image, seed, policy=policy)
    with mock.patch.dict(NAME_TO_OP, NO_PHOTOMETRY):
        placed, alone = views(image, seed, policy=policy)
    assert np.array_equal(placed, labeler)
    assert np.array_equal(alone, labeler)


@given(st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_no_photometric_operation_reaches_the_labeler(seed):
    item = start_item(coordinates(), rng=np.random.default_rng(seed), label=0, path="")
    step = RandAugmentViews("rand-m9-n4-p0.9-mstd0.5-inc1")
    with mock.patch.dict(NAME_TO_OP, dict.fromkeys(PHOTOMETRIC, solid)):
        item = step(TwoViews()(item))
    # Neither the source nor the fill is white; a photometric operation makes all of it white.
    assert np.asarray(item["views"]["labeler"]).min(axis=-1).max() < 200
    names = [op.name for op in step.policy.draw(np.random.default_rng(seed))]
    is_changed = any(name in PHOTOMETRIC for name in names)
    assert (item["views"]["student"] is item["views"]["labeler"]) is not is_changed


def solid(image, *_, **__):
    return Image.new("RGB", image.size, (255, 255, 255))


def edges(view):
    """Where colours change, at full contrast wherever they do."""
    return np.sqrt(np.abs(np.diff(view.astype(float), axis=0)).max(axis=-1))


def test_geometry_survives_real_photometric_operations():
    """Edges stay where they are, whatever the colours become: no shift fits better than none."""
    blocks = np.random.default_rng(0).integers(0, 256, (15, 20, 3), dtype=np.uint8)
    image = Image.fromarray(blocks).resize((400, 300), Image.Resampling.NEAREST)
    checked = 0
    for seed in range(120):
        student, labeler = (edges(view) for view in views(image, seed))
        if np.array_equal(student, labeler) or student.std() == 0:
            continue  # nothing photometric was drawn, or it left one colour
        shifts = [(0, 0), (0, 3), (0, -3), (3, 0), (-3, 0)]
        fits = [
            np.corrcoef(np.roll(student, shift, axis=(0, 1)).ravel(), labeler.ravel())[0, 1]
            for shift in shifts
        ]
        assert fits[0] > max(fits[1:]), (seed, fits)
        checked += 1
    assert checked > 30


def test_geometry_is_the_affine_map_that_was_drawn():
    operation = Operation("TranslateXRel", (0.25,), Image.Resampling.BILINEAR)
    moved = np.asarray(operation.apply(coordinates(80, 60)))
    assert np.array_equal(moved[:, :60, 0], np.tile(2 * np.arange(20, 80), (60, 1)))
    assert np.all(moved[:, 60:] == FILL)


@pytest.mark.parametrize(
    ("shares", "same"),
    [
        (("spatial",), False),
        (("spatial", "random_erasing"), False),
        (("spatial", "rand_augment", "random_erasing"), True),
        (("spatial", "rand_augment", "random_erasing", "mixup", "cutmix"), True),
    ],
)
def test_table_6_is_a_choice(photo, shares, same):
    pairs = [views(photo, seed, labeler_view=shares) for seed in range(12)]
    assert all(np.array_equal(*pair) for pair in pairs) is same


def test_without_two_views_there_is_one(photo):
    item = start_item(photo, rng=np.random.default_rng(0), label=3, path="a.jpg")
    for step in (RandomResizedCropViews(SIZE), RandAugmentViews(POLICY), PackViews()):
        item = step(item)
    assert set(item) == {"student", "label", "path"}
    assert (item["student"].shape, item["student"].dtype) == ((3, SIZE, SIZE), torch.uint8)


def test_nothing_is_drawn_from_global_generators(photo):
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first = [views(photo, seed) for seed in range(20)]
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    again = [views(photo, seed) for seed in range(20)]
    assert np.array_equal(np.array(first), np.array(again))


class TimmDraws:
    """A generator that draws as timm does, from the global generators."""

    def random(self):
        return random.random()

    def uniform(self, low, high):
        return random.uniform(low, high)

    def normal(self, mean, deviation):
        return random.gauss(mean, deviation)

    def integers(self, stop):
        return random.randrange(stop)

    def choice(self, count, size, *, replace, p):
        return np.random.choice(count, size, replace=replace, p=p)  # noqa: NPY002


@pytest.mark.parametrize("policy", [POLICY, "rand-m7-n3-p0.8", "rand-m5-mstd101-tweights-inc1"])
@pytest.mark.parametrize("interpolation", ["random", "bicubic"])
def test_the_student_s_view_is_timm_s_pixel_for_pixel(monkeypatch, photo, policy, interpolation):
    hparams = {"img_mean": FILL}
    if interpolation == "bicubic":
        hparams["interpolation"] = Image.Resampling.BICUBIC
    theirs = [
        RandomResizedCropAndInterpolation(SIZE, interpolation=interpolation),
        rand_augment_transform(policy, hparams),
    ]
    ours = [
        RandomResizedCropViews(SIZE, interpolation=interpolation),
        RandAugmentViews(policy, interpolation=interpolation),
    ]
    posterize = ImageOps.posterize
    monkeypatch.setattr(ImageOps, "posterize", lambda image, bits: posterize(image, max(1, bits)))
    for seed in range(40):
        results = []
        for steps in (theirs, ours):
            random.seed(seed)
            np.random.seed(seed)  # noqa: NPY002
            value = photo
            if steps is ours:
                value = start_item(photo, rng=TimmDraws(), label=0, path="")
            for step in steps:
                value = step(value)
            results.append(value if steps is theirs else value["views"]["student"])
        assert np.array_equal(*map(np.asarray, results)), seed


@pytest.mark.parametrize("name", sorted(set(LEVEL_TO_ARG) - {"TranslateX", "TranslateY"}))
@pytest.mark.parametrize("draw", [0.2, 0.8])
def test_arguments_are_timm_s(name, draw):
    rng = mock.Mock(random=lambda: draw)
    for magnitude in (0.0, 3.3, 9.0, 10.0):
        with mock.patch("random.random", return_value=draw):
            expected = LEVEL_TO_ARG[name](magnitude, {}) if LEVEL_TO_ARG[name] else ()
        expected = [max(1, *expected)] if "Posterize" in name else expected
        assert draw_arguments(name, magnitude, rng=rng) == pytest.approx(tuple(expected))


def test_every_policy_operation_is_spatial_or_photometric():
    """A new operation of timm's that moves pixels must not pass for a photometric one."""
    names = ("AutoContrast", "Brightness", "Color", "Contrast", "Equalize", "Invert", "Posterize",
             "Sharpness", "Solarize", "SolarizeAdd")  # fmt: skip
    assert sorted(name.removesuffix("Increasing") for name in PHOTOMETRIC) == list(names)


@given(
    st.tuples(st.integers(1, 400), st.integers(1, 400)), st.integers(0, 2**32), st.floats(0.01, 1)
)
@settings(max_examples=200, deadline=None)
def test_a_crop_is_inside(size, seed, least):
    left, top, right, bottom = draw_crop(size, rng=np.random.default_rng(seed), scale=(least, 1.0))
    assert 0 <= left < right <= size[0]
    assert 0 <= top < bottom <= size[1]


@pytest.mark.parametrize("size", [(100, 75), (75, 100), (301, 299), (64, 64), (40, 90)])
@pytest.mark.parametrize("crop_ratio", [1.0, 0.875])
def test_evaluation_is_timm_s(size, crop_ratio):
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    reference = create_transform(
        SIZE, crop_pct=crop_ratio, interpolation="bicubic", use_prefetcher=True
    )
    item = start_item(image, rng=rng, label=0, path="")
    ours = PackViews()(CenterCropViews(SIZE, crop_ratio=crop_ratio)(item))["student"]
    assert torch.equal(ours, reference(image))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TwoViews(labeler_view=["colour"]), "labeler_view must be a list of spatial, ran"),
        (lambda: TwoViews(labeler_view="spatial"), "must be a list of .*, got 'spatial'"),
        (lambda: TwoViews(labeler_view=["mixup"]), "must hold 'spatial', got \\['mixup'\\]"),
        (lambda: RandAugmentViews("augmix-m3"), "'rand-m9-mstd0.5-inc1', got 'augmix-m3'"),
        (lambda: RandAugmentViews("rand-x9"), "of the form .*, got 'rand-x9'"),
        (lambda: RandomResizedCropViews(interpolation="box"), "bilinear, bicubic, random, got 'bo"),
        (lambda: CenterCropViews(interpolation="random"), "one of bilinear, bicubic, got 'random'"),
    ],
)
def test_bad_values_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_labeler_s_view_cannot_be_added_too_late(photo):
    item = start_item(photo, rng=np.random.default_rng(0), label=0, path="")
    with pytest.raises(ValueError, match="TwoViews must come before RandAugmentViews"):
        TwoViews()(RandAugmentViews(POLICY)(item))
