"""The class lists of ImageNet-1K, -A and -R."""

from importlib import resources

import pytest

from stl_backbones.datasets.imagenet_classes import (
    are_validation_images,
    imagenet_wnids,
    subset_indices,
    subset_wnids,
)


def test_the_thousand_are_in_the_order_of_their_names():
    wnids = imagenet_wnids()
    assert len(set(wnids)) == 1000
    assert list(wnids) == sorted(wnids)
    assert (wnids[0], wnids[217]) == ("n01440764", "n02102040")  # tench, English springer


@pytest.mark.parametrize(("name", "file"), [("ImageNet-A", "a"), ("ImageNet-R", "r")])
def test_subsets_are_timms_lists_of_names_too(name, file):
    listed = (resources.files("timm.data") / f"_info/imagenet_{file}_synsets.txt").read_text()
    assert subset_wnids(name) == tuple(listed.split())
    assert len(subset_indices(name)) == 200


def test_they_share_86_classes():
    assert len({*subset_wnids("ImageNet-A")} & {*subset_wnids("ImageNet-R")}) == 86


NAME = "n01440764/ILSVRC2012_val_{:08d}{}"


@pytest.mark.parametrize(
    ("keys", "total", "classes", "expected"),
    [
        ([NAME.format(7, ".JPEG"), NAME.format(50000, ".png")], 2, 1, True),
        ([NAME.format(7, "_n01440764.JPEG")], 50_000, 1000, True),
        (["n01440764/7.JPEG"], 50_000, 1000, True),
        (["n01440764/7.JPEG"], 10_000, 1000, False),  # ImageNet-V2
        (["n01440764/n01440764_7.JPEG"], 1, 1, False),  # training images
        ([NAME.format(7, ".JPEG"), "n01440764/7.JPEG"], 2, 1, False),
        (["tench/ILSVRC2012_val_00000007.JPEG"], 50_000, 1000, False),
        (["n01440764/ILSVRC2012_val_000000071.JPEG"], 1, 1, False),
        ([], 0, 0, False),
    ],
)
def test_what_marks_imagenets_validation_images(keys, total, classes, expected):
    assert are_validation_images(keys, total=total, classes=classes) is expected
