"""Where images are found and where their copies go."""

import os

import pytest

from stl_backbones.copies import check_apart, find_sources, get_layout


def found(root, layout, *, split="val", image_format=None, limit=None):
    chosen = get_layout(layout)
    encoding = chosen.encoding(image_format)
    sources = find_sources(root, chosen, split=split, encoding=encoding, limit=limit)
    return {source.id: source.target for source in sources}


def test_cityscapes_keeps_split_city_and_name(cityscapes):
    name = "bonn/b_1_leftImg8bit.png"
    assert found(cityscapes, "cityscapes", limit=1) == {name: f"val/{name}"}


def test_coco_keeps_the_names_that_annotations_use(tmp_path, save):
    save(tmp_path / "val2017/000000000139.jpg")
    assert found(tmp_path, "coco") == {"000000000139.jpg": "val2017/000000000139.jpg"}


def test_coco_in_a_folder_with_the_split_s_own_name(tmp_path, save):
    save(tmp_path / "test/1.jpg")
    assert found(tmp_path, "coco", split="test") == {"1.jpg": "test/1.jpg"}


@pytest.mark.parametrize("below", ["val", "."])
def test_imagenet_drops_the_split(tmp_path, save, below):
    save(tmp_path / below / "n01440764/ILSVRC2012_val_00000293.png")
    assert found(tmp_path, "imagenet") == {
        "n01440764/ILSVRC2012_val_00000293.png": "n01440764/ILSVRC2012_val_00000293.JPEG"
    }


def test_folder_takes_any_depth_and_any_format(tmp_path, save):
    for name in ("a.JPG", "b/c/d.bmp", "b/e.png", ".hidden.png", ".cache/f.png"):
        save(tmp_path / name, format="PNG")
    (tmp_path / "notes.txt").write_text("no image")
    assert found(tmp_path, "folder") == {
        "a.JPG": "a.png", "b/c/d.bmp": "b/c/d.png", "b/e.png": "b/e.png",
    }  # fmt: skip
    assert found(tmp_path, "folder", image_format="jpeg")["b/e.png"] == "b/e.jpg"


def test_a_link_back_up_is_no_endless_loop(tmp_path, save):
    save(tmp_path / "a/b.png")
    (tmp_path / "a/up").symlink_to(tmp_path)
    assert list(found(tmp_path, "folder")) == ["a/b.png"]


@pytest.mark.parametrize(
    ("layout", "first", "second"),
    [("folder", "x/a.jpg", "x/a.png"), ("imagenet", "val/n1/a.png", "val/n1/a.jpeg")],
)
def test_two_sources_of_one_copy_are_both_named(tmp_path, save, layout, first, second):
    save(tmp_path / first)
    save(tmp_path / second)
    with pytest.raises(ValueError, match="would both become") as error:
        found(tmp_path, layout)
    assert first.removeprefix("val/") in str(error.value)
    assert second.removeprefix("val/") in str(error.value)


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("cityscapes", "expects images in '.*leftImg8bit/val': no such folder"),
        ("coco", "expects images in '.*val2017' or '.*val': no such folder"),
        ("imagenet", "holds no images: .* 1 folders down"),
        ("folder", "holds no images"),
    ],
)
def test_an_empty_source_says_what_is_expected(tmp_path, layout, message):
    with pytest.raises(FileNotFoundError, match=message):
        found(tmp_path, layout)


def test_a_missing_source(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"source '.*gone' is no folder"):
        found(tmp_path / "gone", "folder")


def test_an_unreadable_folder_is_named(tmp_path, save, monkeypatch):
    save(tmp_path / "open/a.png")
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(path):  # root may read everything, so the refusal is played
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError, match="closed"):
        found(tmp_path, "folder")


def test_unknown_layout_and_format():
    with pytest.raises(KeyError, match="unknown layout 'voc'; expected one of cityscapes, coco"):
        get_layout("voc")
    with pytest.raises(ValueError, match="layout 'imagenet' is written as jpeg, got 'png'"):
        get_layout("imagenet").encoding("png")


@pytest.mark.parametrize(("source", "out"), [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_source_and_output_are_apart(tmp_path, source, out):
    (tmp_path / "a/b").mkdir(parents=True)
    with pytest.raises(ValueError, match="inside the"):
        check_apart(tmp_path / source, tmp_path / out)


def test_a_link_into_the_source_is_inside(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(ValueError, match="inside the source"):
        check_apart(tmp_path / "a", tmp_path / "link/out")


def test_neighbours_are_apart(tmp_path):
    check_apart(tmp_path / "data", tmp_path / "data-c")


def test_a_name_that_is_no_utf_8_is_refused(tmp_path, save):
    save(tmp_path / os.fsdecode(b"a\xff.png"), format="PNG")
    message = r"image name 'a\\udcff\.png' is no UTF-8; rename the file"
    with pytest.raises(ValueError, match=message):
        found(tmp_path, "folder")
