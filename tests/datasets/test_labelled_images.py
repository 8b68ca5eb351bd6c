"""Class folders as labelled images: labels, limits, and folders that do not fit."""

import numpy as np
import pytest
from PIL import Image

from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.datasets.imagenet_classes import imagenet_wnids, subset_wnids
from stl_backbones.datasets.labelled_images import choose_classes, find_images

WNIDS = imagenet_wnids()
CLASSES = ("ant", "bee", "cow", "doe")


def fill(root, names, per_class=2):
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            pixels = rng.integers(0, 256, (40, 48, 3), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.JPEG")
    return ImageNetFolder(root, "", pipeline=[])


def find(folder, classes=CLASSES, **options):
    return find_images(folder, classes, kind="farm", **options)


def test_labels_are_positions_in_the_given_order(tmp_path):
    images = find(fill(tmp_path, CLASSES), classes=CLASSES[::-1])
    assert images.keys[:3] == ("ant/0.JPEG", "ant/1.JPEG", "bee/0.JPEG")
    assert images.labels.tolist() == [3, 3, 2, 2, 1, 1, 0, 0]
    assert images.labels.dtype == np.int32
    assert images.path(2) == tmp_path / "bee/0.JPEG"


def test_a_limit_spreads_over_the_classes(tmp_path):
    images = find(fill(tmp_path, CLASSES), limit=4)
    assert [key[:3] for key in images.keys] == list(CLASSES)
    assert (len(images), images.total) == (4, 8)


def test_classes_without_images_need_leave(tmp_path):
    folder = fill(tmp_path, ("ant", "cow"))
    with pytest.raises(ValueError, match=r"no folder of 2 of the 4 classes of farm \(bee, doe\)"):
        find(folder)
    images = find(folder, allow_missing=True)
    assert images.absent == ("bee", "doe")
    assert images.labels.tolist() == [0, 0, 2, 2]


def test_an_unknown_folder_is_refused_even_then(tmp_path):
    folder = fill(tmp_path, ("ant", "elk"))
    with pytest.raises(ValueError, match=r"1 folders that are no class of farm \(elk\)"):
        find(folder, allow_missing=True)


@pytest.mark.parametrize(("name", "option"), [("ImageNet-A", "a"), ("ImageNet-R", "r")])
def test_another_benchmarks_folder_is_recognised(tmp_path, name, option):
    folder = fill(tmp_path, subset_wnids(name), per_class=1)
    with pytest.raises(
        ValueError, match=f"200 classes of {name}, .* give it as --imagenet-{option}"
    ):
        find(folder, classes=WNIDS, allow_missing=True)


def test_a_truncated_image_is_named_or_left_out(tmp_path):
    folder = fill(tmp_path, CLASSES)
    broken = tmp_path / "bee/1.JPEG"
    broken.write_bytes(broken.read_bytes()[:400])
    with pytest.raises(ValueError, match=r"bee/1.JPEG' is truncated.* \(1 of 8 images are"):
        find(folder)
    images = find(folder, skip_broken=True)
    assert images.skipped == ("bee/1.JPEG",)
    assert len(images) == 7
    assert "bee/1.JPEG" not in images.keys


def test_bytes_behind_the_end_of_a_jpeg_are_no_damage(tmp_path):
    folder = fill(tmp_path, CLASSES)
    with (tmp_path / "bee/1.JPEG").open("ab") as file:
        file.write(bytes(500))
    assert len(find(folder)) == 8


def test_the_fingerprint_follows_bytes_and_names(tmp_path):
    one = find(fill(tmp_path / "a", CLASSES)).fingerprint
    assert find(fill(tmp_path / "b", CLASSES)).fingerprint == one
    (tmp_path / "b/ant/0.JPEG").rename(tmp_path / "b/ant/9.JPEG")
    assert find(ImageNetFolder(tmp_path / "b", "", pipeline=[])).fingerprint != one


def test_classes_are_the_checkpoints_then_imagenets_then_the_folders(tmp_path):
    found = ("b", "a")
    assert choose_classes(found, 2, recorded=("y", "x"), root=tmp_path) == ("y", "x")
    assert choose_classes(found, 1000, recorded=None, root=tmp_path) == WNIDS
    assert choose_classes(found, 2, recorded=None, root=tmp_path) == ("a", "b")
    with pytest.raises(ValueError, match=r"the model has 3 classes, '.*' 2 class folders"):
        choose_classes(found, 3, recorded=None, root=tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"<html>404</html>" * 9, r"bee/1\.JPEG' is no image \(1 of 8 images are broken"),
        (b"", r"bee/1\.JPEG' is empty \(1 of 8"),
        (None, r"bee/1\.JPEG' does not exist, or is no file \(1 of 8"),
    ],
)
def test_what_is_no_image_is_found_before_the_sweep(tmp_path, content, message):
    folder = fill(tmp_path, CLASSES)
    broken = tmp_path / "bee/1.JPEG"
    broken.unlink()
    if content is None:
        broken.mkdir()
    else:
        broken.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        find(folder)
    assert find(folder, skip_broken=True).skipped == ("bee/1.JPEG",)
