"""Class folders as labelled images: labels, limits, and folders that do not fit."""

import numpy as np
import pytest
from PIL import Image

from stl_backbones.datasets.class_folders import ClassFolders
from stl_backbones.datasets.image_list import read_image_list
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
    with pytest.raises(ValueError, match=r"no images of 2 of the 4 classes of farm \(bee, doe\)"):
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


def order(folder, count, *, recorded=None, stated=None):
    return choose_classes(folder, count, recorded=recorded, stated=stated).names


def test_classes_are_the_checkpoints_then_imagenets_then_the_folders(tmp_path):
    folder = fill(tmp_path, ("b", "a"), per_class=1)
    assert order(folder, 2, recorded=("y", "x")) == ("y", "x")
    assert order(folder, 1000) == WNIDS
    assert order(folder, 2) == ("a", "b")
    with pytest.raises(ValueError, match=r"the model has 3 classes, '.*' 2 class folders"):
        order(folder, 3)


NUMBERS = tuple(map(str, range(12)))


@pytest.mark.parametrize(
    ("names", "text", "natural"),
    [
        (NUMBERS, "is 10, 11, 2, ...", "is 2, 3, 4, ..."),
        (("Zebra", "ant", "bee"), "is Zebra, ant, bee", "is ant, bee, Zebra"),  # case
        (("c", "10_c", "9_c"), "is 10_c, 9_c", "is 9_c, 10_c"),
    ],
)
def test_an_order_that_nothing_settles_is_refused(tmp_path, names, text, natural):
    with pytest.raises(ValueError, match="give --classes FILE") as caught:
        order(fill(tmp_path, names, per_class=1), len(names))
    assert text in str(caught.value)
    assert natural in str(caught.value)


def test_a_file_a_checkpoint_or_a_config_settles_the_order(tmp_path):
    folder = fill(tmp_path / "data", NUMBERS, per_class=1)
    shuffled = NUMBERS[::-1]
    (tmp_path / "names.txt").write_text("\ufeff" + "\r\n".join(shuffled) + "\n\n", "utf-8")
    chosen = choose_classes(folder, 12, recorded=NUMBERS, stated=tmp_path / "names.txt")
    assert chosen.names == shuffled
    assert str(chosen).startswith("12 classes, in the order of --classes ")
    assert str(chosen).endswith(": 11, 10, 9, ... (9 more)")
    assert order(folder, 12, recorded=shuffled) == shuffled
    given = ImageNetFolder(tmp_path / "data", "", pipeline=[], classes=list(NUMBERS))
    assert order(given, 12) == NUMBERS


def test_a_thousand_classes_of_ones_own_are_not_imagenets(tmp_path):
    names = tuple(f"c{number:03d}" for number in range(1000))
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").touch()
    assert order(ImageNetFolder(tmp_path, "", pipeline=[]), 1000) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"ant\nbee\n", "has 2 names, the model 3 classes"),
        (b"ant\nbee\nant\n", "one class name a line, got 'ant' twice"),
        (b"ant\n\nbee\n", "one class name a line, got an empty line"),
        (b"\xff\xd8\xff", "is no text"),
        (None, "names.txt' is a folder; expected a file"),
    ],
)
def test_a_file_of_class_names_that_does_not_fit(tmp_path, text, message):
    path = tmp_path / "names.txt"
    path.mkdir() if text is None else path.write_bytes(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        order(fill(tmp_path / "data", CLASSES[:3], per_class=1), 3, stated=path)


def test_an_empty_class_folder_is_a_missing_class(tmp_path):
    fill(tmp_path, CLASSES)
    for path in (tmp_path / "bee").iterdir():
        path.unlink()
    (tmp_path / "bee/.DS_Store").touch()
    folder = ClassFolders(tmp_path, allow_empty=True)
    with pytest.raises(ValueError, match=r"no images of 1 of the 4 classes of farm \(bee\)"):
        find(folder)
    images = find(folder, allow_missing=True)
    assert images.absent == ("bee",)
    assert images.labels.tolist() == [0, 0, 2, 2, 3, 3]
    with pytest.raises(FileNotFoundError, match=r"1 of 4 class folders .* hold no image: bee"):
        ClassFolders(tmp_path)


def test_what_is_left_out_is_counted_by_ending(tmp_path):
    fill(tmp_path, CLASSES, per_class=1)
    Image.new("RGB", (40, 40)).save(tmp_path / "ant/1.tif")
    Image.new("RGB", (40, 40)).save(tmp_path / "ant/2.gif")
    for name in ("ant/3.HEIC", "bee/4.heic", "bee/labels", "top.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "cow/deeper").mkdir()
    images = find(ClassFolders(tmp_path))
    assert images.keys[:2] == ("ant/0.JPEG", "ant/1.tif")
    counts = dict(ClassFolders(tmp_path).left_out)
    assert counts == {
        ".gif": 1, ".heic": 2, "": 1, "folder in a class folder": 1,
        "image beside the class folders": 1,
    }  # fmt: skip
    assert images.left_out.startswith("6 files left out (")
    assert "2 .heic" in images.left_out


CLUTTER = ("__MACOSX", ".ipynb_checkpoints", "Thumbs.db", "._0.JPEG", "desktop.ini")


@pytest.mark.parametrize("name", CLUTTER)
def test_clutter_is_no_class_no_image_and_nothing_left_out(tmp_path, name):
    fill(tmp_path, CLASSES, per_class=1)
    for folder in (tmp_path, tmp_path / "ant"):
        path = folder / name
        if "." in name[1:] or name.startswith("._"):
            path.write_bytes(b"clutter")
        else:
            path.mkdir()
            (path / "0-checkpoint.JPEG").write_bytes((tmp_path / "bee/0.JPEG").read_bytes())
    folder = ClassFolders(tmp_path)
    assert folder.classes == CLASSES
    assert [folder.key(index) for index in range(len(folder))] == [f"{n}/0.JPEG" for n in CLASSES]
    assert not folder.left_out


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


def test_a_list_takes_its_images_and_all_folders_count_for_the_labels(tmp_path):
    folder = fill(tmp_path / "data", CLASSES)
    path = tmp_path / "ids.txt"
    path.write_text("doe/1.JPEG\nbee/0.JPEG")  # unsorted, no newline at its end
    images = find(folder, listed=read_image_list(path))
    assert images.keys == ("bee/0.JPEG", "doe/1.JPEG")
    assert images.labels.tolist() == [1, 3]
    assert (images.total, images.absent) == (8, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bee/0.JPEG\nbee/7.JPEG", r"names 1 of 2 images that are not in .*\(bee/7.JPEG\)"),
        ("bee/0.JPEG\nbee/0.JPEG", "has 'bee/0.JPEG' twice"),
        ("\n", "is empty; expected one image a line"),
    ],
)
def test_a_list_that_does_not_fit(text, message, tmp_path):
    path = tmp_path / "ids.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        find(fill(tmp_path / "data", CLASSES), listed=read_image_list(path))
