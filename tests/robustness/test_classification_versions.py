"""Versions of a block of images, against the corruptions called by hand."""

import io
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from stl_backbones.copies.images import JPEG_HENDRYCKS
from stl_backbones.corruptions import corrupt
from stl_backbones.corruptions.torch_backend import corrupt_keyed
from stl_backbones.datasets import labelled_images
from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.datasets.labelled_images import find_images
from stl_backbones.datasets.views import IMAGENET_C_VIEW, View
from stl_backbones.records import CLEAN, Cell, CorruptionEngine
from stl_backbones.robustness import classifier_versions
from stl_backbones.robustness.classifier_versions import (
    ClassifierVersions,
    ViewRules,
    default_rule,
    notes_of_size,
)
from stl_backbones.robustness.runner import split_blocks
from stl_backbones.robustness.versions import Part, load_versions

ENGINE = CorruptionEngine("fast", seed=3)
VIEW = View(48, 56, "bicubic")
CELLS = (CLEAN, Cell("gaussian_noise", 3), Cell("frost", 2))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("val")
    rng = np.random.default_rng(0)
    for number in range(7):
        path = root / ("ant" if number < 4 else "bee") / f"{number}.JPEG"
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (70, 90, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return find_images(ImageNetFolder(root, "", pipeline=[]), ("ant", "bee"), kind="farm")


def by_hand(images, index, cell, view=VIEW):
    with Image.open(images.path(index)) as image:
        crop = view(image)
    key = images.keys[index]
    return (
        crop
        if cell.is_clean
        else corrupt(crop, cell.corruption, cell.severity, key=key, mode="fast", seed=3)
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_blocks_in_cells(images, workers):
    dataset = ClassifierVersions(images, ViewRules(VIEW, "model", ENGINE))
    blocks = split_blocks(len(images), 3)
    batches = list(load_versions(dataset, list(map(tuple, blocks)), CELLS, workers=workers))
    assert [len(batch) for batch in batches] == [2] * 3 + [2] * 3 + [3] * 3
    expected = [
        np.stack([by_hand(images, index, cell) for index in block])
        for block in blocks
        for cell in CELLS
    ]
    for batch, pixels in zip(batches, expected, strict=True):
        assert np.array_equal(batch.numpy(), pixels)


def test_each_image_is_decoded_once(images):
    dataset = ClassifierVersions(images, ViewRules(VIEW, "imagenet-c-resized", ENGINE))
    with mock.patch.object(labelled_images, "read_rgb", wraps=labelled_images.read_rgb) as read:
        list(
            load_versions(dataset, list(map(tuple, split_blocks(len(images), 3))), CELLS, workers=0)
        )
    assert sorted(call.args[0] for call in read.mock_calls) == sorted(
        images.path(index) for index in range(len(images))
    )


def test_blocks_are_nearly_equal():
    assert [len(block) for block in split_blocks(250, 64)] == [62, 63, 62, 63]
    assert split_blocks(5, 64) == [range(5)]
    assert [index for block in split_blocks(100, 7) for index in block] == list(range(100))


def test_imagenet_cs_crop_and_jpeg(images):
    rules = ViewRules(View(224, 250), "imagenet-c", ENGINE, jpeg85=True)
    (made,) = ClassifierVersions(images, rules)[Part((1,), CELLS[1])]
    encoded = JPEG_HENDRYCKS.encode(by_hand(images, 1, CELLS[1], view=IMAGENET_C_VIEW))
    with Image.open(io.BytesIO(encoded)) as expected:
        assert np.array_equal(made, np.array(expected))


def test_resized_after_corruption(images):
    rules = ViewRules(VIEW, "imagenet-c-resized", ENGINE)
    (made,) = ClassifierVersions(images, rules)[Part((0,), CELLS[2])]
    large = Image.fromarray(by_hand(images, 0, CELLS[2], view=IMAGENET_C_VIEW))
    assert np.array_equal(made, np.array(large.resize((48, 48), Image.Resampling.BICUBIC)))


@pytest.fixture
def folders(images, tmp_path):
    """A copy whose files have 48x48 pixels, in one cell."""
    for number, key in enumerate(images.keys):
        path = (tmp_path / key).with_suffix(".png")
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (48, 48, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return {CELLS[1]: tmp_path}


def test_files_are_taken_as_they_are_or_through_the_models_crop(images, folders):
    with Image.open(folders[CELLS[1]] / "ant/2.png") as opened:
        file = opened.convert("RGB")
    part = Part((2,), CELLS[1])
    for rule, expected in (("imagenet-c-resized", np.array(file)), ("model", VIEW(file))):
        rules = ViewRules(VIEW, rule, ENGINE, folders=folders)
        assert np.array_equal(ClassifierVersions(images, rules)[part][0], expected)


def test_files_of_another_size_are_refused(images, folders):
    rules = ViewRules(View(224, 256), "imagenet-c", ENGINE, folders=folders)
    with pytest.raises(ValueError, match=r"is 48x48, the network takes 224; choose --resize-rule"):
        ClassifierVersions(images, rules)[Part((0,), CELLS[1])]


def test_a_truncated_file_is_named_with_its_cell(images, folders):
    path = folders[CELLS[1]] / "ant/0.png"
    path.write_bytes(path.read_bytes()[:2000])
    rules = ViewRules(VIEW, "model", ENGINE, folders=folders)
    with pytest.raises(
        ValueError, match=r"gaussian_noise-3, image 'ant/0.JPEG': .*ant/0.png' cannot"
    ):
        ClassifierVersions(images, rules)[Part((0,), CELLS[1])]


def test_rules_that_do_not_fit():
    with pytest.raises(
        ValueError, match="ImageNet-C's images have 224 pixels, the network takes 48"
    ):
        ViewRules(VIEW, "imagenet-c", ENGINE)
    with pytest.raises(ValueError, match=r"resize rule must be one of model, .* got 'none'"):
        ViewRules(VIEW, "none", ENGINE)


def test_an_image_gone_bad_meanwhile_is_named_and_no_other(tmp_path):
    for number in range(4):
        path = tmp_path / ("ant" if number < 2 else "bee") / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (70, 90), (number, 9, 200)).save(path)
    images = find_images(ImageNetFolder(tmp_path, "", pipeline=[]), ("ant", "bee"), kind="farm")
    path.write_bytes(b"no image any more")
    dataset = ClassifierVersions(images, ViewRules(VIEW, "model", ENGINE))
    with pytest.raises(ValueError, match=r"bee/3\.png' is no image") as caught:
        dataset[Part((0, 1, 2, 3), CLEAN)]
    assert "ant/0" not in str(caught.value)


@pytest.fixture
def seen_together():
    """The sizes of the batches that are corrupted together."""
    sizes = []

    def spy(crops, spec, *, keys):
        sizes.append(len(crops))
        return corrupt_keyed(crops, spec, keys=keys)

    with mock.patch.object(classifier_versions, "corrupt_keyed", spy):
        yield sizes


TORCH = CorruptionEngine("torch", seed=3)
RULES = {
    "the model's view": ViewRules(VIEW, "model", TORCH),
    "as JPEG": ViewRules(VIEW, "model", TORCH, jpeg85=True),
    "of another size": ViewRules(VIEW, "imagenet-c-resized", TORCH),
    "seen as BGR": ViewRules(VIEW, "model", CorruptionEngine("torch", channel_order="bgr")),
}
TORCH_CELLS = (CLEAN, Cell("gaussian_noise", 3), Cell("glass_blur", 1), Cell("fog", 2.5))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_the_torch_engine_corrupts_batches_as_single_images(images, seen_together, rules, workers):
    dataset = ClassifierVersions(images, rules)
    groups = [(0, 1, 2), (3, 4)]
    made = list(load_versions(dataset, groups, TORCH_CELLS, workers=workers, in_this_process=True))
    assert seen_together == [3, 3, 2, 2]  # glass_blur has no parallel form
    alone = ClassifierVersions(images, rules)
    expected = [
        np.stack([alone.make(index, cell) for index in group])
        for group in groups
        for cell in TORCH_CELLS
    ]
    for batch, pixels in zip(made, expected, strict=True):
        assert np.array_equal(batch.numpy(), pixels)


@pytest.mark.parametrize(
    ("size", "strengths", "count"), [(32, "imagenet", 1), (40, "imagenet", 0), (32, "cifar10", 0)]
)
def test_images_of_cifar_s_size_under_other_constants_are_noted(images, size, strengths, count):
    rules = ViewRules(View(size, size), "model", CorruptionEngine(strengths=strengths))
    notes = list(notes_of_size(rules, "imagenet-c", images))
    assert [note[:30] for note in notes] == ["images of 32x32 pixels are cor"] * count


def test_a_crop_that_is_too_small_is_named(images):
    dataset = ClassifierVersions(images, ViewRules(View(20, 24), "model", TORCH))
    with pytest.raises(ValueError, match=r"fog-1, image 'ant/0\.JPEG'.* 32"):
        dataset[Part((0, 1), Cell("fog", 1))]


@pytest.mark.parametrize(
    ("size", "rule"), [((90, 70), "model"), ((224, 224), "imagenet-c"), ((45, 35), "imagenet-c")]
)
def test_a_copy_of_the_clean_images_size_goes_the_same_way(images, size, rule, tmp_path):
    path = (tmp_path / images.keys[0]).with_suffix(".png")
    path.parent.mkdir()
    Image.new("RGB", size).save(path)
    assert default_rule(images, {CELLS[1]: tmp_path}) == rule
    assert default_rule(images, None) == "model"


def test_an_image_can_be_corrupted_before_it_is_resized(images):
    found = ClassifierVersions(images, ViewRules(VIEW, "image", ENGINE))[Part((3,), CELLS[1])][0]
    with Image.open(images.path(3)) as opened:
        whole = np.array(opened.convert("RGB"))
    made = corrupt(whole, "gaussian_noise", 3, key=images.keys[3], mode="fast", seed=3)
    assert np.array_equal(found, VIEW(Image.fromarray(made)))
