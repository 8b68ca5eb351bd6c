"""Where images are found and where their copies go."""

import os

import numpy as np
import pytest
from PIL import Image

from stl_backbones.copies import check_apart, find_sources, get_layout
from stl_backbones.datasets.class_folders import ClassFolders
from stl_backbones.image_files import SUFFIXES


def find(root, layout, *, split="val", image_format=None, **options):
    chosen = get_layout(layout)
    return find_sources(
        root, chosen, split=split, encoding=chosen.encoding(image_format), **options
    )


def found(root, layout, **options):
    return {source.id: source.target for source in find(root, layout, **options).sources}


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
    with pytest.raises(FileNotFoundError, match=r"source '.*gone' does not exist"):
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


def test_class_folders_keep_their_names_and_depth(tmp_path, save):
    for name in ("ant/a.jpg", "ant/b.tif", "bee/c.png", "top.jpg", "ant/deeper/d.jpg"):
        save(tmp_path / name)
    (tmp_path / "ant/e.heic").touch()
    assert found(tmp_path, "classes") == {
        "ant/a.jpg": "ant/a.png", "ant/b.tif": "ant/b.png", "bee/c.png": "bee/c.png",
    }  # fmt: skip
    (remark,) = find(tmp_path, "classes").remarks
    assert remark.startswith("3 files left out (")
    for part in ("1 .heic", "1 folder further down", "1 image in another place"):
        assert part in remark


def test_reading_and_generating_take_the_same_images(tmp_path, save):
    for number, suffix in enumerate(sorted(SUFFIXES)):
        save(tmp_path / f"ant/{number}{suffix}", format="PNG")
        save(tmp_path / f"bee/{number}{suffix}", format="PNG")
    for clutter in ("__MACOSX/0.jpg", "ant/__MACOSX/0.jpg", "ant/._0.jpg", "ant/Thumbs.db",
                    "ant/.ipynb_checkpoints/0-checkpoint.jpg", "desktop.ini"):  # fmt: skip
        save(tmp_path / clutter, format="PNG")
    folder = ClassFolders(tmp_path)
    keys = [folder.key(index) for index in range(len(folder))]
    assert len(keys) == 2 * len(SUFFIXES)
    made = find(tmp_path, "classes")
    assert sorted(source.id for source in made.sources) == sorted(keys)
    assert not made.remarks
    assert not folder.left_out
    assert sorted(found(tmp_path, "folder")) == sorted(keys)


def test_small_images_are_no_imagenet_c(tmp_path, save, scene):
    save(tmp_path / "small/val/frog/0.png", scene(0, height=32, width=32))
    (remark,) = find(tmp_path / "small", "imagenet").remarks
    assert "'0.png' is 32x32) and are enlarged" in remark
    assert "no ImageNet-C; --layout classes" in remark
    save(tmp_path / "large/val/frog/0.png", scene(0, height=224, width=300))
    assert not find(tmp_path / "large", "imagenet").remarks


LABELS = [
    ("labels/a_gtFine_labelIds.png", "L", 200),
    ("labels/a_gtFine_color.png", "RGB", 200),
    ("labels/a_gtFine_instanceIds.png", "I;16", 200),
    ("labels/a.png", "P", 20),
    ("labels/a.bmp", "L", 3),
    ("labels/a.tif", "1", 2),
    ("labels/a_gray.png", "RGB", 9),
]


@pytest.fixture(params=LABELS, ids=lambda one: f"{one[1]}-{one[0].rpartition('.')[2]}")
def label_map(request, tmp_path, save):
    name, mode, levels = request.param
    pixels = np.arange(40 * 48).reshape(40, 48) % levels
    if mode == "I;16":
        image = Image.fromarray(pixels.astype(np.uint16))
    elif mode == "1":
        image = Image.fromarray(pixels.astype(bool))
    else:
        image = Image.fromarray(pixels.astype(np.uint8)).convert("L")
        image = image.convert(mode) if mode == "RGB" else image
    if mode == "P":
        image.putpalette([value for level in range(256) for value in (level, 0, 255 - level)])
    save(tmp_path / name, image)
    return tmp_path


def test_label_maps_are_left_alone_and_counted(label_map, save):
    save(label_map / "images/a.png")
    grey = Image.fromarray((np.arange(40 * 48).reshape(40, 48) % 256).astype(np.uint8))
    save(label_map / "images/grey.png", grey)  # a photograph's levels
    save(label_map / "images/palette.png", grey.convert("P"))
    save(label_map / "images/flat_color.jpg", Image.new("L", (40, 40), 7))
    made = find(label_map, "folder")
    assert [s.id for s in made.sources] == [
        f"images/{name}" for name in ("a.png", "flat_color.jpg", "grey.png", "palette.png")
    ]
    assert made.remarks[0].startswith("1 label maps are left alone (labels/a")


def test_label_maps_alone_are_refused(label_map):
    with pytest.raises(ValueError, match=r"holds label maps only \(1: labels/a.*--label-maps"):
        find(label_map, "folder")
    assert len(find(label_map, "folder", label_maps=True).sources) == 1
