import pytest

from stl_backbones.apis.config import building, load_config


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


def test_every_link_names_something(seg):
    config = load_config(seg)
    for name, targets in config.linked_options.items():
        for target in targets:
            node = config.to_dict()
            for step in target.split("."):
                assert step.isdecimal() or step in node, (name, target)
                node = node[int(step) if step.isdecimal() else step]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("modle.type", "no 'modle'; did you mean model"),
        ("train_cfgg", "did you mean train_cfg"),
        ("linked_options.data_rot", "no 'linked_options.data_rot'"),
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


def test_a_stride_beyond_the_window_is_refused(seg):
    with pytest.raises(ValueError, match=r"stride \(768, 768\) must not exceed the crop"):
        load_config(seg, options={"crop_size": (512, 512)})


def test_fewer_iterations_than_warm_up_are_refused(seg):
    with pytest.raises(ValueError, match="give warmup_iters too"):
        load_config(seg, options={"max_iters": 300})


def test_a_missing_config_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.py' does not exist"):
        load_config(tmp_path / "nothing.py")


@pytest.mark.parametrize("text", ["model = (", "_base_ = './gone.py'", "a = b", "raise TypeError"])
def test_a_broken_config_is_one_value_error(tmp_path, text):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.py' cannot be read"):
        load_config(path)


def test_an_unknown_argument_names_the_class(seg):
    from mmengine.registry import MODELS, init_default_scope

    config = load_config(seg, options={"model.backbone.fog": 1})
    init_default_scope("mmseg")
    with pytest.raises(ValueError, match=r"the model cannot be built.*fog"), building("the model"):
        MODELS.build(config.model)
