import subprocess
import sys
from importlib.util import find_spec

import pytest

from stl_backbones.config.reading import building, load_config


@pytest.fixture
def seg(repo_root):
    return repo_root / "configs/seg/stl_fan_t_cityscapes.py"


def test_data_root_changes_everywhere(seg):
    config = load_config(seg, options={"data_root": "/elsewhere"})
    roots = {config[f"{split}_dataloader"].dataset.data_root for split in ("train", "val", "test")}
    assert roots == {"/elsewhere"}


def test_crop_size_changes_crop_padding_and_window(seg):
    config = load_config(seg, options={"crop_size": (256, 256), "stride": (192, 192)})
    assert config.train_dataloader.dataset.pipeline[4] == {
        "type": "RandomCrop",
        "crop_size": (256, 256),
        "cat_max_ratio": 0.75,
    }
    assert config.model.data_preprocessor.size == (256, 256)
    assert config.model.test_cfg.crop_size == (256, 256)


def test_a_written_out_option_beats_a_link(seg):
    options = {"data_root": "/all", "test_dataloader.dataset.data_root": "/test"}
    config = load_config(seg, options=options)
    assert config.train_dataloader.dataset.data_root == "/all"
    assert config.test_dataloader.dataset.data_root == "/test"


@pytest.mark.parametrize("where", ["file", "option"])
def test_a_link_into_a_loader_that_is_switched_off(seg, tmp_path, where):
    path, options = seg, {"test_dataloader": None, "data_root": "/all"}
    if where == "file":
        path = tmp_path / "own.py"
        path.write_text(f"_base_ = '{seg}'\ntest_dataloader = None\n")
        options = {"data_root": "/all"}
    config = load_config(path, options=options)
    assert config.test_dataloader is None
    assert config.train_dataloader.dataset.data_root == "/all"
    assert config.val_dataloader.dataset.data_root == "/all"


@pytest.mark.parametrize("step", ["RandomFlip", "Resize", "CenterCrop", "NoSuchStep"])
def test_a_link_into_a_step_that_a_config_has_replaced(seg, tmp_path, step):
    path = tmp_path / "own.py"
    path.write_text(
        f"_base_ = '{seg}'\n"
        f"steps = [dict(type='LoadImageFromFile')] + 4 * [dict(type='{step}')]\n"
        "train_dataloader = dict(dataset=dict(pipeline=steps))\n"
    )
    options = {"crop_size": (256, 256), "stride": (192, 192)}
    if step in ("CenterCrop", "NoSuchStep"):  # what is unknown is said when it is built
        config = load_config(path, options=options)
        assert config.train_dataloader.dataset.pipeline[4].crop_size == (256, 256)
        return
    with pytest.raises(KeyError, match=rf"pipeline\.4\.crop_size', but {step} .* no 'crop_size'"):
        load_config(path, options=options)
    load_config(path, options={"data_root": "/all"})


def test_a_link_into_what_is_no_step(seg, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        f"_base_ = '{seg}'\ntrain_dataloader = dict(dataset=dict(pipeline=[1, 2, 3, 4, 5]))\n"
    )
    with pytest.raises(KeyError, match=r"pipeline\.4' is a plain value"):
        load_config(path, options={"crop_size": (256, 256), "stride": (192, 192)})


def test_an_option_into_a_loader_that_is_switched_off_is_reported(seg):
    options = {"test_dataloader": None, "test_dataloader.dataset.data_root": "/test"}
    with pytest.raises(KeyError, match="data_root: 'test_dataloader' is given too, as None"):
        load_config(seg, options=options)


def test_every_link_names_something(seg):
    config = load_config(seg)
    for name, targets in config.linked_options.items():
        for target in targets:
            node = config.to_dict()
            *steps, last = target.split(".")
            for step in steps:
                assert step.isdecimal() or step in node, (name, target)
                node = node[int(step) if step.isdecimal() else step]
            may_be_absent = last == "num_workers" or (last == "classes" and "type" in node)
            assert last in node or may_be_absent, (name, target)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("modle.type", "no 'modle'; did you mean model"),
        ("train_cfgg", "did you mean train_cfg"),
        ("linked_options.data_rot", "linked_options.data_rot: it says what options change"),
        ("train_dataloader.dataset.pipeline.9.x", "must be 0..7"),
        ("load_from.x", "is a plain value"),
    ],
)
def test_an_unknown_option_is_an_error(seg, option, message):
    with pytest.raises(KeyError, match=message):
        load_config(seg, options={option: 1})


def test_a_part_without_a_type_takes_new_keys(seg):
    name = "optim_wrapper.paramwise_cfg.custom_keys.pos_embed.decay_mult"
    config = load_config(seg, options={name: 0.0})
    assert config.optim_wrapper.paramwise_cfg.custom_keys["pos_embed"] == {"decay_mult": 0.0}


@pytest.mark.parametrize(
    ("name", "options", "mended"),
    [
        ("configs/seg/stl_fan_b_cityscapes.py", {"max_iters": 300}, {"warmup_iters": 100}),
        ("configs/cls/stl_fan_t_mini_labeler.py", {"epochs": 2}, {"warmup_epochs": 1}),
        ("configs/det/stl_fan_t_cascade_mask_rcnn_mini.py", {"warmup_iters": 0},
         {"warmup_iters": 1}),
        ("mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py",
         {"param_scheduler.1.end": 1000}, {"param_scheduler.1.begin": 10}),
        ("configs/seg/stl_fan_b_cityscapes.py", {"crop_size": (512, 512)}, {"stride": (256, 256)}),
        ("mmseg::segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py",
         {"model.test_cfg.stride": (2000, 2000)}, {"model.test_cfg.stride": (512, 512)}),
    ],
)  # fmt: skip
def test_the_option_that_a_refusal_names_mends_it(repo_root, name, options, mended):
    path = name if "::" in name else repo_root / name
    with pytest.raises(ValueError, match=r"must not exceed the crop|begins at") as refused:
        load_config(path, options=options)
    advice = str(refused.value).partition("--cfg-options ")[2]
    assert set(mended) <= {word.partition("=")[0] for word in advice.split()}
    load_config(path, options={**options, **mended})


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.py' does not exist"):
        load_config(tmp_path / "nothing.py")


@pytest.mark.parametrize("text", ["model = (", "_base_ = './gone.py'", "a = b", "raise TypeError"])
def test_a_broken_config_is_one_value_error(tmp_path, text):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.py' cannot be read"):
        load_config(path)


def test_imports_of_nothing(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("custom_imports = dict(imports=False)\n")
    assert load_config(path).custom_imports == {"imports": False}


def test_modules_of_the_users_are_imported(tmp_path, monkeypatch):
    (tmp_path / "own_module_of_config.py").write_text("LOADED = True\n")
    path = tmp_path / "own.py"
    path.write_text("custom_imports = dict(imports='own_module_of_config')\n")
    message = (
        r"custom_imports: No module named 'own_module_of_config'; put the folder .* PYTHONPATH"
    )
    with pytest.raises(ValueError, match=message):
        load_config(path)
    monkeypatch.syspath_prepend(tmp_path)
    load_config(path)
    assert sys.modules.pop("own_module_of_config").LOADED


@pytest.mark.parametrize(
    ("config", "other"),
    [
        ("seg/stl_fan_t_cityscapes.py", "mmdet"),
        ("det/stl_fan_t_cascade_mask_rcnn_coco.py", "mmseg"),
    ],
)
def test_data_sets_of_the_other_toolbox_are_not_imported(repo_root, config, other):
    code = (  # mmseg's own models of 1.2.2 import mmdet's data sets
        "import importlib, sys; from mmengine.registry import DATASETS; "
        "from stl_backbones.config.reading import load_config; "
        "importlib.import_module(sys.argv[2] + '.models'); before = sys.argv[3] in sys.modules; "
        "config = load_config(sys.argv[1]); "
        "print(DATASETS.get(config.test_dataloader.dataset.type).__name__, "
        "before == (sys.argv[3] in sys.modules))"
    )
    own = {"mmdet": "mmseg", "mmseg": "mmdet"}[other]
    words = [sys.executable, "-c", code, repo_root / "configs" / config, own, f"{other}.datasets"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    name, is_as_before = done.stdout.splitlines()[-1].split()
    assert name.startswith("Checked")
    assert is_as_before == "True"


@pytest.mark.skipif(find_spec("mmpretrain") is not None, reason="mmpretrain is installed")
class TestWithoutMMPretrain:
    def test_what_is_here_too_needs_it_not(self):
        config = load_config("mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512")
        assert config.model.backbone.type == "stl_backbones.ConvNeXt"
        config = load_config("mmdet::timm_example/retinanet_timm-tv-resnet50_fpn_1x_coco.py")
        assert config.model.backbone.type == "mmseg.TIMMBackbone"

    def test_anything_else_says_how_to_get_it(self):
        message = r"custom_imports: No module named 'mmpretrain'; pip install onedl-mmpretrain"
        with pytest.raises(ValueError, match=message):
            load_config("mmseg::poolformer/fpn_poolformer_s12_8xb4-40k_ade20k-512x512.py")


@pytest.mark.parametrize("kind", [RuntimeError, ImportError, AssertionError])
def test_an_absent_package_is_one_value_error(kind):
    """The libraries say it with any of them."""
    message = r"the model cannot be built .*test_reading.py:\d+: \w+: transformers is not installed"
    with pytest.raises(ValueError, match=message), building("the model"):
        raise kind("transformers is not installed")


def test_an_unknown_argument_names_the_class(seg):
    from mmengine.registry import MODELS, init_default_scope

    config = load_config(seg, options={"model.backbone.fog": 1})
    init_default_scope("mmseg")
    with pytest.raises(ValueError, match=r"the model cannot be built.*fog"), building("the model"):
        MODELS.build(config.model)
