"""Names in files cannot lead out of the folder that they are meant for."""

from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pytest

from stl_backbones.copies.manifest import Row, digest
from stl_backbones.copies.request import GenerateOptions, make_copy, plan_copy, verify
from stl_backbones.corruptions.seeds import check_key, leads_out

OUTSIDE = ("/etc/passwd", "../x.png", "a/../../x.png", "..", "", "a/..", "a\0b", "a\ud800b")
INSIDE = ("x.png", "a/b/x.png", "..x.png", "a..b/x.png", "./x.png")


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_leads_out(name):
    assert leads_out(name)
    says = "is no UTF-8" if "\ud800" in name else "leads out of the image folder"
    with pytest.raises(ValueError, match=says):
        check_key(name)


@pytest.mark.parametrize("name", INSIDE)
def test_what_does_not(name):
    assert not leads_out(name)
    check_key(name)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    cv2.imwrite(str(folder / "a.png"), pixels)
    return folder


@pytest.fixture
def options():
    return GenerateOptions(layout="folder", corruptions=["contrast", "brightness"], severities=[1])


@pytest.fixture
def copy(images, options, tmp_path):
    out = tmp_path / "copy"
    make_copy(plan_copy(images, out, options), out)
    return out


def with_rows(copy, change):
    """Change a finished copy's rows, and the header's checksum of them."""
    rows, header = copy / "manifest.jsonl", copy / "manifest.json"
    lines = [json.loads(line) for line in rows.read_text(encoding="utf-8").splitlines()]
    rows.write_text("".join(json.dumps(change(line)) + "\n" for line in lines), encoding="utf-8")
    plain = json.loads(header.read_text(encoding="utf-8"))
    plain["rows_blake2b"] = digest(rows.read_bytes())
    header.write_text(json.dumps(plain), encoding="utf-8")


def test_the_copy_is_as_written(copy):
    assert verify(copy) == []


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("field", ["path", "id"])
def test_a_manifest_leads_nowhere_else(copy, field, name):
    with_rows(copy, lambda row: {**row, field: name})
    with pytest.raises(ValueError, match=r"manifest\.jsonl', line 1: .* leads out of the copy"):
        verify(copy)


def test_a_row_of_other_types_is_no_row():
    with pytest.raises(ValueError, match="no row of a manifest"):
        Row.from_line(json.dumps({"path": 3, "id": [], **dict.fromkeys(
            ("corruption", "severity", "size", "width", "height", "blake2b"))}))  # fmt: skip


def test_a_manifest_of_other_files_is_written_anew(images, options, copy):
    """What a former manifest names elsewhere is not taken for a finished file."""
    with_rows(copy, lambda row: {**row, "path": f"../copy/{row['path']}"})
    outcome = make_copy(plan_copy(images, copy, options), copy)
    assert outcome.made == 2
    assert verify(copy) == []


@pytest.mark.parametrize("link", ["contrast", "contrast/1"])
def test_nothing_is_written_through_a_link_that_leads_out(tmp_path, images, options, link):
    out, elsewhere = tmp_path / "copy", tmp_path / "elsewhere"
    elsewhere.mkdir()
    make_copy(plan_copy(images, out, options), out)
    for file in out.glob("contrast/1/*"):
        file.unlink()
    if link == "contrast":
        (out / "contrast/1").rmdir()
    (out / link).rmdir()
    (out / link).symlink_to(elsewhere)
    with pytest.raises(OSError, match="link in it leads out of the copy"):
        make_copy(plan_copy(images, out, options), out)
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", [".generation", ".generation/journal-1-of-1.jsonl"])
def test_nothing_is_written_through_a_link_of_the_workplace(tmp_path, images, options, name):
    out, elsewhere = tmp_path / "copy", tmp_path / "elsewhere"
    (elsewhere / "partial").mkdir(parents=True)
    (elsewhere / "precious").write_text("x")
    (out / name).parent.mkdir(parents=True)
    (out / name).symlink_to(elsewhere if name == ".generation" else elsewhere / "precious")
    with pytest.raises(ValueError, match="is a link; nothing is written through it"):
        make_copy(plan_copy(images, out, options), out)
    assert sorted(os.listdir(elsewhere)) == ["partial", "precious"]
    assert (elsewhere / "precious").read_text() == "x"


def test_a_file_that_is_a_link_is_replaced_not_followed(tmp_path, images, options, copy):
    precious = tmp_path / "precious"
    precious.write_text("x")
    (file,) = copy.glob("contrast/1/*")
    file.unlink()
    file.symlink_to(precious)
    make_copy(plan_copy(images, copy, options), copy)
    assert precious.read_text() == "x"
    assert not file.is_symlink()
    assert verify(copy) == []


def test_links_of_the_users_own_layout_are_followed(tmp_path, images, options):
    """Whole data sets, and outputs, often lie on another disk."""
    linked, disk = tmp_path / "linked", tmp_path / "disk"
    linked.symlink_to(images)
    disk.mkdir()
    (tmp_path / "copy").symlink_to(disk)
    make_copy(plan_copy(linked, tmp_path / "copy", options), tmp_path / "copy")
    assert (disk / "contrast/1/a.png").is_file()
    assert verify(tmp_path / "copy") == []


@pytest.mark.parametrize("name", ["../../elsewhere/a", "/etc/a", "a/../../b"])
def test_a_list_of_images_leads_nowhere_else(tmp_path, repo_root, mini_data, mini_options, name):
    """mmseg's own data sets join whatever a line says."""
    from mmengine.registry import init_default_scope

    from stl_backbones.config.reading import load_config
    from stl_backbones.robustness.dense_data import DenseData
    from stl_backbones.robustness.options import SweepOptions

    listed = tmp_path / "list.txt"
    listed.write_text(f"{name}\n", encoding="utf-8")
    config = load_config(repo_root / "configs/seg/stl_fan_t_mini.py", options=mini_options)
    dataset = config.test_dataloader.dataset
    for key in [key for key in dataset if key not in ("data_root", "data_prefix", "pipeline")]:
        del dataset[key]
    dataset.update(type="mmseg.BaseSegDataset", ann_file=str(listed))
    dataset.update(metainfo={"classes": ("a", "b")}, img_suffix=".png", seg_map_suffix=".png")
    init_default_scope("mmseg")
    options = SweepOptions(corruptions=["fog"], severities=[1])
    options = options.resolved(protocol="all", batch_size=1)
    with pytest.raises(ValueError, match=r"list\.txt' lists '.*', which leads out of the folder"):
        DenseData.open(config, options)
