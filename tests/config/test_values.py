"""Configs whose values nothing else refuses, and configs that are none."""

import pytest

from stl_backbones.config.reading import building, load_config
from stl_backbones.config.tasks import task_of


@pytest.fixture
def seg(repo_root):
    return repo_root / "configs/seg/stl_fan_t_mini.py"


@pytest.fixture
def write(seg, tmp_path):
    def write(text, name="own.py"):
        path = tmp_path / name
        path.write_text(text.replace("{base}", f"_base_ = '{seg}'\n"))
        return path

    return write


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1 / 0", "ZeroDivisionError: division by zero"),
        ("raise Exception('its own')", "Exception: its own"),
        ("assert False, 'four GPUs'", "four GPUs"),
        ("import sys\nsys.exit(0)", r"it calls exit\(\)"),
        ("_base_ = 'own.py'", "do its _base_ files go"),
        ("import nosuchmodule\nnosuchmodule.x()", "does it use a module that is not there"),
        ("_base_ = 3", "_base_ must be a path or a list of paths, got 3"),
        ("{base}model = 'FAN'", r"model must be a dict\(...\), got 'FAN'"),
        ("{base}test_dataloader = [1]", r"test_dataloader must be a dict\(...\), got \[1\]"),
        (
            "{base}val_dataloader = dict(dataset=dict(pipeline=['Resize']))",
            r"val_dataloader.dataset.pipeline must be a list of dict\(...\), got \['Resize'\]",
        ),
        ("{base}custom_imports = 3", "custom_imports must be a dict"),
        ("{base}linked_options = 3", "linked_options must be a dict"),
        ("{base}param_scheduler = ['LinearLR']", r"param_scheduler must hold dict\(...\)"),
        ("data = dict(a=1)\noptimizer = dict(type='SGD')", "OpenMMLab 1.x, which states data, opt"),
        (
            "{base}train_dataloader = dict(batch_size=0)",
            "batch_size must be a .* at least 1, got 0",
        ),
        ("{base}train_cfg = dict(max_iters=2.5)", "max_iters must be a whole number .* got 2.5"),
        ("{base}train_cfg = dict(val_interval='x')", "val_interval must be .* got 'x'"),
        ("{base}randomness = dict(seed=-1)", "randomness.seed must be .* at least 0, got -1"),
        ("{base}optim_wrapper = dict(optimizer=dict(lr=-1.0))", "learning rate, must be .* -1.0"),
        ("{base}optim_wrapper = dict(optimizer=dict(lr=float('nan')))", "learning rate.*got nan"),
        ("{base}default_hooks = dict(checkpoint=dict(intervall=3))", "did you mean interval"),
        ("{base}model = dict(backbone=dict(drop_path_rate=2))", "drop_path_rate must be in 0..1"),
        ("{base}model = dict(test_cfg=dict(mode='tile'))", "mode must be one of whole, slide"),
        ("{base}model = dict(test_cfg=dict(mode='slide'))", "lacks crop_size and stride"),
    ],
)
def test_a_config_is_refused(write, text, says):
    with pytest.raises(ValueError, match=says):
        load_config(write(text))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"num_workerz": 0}, "did you mean num_workers"),
        ({"lr": "fast"}, "--cfg-options lr: expected a number such as 0.001, got 'fast'"),
        ({"num_workers": "many"}, "--cfg-options num_workers: expected a number"),
        ({"train_cfg.max_iters": "x"}, "train_cfg.max_iters: expected a number such as 1000"),
        ({"img_scale": (0, 0)}, r"Resize's scale must be sides above 0, .* got \(0, 0\)"),
        ({"img_scale": "wide"}, "scale must be sides above 0, .* got 'wide'"),
        ({"crop_size": (64, -64)}, r"RandomCrop's crop_size must be sides above 0"),
        ({"crop_size": 64}, r"\(crop_size\) must be \(height, width\), got 64"),
        ({"env_cfg.cudnn_benchmar": True}, "no 'env_cfg.cudnn_benchmar'; did you mean cudnn_benc"),
        ({"env_cfg.mp_cfg.nosuch": 3}, "the config has no 'env_cfg.mp_cfg.nosuch'"),
        ({"optim_wrapper.paramwise_cfg.bias_mult": 0}, "did you mean .*bias_lr_mult"),
        ({"launcher": "pytorch"}, "--cfg-options launcher: give --launcher"),
        ({"linked_options.lr": 3}, "linked_options.lr: it says what options change"),
        ({"param_scheduler.5.end": 3}, "must be 0..1"),
    ],
)
def test_an_option_is_refused(seg, options, says):
    with pytest.raises((ValueError, KeyError), match=says):
        load_config(seg, options=options)


def test_a_link_into_steps_that_are_gone(write):
    path = write("{base}test_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize')]))")
    assert load_config(path).test_dataloader.dataset.pipeline == [{"type": "Resize"}]
    with pytest.raises(KeyError, match=r"no 'test_dataloader.dataset.pipeline.1.scale'"):
        load_config(path, options={"img_scale": (64, 64)})


@pytest.mark.parametrize("name", ["own.txt", "own"])
def test_only_the_endings_of_configs(write, name):
    with pytest.raises(ValueError, match=r"must be a file ending .py, .json, .yaml, .yml"):
        load_config(write("model = None", name))


def test_a_folder_is_no_config(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder; expected a file"):
        load_config(tmp_path)


def test_json_is_read(seg, write):
    path = write(f'{{"_base_": "{seg}"}}', "own.json")
    assert load_config(path).model == load_config(seg).model


@pytest.mark.parametrize("error", [IndexError("i"), ZeroDivisionError("z"), MemoryError("m")])
def test_whatever_a_class_of_a_config_raises_is_the_configs_fault(error):
    got = pytest.raises(ValueError, match=r"the model cannot be built from the config: .*: [izm]$")
    with got, building("the model"):
        raise error


def test_the_task_of_a_config(seg, write):
    assert task_of(load_config(seg)) == "segmentation"
    with pytest.raises(ValueError, match=r"expected a config with a model"):
        task_of(load_config(write("{base}model = None")))
