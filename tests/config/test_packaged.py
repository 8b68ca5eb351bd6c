"""Configs of mmseg and mmdet by their packaged names, in `_base_` too, and what was released."""

from __future__ import annotations

from pathlib import Path

import mmdet
import mmseg
import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from stl_backbones.config.packaged import (
    config_file,
    find_release,
    mm_preset_lines,
    near_files,
    packaged_bases,
)
from stl_backbones.config.reading import load_config

SEGFORMER = "mmseg::segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py"
RETINANET = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
FOLDERS = {
    library.__name__: Path(library.__file__).parent / ".mim/configs" for library in (mmseg, mmdet)
}


@pytest.mark.parametrize("name", [SEGFORMER, RETINANET])
@pytest.mark.parametrize("suffix", ["", ".py"])
def test_a_name_is_a_file_of_the_package(name, suffix):
    library, _, place = name.partition("::")
    found = config_file(name.removesuffix(".py") + suffix)
    assert found == FOLDERS[library] / place


def test_a_dot_in_a_name_is_no_suffix():
    name = "mmdet::regnet/faster-rcnn_regnetx-3.2GF_fpn_1x_coco"
    assert config_file(name).name == "faster-rcnn_regnetx-3.2GF_fpn_1x_coco.py"


def test_a_path_stays_as_it_is():
    assert config_file("configs/x.py") == Path("configs/x.py")
    assert config_file(Path("/a/b.py")) == Path("/a/b.py")


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("mmdet::retinanet_r50_fpn_1x_coco", FileNotFoundError, "did you mean mmdet::retinanet/"),
        (
            "mmseg::segformer/segformer_mit-b9_8xb1-160k_cityscapes-1024x1024.py",
            FileNotFoundError,
            r"did you mean mmseg::segformer/segformer_mit-b\d_8xb1-160k_cityscapes-1024x1024\.py",
        ),
        ("mmdet::qqqq", FileNotFoundError, "mmdet has no config 'qqqq'; they are in '.*configs'"),
        (
            "mmpose::x/y.py",
            ValueError,
            "expected a library of stl_backbones, mmseg, mmdet before '::', got 'mmpo",
        ),
    ],
)
def test_an_unknown_name_is_reported_in_one_line(name, error, message):
    with pytest.raises(error, match=message) as raised:
        config_file(name)
    assert "\n" not in str(raised.value)


def test_an_absent_library_is_named(monkeypatch):
    monkeypatch.setattr("stl_backbones.config.packaged.LIBRARIES", ("mmabsent",))
    with pytest.raises(
        ValueError, match=r"'mmabsent::\.\.\.' needs mmabsent, which is not installed"
    ):
        config_file("mmabsent::x")


@pytest.mark.parametrize(
    ("name", "model", "backbone"),
    [(SEGFORMER, "EncoderDecoder", "MixVisionTransformer"), (RETINANET, "RetinaNet", "ResNet")],
)
def test_a_name_loads_like_its_file(name, model, backbone):
    config = load_config(name)
    assert config.to_dict() == load_config(config_file(name)).to_dict()
    assert (config.model.type, config.model.backbone.type) == (model, backbone)


@pytest.mark.filterwarnings("ignore:Default ``avg_non_ignore`` is False:UserWarning")
@pytest.mark.parametrize(("name", "width"), [(SEGFORMER, 150), (RETINANET, 7)])
def test_a_name_may_stand_in_base(tmp_path, name, width):
    part = "decode_head" if name == SEGFORMER else "bbox_head"
    own = tmp_path / "own.py"
    own.write_text(f"_base_ = '{name}'\nmodel = dict({part}=dict(num_classes={width}))\n")
    config = load_config(own)
    assert config.model[part].num_classes == width
    expected = load_config(name, options={f"model.{part}.num_classes": width})
    for found, other in (
        (config.model.backbone, expected.model.backbone),
        (config.model, expected.model),
    ):
        assert without_scope(found) == without_scope(other)
    init_default_scope(config.default_scope)
    assert type(MODELS.build(config.model)).__name__ == config.model.type


def without_scope(node):
    if isinstance(node, dict):
        return {name: without_scope(value) for name, value in node.items() if name != "_scope_"}
    return [without_scope(value) for value in node] if isinstance(node, list | tuple) else node


def test_a_base_of_another_library_is_reported(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("_base_ = 'mmcls::resnet.py'\n")
    with pytest.raises(ValueError, match=r"own\.py' cannot be read: _base_ 'mmcls::res"):
        load_config(own)


def test_an_unknown_base_is_reported_with_the_file(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("_base_ = 'mmseg::segformer/nothing.py'\n")
    with pytest.raises(
        ValueError, match=r"own\.py' cannot be read: mmseg has no config 'segformer/"
    ):
        load_config(own)


def test_mmengine_is_left_as_it_was():
    before = Config.__dict__["_get_cfg_path"]
    with packaged_bases():
        assert Config.__dict__["_get_cfg_path"] is not before
        assert Config._get_cfg_path("a.py", "/x/b.py") == ("/x/a.py", None)
    assert Config.__dict__["_get_cfg_path"] is before
    with pytest.raises(RuntimeError, match="stop"), packaged_bases():
        raise RuntimeError("stop")
    assert Config.__dict__["_get_cfg_path"] is before


def test_what_was_released_is_read_from_the_metafile():
    release = find_release(SEGFORMER)
    assert release.scores["mIoU"] == 76.54
    assert release.weights.endswith(
        "segformer_mit-b0_8x1_1024x1024_160k_cityscapes_20211208_101857-e7f88502.pth"
    )
    both = find_release("mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py")
    assert both.scores == {"box AP": 38.2, "mask AP": 34.7}


def test_where_nothing_was_released():
    release = find_release("mmdet::_base_/default_runtime.py")
    assert (release.weights, dict(release.scores)) == (None, {})


def test_preset_lines_name_config_scores_and_weights():
    text = mm_preset_lines()
    assert "Table 4, SegFormer-B0: mIoU 76.2 in the paper, 76.5 in the library" in text
    assert SEGFORMER in text
    assert text.count("https://") + text.count("weights to be trained") == text.count("Table ")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("configs/seg/stl_fan_t_mni.py", "configs/seg/stl_fan_t_mini.py"),
        ("configs/stl_fan_b_cityscapes.py", "configs/seg/stl_fan_b_cityscapes.py"),
        ("config/cls/stl_fan_b_labeller.py", "configs/cls/stl_fan_b_labeler.py"),
        ("configs/seg/segformer_fan.py", ""),  # a part in _base_ is no config
    ],
)
def test_the_nearest_config_file_is_offered(repo_root, monkeypatch, wrong, right):
    monkeypatch.chdir(repo_root)
    hint = near_files(Path(wrong))
    assert hint.startswith(f"did you mean {right}") if right else hint == ""
    assert "_base_" not in hint


def test_parts_of_a_library_are_not_offered():
    with pytest.raises(FileNotFoundError) as raised:
        config_file("mmdet::cascade-mask-rcnn_r50_fpn")
    assert "cascade-mask-rcnn_r50_fpn_" in str(raised.value)
    assert "_base_" not in str(raised.value)
