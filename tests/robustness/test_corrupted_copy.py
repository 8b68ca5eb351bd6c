"""A corrupted copy in ImageNet-C's layout: found, complete, and not the clean images."""

import shutil

import numpy as np
import pytest
from PIL import Image

from stl_backbones.copies import make_copy
from stl_backbones.copies.images import OPENCV, PILLOW
from stl_backbones.copies.request import GenerateOptions, plan_copy
from stl_backbones.corruptions.packaged import PackagedCorruption
from stl_backbones.errors import InputError
from stl_backbones.records import Cell, CorruptionEngine
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
    with pytest.raises(FileNotFoundError, match=r"none of the 1 .*; it holds fog, frost: name"):
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


def test_a_broken_file_is_found_before_anything_is_scored(tree, images):
    """The last image of the last cell: scored it would be after hours."""
    path = tree / "frost/1" / NAMES[-1]
    for content, message in (
        (path.read_bytes()[:300], "bee/1.JPEG' is truncated"),
        (b"", "bee/1.JPEG' is empty"),
        (b"<html>404</html>" * 9, "bee/1.JPEG' is no image"),
    ):
        path.write_bytes(content)
        for same_size in (True, False):
            with pytest.raises(ValueError, match=message):
                find_tree(tree, CELLS, images, same_size=same_size)


@pytest.mark.parametrize("clutter", ["__MACOSX", ".ipynb_checkpoints"])
def test_clutter_is_no_cell_no_group_and_no_image(tree, images, clutter):
    expected = find_tree(tree, CELLS, images).digests
    for folder in (tree, tree / "fog", tree / "fog/1", tree / "fog/1/ant"):
        write(folder / clutter / "0-checkpoint.JPEG", 3)
        write(folder / clutter / "1/other.JPEG", 3)
        (folder / "Thumbs.db").touch()
        (folder / "._0.JPEG").touch()
    assert find_tree(tree, CELLS, images).digests == expected


def test_two_trees_of_one_name_are_told_apart(tree, images, tmp_path):
    one = find_tree(tree, CELLS, images).digests
    assert list(one) == [cell.name for cell in CELLS]
    other = shutil.copytree(tree, tmp_path / "other/c")
    assert find_tree(other, CELLS, images).digests == one
    write(other / "fog/2" / NAMES[0], 7)
    changed = find_tree(other, CELLS[:1], images).digests  # of cells that are not asked for too
    assert {name for name in one if changed[name] != one[name]} == {"fog-2"}


def make(source, out, layout):
    options = GenerateOptions(layout, protocol="all", corruptions=["brightness"], severities=[1],
                              engine=CorruptionEngine("fast"), format="jpeg")  # fmt: skip
    plan = plan_copy(source, out, options)
    assert not make_copy(plan, out).failures


BRIGHT = [Cell("brightness", 1)]


def test_a_copy_made_a_folder_too_high_is_refused(images, tmp_path):
    """Its ids begin with 'val/', so its draws are others than the sweep's seed gives."""
    make(tmp_path, tmp_path.with_name("high-c"), "folder")
    with pytest.raises(ValueError, match=r"a folder too high, of 'val/ant/0.JPEG'.* 'val/' itself"):
        find_tree(tmp_path.with_name("high-c"), BRIGHT, images)
    make(images, tmp_path / "right-c", "folder")
    found = find_tree(tmp_path / "right-c", BRIGHT, images)
    assert list(found.digests) == ["brightness-1"]
    replaced = copy_path(tmp_path / "right-c/brightness/1", NAMES[1])
    size = replaced.stat().st_size
    write(replaced, 7)  # of another copy, say
    assert replaced.stat().st_size != size
    with pytest.raises(ValueError, match=rf"bytes, but {size} in its manifest: it was replaced"):
        find_tree(tmp_path / "right-c", BRIGHT, images)


@pytest.mark.parametrize("line", [b"{", b"[]", b"\xff", b'{"severity": "1"}', b"[" * 100_000])
def test_a_line_of_the_manifest_that_is_no_row(images, tmp_path, line):
    make(images, tmp_path / "c", "folder")
    with (tmp_path / "c/manifest.jsonl").open("ab") as rows:
        rows.write(line + b"\n")
    with pytest.raises(InputError, match=r"manifest\.jsonl', line 5: no row of a manifest"):
        find_tree(tmp_path / "c", BRIGHT, images)


def test_a_copy_of_other_ids_is_refused(images, tmp_path):
    make(images, tmp_path / "c", "folder")
    cell = tmp_path / "c/brightness/1"
    (cell / "ant/0.jpg").rename(cell / "ant/9.jpg")
    (images / "ant/0.JPEG").rename(images / "ant/9.JPEG")
    names = ("ant/9.JPEG", *NAMES[1:])
    with pytest.raises(ValueError, match=r"does not list image 'ant/9.JPEG'.*such as ant/0.JPEG"):
        find_copy(tmp_path / "c", BRIGHT, names, image_root=images)


@pytest.mark.parametrize(
    ("made", "read", "right"),
    [("folder", PILLOW, "classes"), ("classes", OPENCV, "folder")],
    ids=["folder", "classes"],
)
def test_a_copy_that_was_read_otherwise_is_refused(images, tmp_path, made, read, right):
    options = {"reader": read, "same_size": False}
    make(images, tmp_path / "c", made)
    find_tree(tmp_path / "c", BRIGHT, images, **options)  # no difference in such images
    exif = Image.Exif()
    exif[274] = 6  # the camera was on its side
    Image.new("RGB", (64, 40)).save(images / "ant/0.JPEG", exif=exif)
    make(images, tmp_path / "wrong", made)
    with pytest.raises(ValueError, match=rf"1 of 4 have other pixels.*ant/0.*--layout {right}"):
        find_tree(tmp_path / "wrong", BRIGHT, images, **options)
    make(images, tmp_path / "right", right)
    folder = find_tree(tmp_path / "right", BRIGHT, images, **options).folders[BRIGHT[0]]
    size = (64, 40) if read == PILLOW else (40, 64)
    with Image.open(copy_path(folder, "ant/0.JPEG")) as image:
        assert image.size == size


SEVERITY_NAMES = {  # how makers of copies name severities, and what they are read as
    "C-bar's generator": (("2.35", "3.20", "4.90", "6.60", "10.00"), (1, 2, 3, 4, 5)),
    "its whole levels": (("2.00", "3.00", "4.00", "5.00", "6.00"), (1, 2, 3, 4, 5)),
    "LAION-C": (tuple(f"intensity_level_{n}" for n in (1, 2, 3, 4, 5)), (1, 2, 3, 4, 5)),
    "words": (("severity_2", "severity_4"), (2, 4)),
    "whole numbers": (("1", "2", "4", "9", "10"), (1, 2, 3, 4, 5)),
    "words and levels": (("level-0.50", "level-2.35"), (1, 2)),
    "as we do": (("1", "2", "5"), (1, 2, 5)),
    "with the clean images": (("0", "1", "2"), (1, 2)),
}


@pytest.mark.parametrize("kind", SEVERITY_NAMES)
def test_severities_are_read_under_other_names(kind, images, tmp_path):
    names, levels = SEVERITY_NAMES[kind]
    for folder in names:
        for number, name in enumerate(NAMES):
            write(tmp_path / "c/waves" / folder / name, 100 + number)
    found = find_tree(tmp_path / "c", [Cell("waves", level) for level in levels], images)
    scored = [name for name in names if name != "0"]
    assert {cell.severity: path.name for cell, path in found.folders.items()} == dict(
        zip(levels, scored, strict=True)
    )
    assert set(found.digests) == {f"waves-{level}" for level in levels}
    pairs = ", ".join(f"{name} as {level}" for name, level in zip(scored, levels, strict=True))
    is_plain = scored == [str(level) for level in levels]
    note = f"severity folders of waves in the corrupted copy: {pairs}"
    assert found.notes == (() if is_plain else (note,))


@pytest.mark.parametrize(
    "names",
    [("1", "2.35"), ("1.0", "1.00"), ("1", "2", "3", "4", "5", "6"), ("level_1", "level_2.5")],
)
def test_severities_that_can_be_read_in_two_ways(names, images, tmp_path):
    for folder in names:
        write(tmp_path / "c/waves" / folder / NAMES[0], 100)
    with pytest.raises(ValueError, match=rf"which severities its {len(names)} folders hold"):
        find_tree(tmp_path / "c", [Cell("waves", 1)], images)


def test_one_level_alone_is_said_to_lack_the_others(images, tmp_path):
    for name in NAMES:
        write(tmp_path / "c/waves/2.35" / name, 100)
    cells = [Cell("waves", level) for level in (1, 2, 3, 4, 5)]
    with pytest.raises(FileNotFoundError, match=r"4 of 5 cells are not whole; .*: 2.35 as 1; --al"):
        find_tree(tmp_path / "c", cells, images)


def test_levels_that_the_catalog_has_say_which_severity_they_are(images, tmp_path, monkeypatch):
    tables = {"imagenet": (2.35, 3.2, 4.9, 6.6, 9.15)}
    known = PackagedCorruption("waves", "bar", "1", "nowhere:waves", tables)
    monkeypatch.setattr("stl_backbones.robustness.copy_layout.PACKAGED", {"waves": known})
    for folder in ("3.20", "9.15"):
        for name in NAMES:
            write(tmp_path / "c/waves" / folder / name, 100)
    found = find_tree(tmp_path / "c", [Cell("waves", 2), Cell("waves", 5)], images)
    assert found.notes[0].endswith(": 3.20 as 2, 9.15 as 5")
