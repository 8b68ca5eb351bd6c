"""A corrupted copy in ImageNet-C's layout: found, complete, and not the clean images."""

import numpy as np
import pytest
from PIL import Image

from stl_backbones.records import Cell
from stl_backbones.robustness.corrupted_copy import copy_path, find_copy

CELLS = (Cell("fog", 1), Cell("fog", 2), Cell("frost", 1))
NAMES = ("ant/0.JPEG", "ant/1.JPEG", "bee/0.JPEG", "bee/1.JPEG")


def write(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((32, 32, 3), seed, np.uint8)).save(path)


@pytest.fixture
def images(tmp_path):
    for number, name in enumerate(NAMES):
        write(tmp_path / "val" / name, number)
    return tmp_path / "val"


@pytest.fixture
def tree(tmp_path):
    for cell in CELLS:
        for number, name in enumerate(NAMES):
            write(tmp_path / "c" / cell.corruption / str(cell.severity) / name, 100 + number)
    return tmp_path / "c"


def find_tree(root, cells, images, **options):
    hint = "; --allow-missing leaves them out"
    return find_copy(root, cells, NAMES, image_root=images, hint=hint, **options)


def remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()


def test_every_cell_is_found(tree, images):
    found = find_tree(tree, CELLS, images)
    assert found.folders[CELLS[1]] == tree / "fog/2"
    assert found.lacking == {}


def test_the_archives_groups_may_stand_above(tree, images):
    (tree / "weather").mkdir()
    (tree / "fog").rename(tree / "weather/fog")
    assert find_tree(tree, CELLS, images).folders[CELLS[0]] == tree / "weather/fog/1"


def test_copies_may_have_another_ending(tree, images):
    for path in (tree / "frost").rglob("*.JPEG"):
        path.rename(path.with_suffix(".png"))
    folder = find_tree(tree, CELLS, images).folders[CELLS[2]]
    assert copy_path(folder, NAMES[0]) == folder / "ant/0.png"


@pytest.mark.parametrize(
    ("spoil", "lack"),
    [
        ("frost", "is missing (expected images in folder"),
        ("frost/1", "is missing (expected images in folder"),
        ("frost/1/bee", "lacks 2 of 4 images (bee/0.JPEG, bee/1.JPEG)"),
        ("frost/1/bee/1.JPEG", "lacks 1 of 4 images (bee/1.JPEG)"),
    ],
)
def test_what_is_missing_is_named_or_left_out(tree, images, spoil, lack):
    path = tree / spoil
    path.unlink() if path.is_file() else remove(path)
    with pytest.raises(FileNotFoundError) as caught:
        find_tree(tree, CELLS, images)
    assert f"cell 'frost-1' {lack}" in str(caught.value)
    assert "1 of 3 cells are not whole; --allow-missing" in str(caught.value)
    found = find_tree(tree, CELLS, images, allow_missing=True)
    assert set(found.folders) == set(CELLS[:2])
    assert lack in found.lacking[CELLS[2]]


def test_nothing_at_all_is_refused_even_then(tree, images):
    with pytest.raises(FileNotFoundError, match=r"1 of 1 cells are not whole$"):
        find_tree(tree, [Cell("snow", 1)], images, allow_missing=True)
    with pytest.raises(FileNotFoundError, match=r"--corrupted-root '.*gone' does not exist"):
        find_tree(tree / "gone", CELLS, images)


def test_images_that_the_clean_set_has_not(tree, images):
    write(tree / "fog/2/elk/0.JPEG", 5)
    with pytest.raises(ValueError, match=r"1 images that the clean set has not \(elk/0.JPEG\)"):
        find_tree(tree, CELLS, images)


def test_clean_images_are_no_corrupted_ones(tree, images):
    with pytest.raises(ValueError, match="is the clean image folder"):
        find_tree(images, CELLS, images)
    (tree / "fog/1" / NAMES[0]).write_bytes((images / NAMES[0]).read_bytes())
    with pytest.raises(ValueError, match="is the clean image"):
        find_tree(tree, CELLS, images)
