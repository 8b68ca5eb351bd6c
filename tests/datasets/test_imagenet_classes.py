"""The class lists of ImageNet-1K, -A and -R."""

from importlib import resources

import pytest

from stl_backbones.datasets.imagenet_classes import imagenet_wnids, subset_indices, subset_wnids


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
