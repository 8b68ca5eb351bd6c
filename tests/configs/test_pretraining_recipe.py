"""The pretraining configs state Table 11, and the ablations change what they say."""

from pathlib import Path

import pytest

from stl_backbones.config.reading import load_config

CLS = Path(__file__).parents[2] / "configs/cls"
# Variant, lr, images a step, warm-up epochs, drop path.
TABLE_11 = {
    "t": ("tiny_hybrid", 2e-3, 1024, 5, 0.05),
    "s": ("small_hybrid", 2e-3, 1024, 5, 0.25),
    "b": ("base_hybrid", 4e-3, 2048, 10, 0.35),
    "l": ("large_hybrid", 4e-3, 2048, 10, 0.45),
}
ABLATIONS = sorted((CLS / "ablations").glob("*.py"))


@pytest.mark.parametrize("kind", ["labeler", "student", "classifier"])
@pytest.mark.parametrize("size", TABLE_11)
def test_recipe(size, kind):
    arch, lr, batch, warmup, drop_path = TABLE_11[size]
    config = load_config(CLS / f"stl_fan_{size}_{kind}.py")
    assert (config.model.arch, config.model.drop_path_rate) == (arch, drop_path)
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ("AdamW", lr, 0.05)
    assert (tuple(optimizer.betas), optimizer.eps) == ((0.9, 0.999), 1e-8)
    assert "clip_grad" not in config.optim_wrapper
    assert config.auto_scale_lr == {"enable": True, "base_batch_size": batch}
    rise, fall = config.param_scheduler
    assert (rise.begin, rise.end, rise.start_factor * lr) == (0, warmup, pytest.approx(1e-6))
    assert (fall.begin, fall.end, fall.eta_min) == (warmup, 350, 1e-6)
    assert config.train_cfg.max_epochs == 360
    pipeline = config.train_dataloader.dataset.pipeline
    assert pipeline[-2].policy == "rand-m9-mstd0.5-inc1"
    assert (pipeline[0].type == "stl_backbones.TwoViews") == (kind == "student")
    draws = config.model.data_preprocessor
    assert (draws.erase_prob, draws.mixup_alpha, draws.cutmix_alpha) == (0.3, 0.8, 1.0)
    assert (draws.switch_prob, draws.label_smoothing) == (0.5, 0.1)
    averages = [hook.decay for hook in config.custom_hooks if "EMA" in hook.type]
    assert averages == [0.99992]


def test_the_models_defaults_are_the_papers():
    labeler = load_config(CLS / "stl_fan_b_labeler.py").model
    assert (labeler.loss_mode, labeler.alpha) == ("cls_and_gap", 1.0)
    student = load_config(CLS / "stl_fan_b_student.py").model
    assert (student.token_labels, student.tau, student.beta) == ("gumbel", 1.0, 1.0)
    assert student.smoothing == 0.1


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_an_ablation_changes_what_its_name_says(path):
    """And nothing but its own keys."""
    base = load_config(CLS / f"{'_'.join(path.stem.split('_')[:4])}.py")
    config = load_config(path)
    changed = {key for key in config.model if config.model[key] != base.model.get(key)}
    assert len(changed) == 1
    (key,) = changed
    expected = {
        "labeler": "loss_mode", "beta": "beta", "of": "labeler", "softmax": "token_labels",
        "argmax": "token_labels",
    }  # fmt: skip
    word = path.stem.split("_")[4]
    if path.stem.startswith("stl_fan_s_student_labeler_view"):
        assert key == "data_preprocessor"
        views = config.train_dataloader.dataset.pipeline[0].labeler_view
        assert views == config.model.data_preprocessor.labeler_view
        assert len(views) > 1
        return
    assert key == expected.get(word, "loss_mode")
    rest = {name: config[name] for name in config if name not in ("model",)}
    assert rest == {name: base[name] for name in base if name not in ("model",)}


def test_a_variable_changes_everything_that_it_stands_for():
    options = {"seed": 3, "num_classes": 7, "epochs": 30, "labeler": "x.pth"}
    config = load_config(CLS / "stl_fan_s_student.py", options=options)
    model, data = config.model, config.train_dataloader.dataset
    assert (config.randomness.seed, data.seed, model.data_preprocessor.seed) == (3, 3, 3)
    assert (model.num_classes, data.num_classes, model.data_preprocessor.num_classes) == (7, 7, 7)
    assert (config.train_cfg.max_epochs, config.param_scheduler[1].end) == (30, 30)
    assert model.labeler == {"checkpoint": "x.pth", "timm_name": None}


def test_every_table_has_its_ablations():
    names = [path.stem for path in ABLATIONS]
    assert sum("_of_" in name and "nfnet" not in name for name in names) == 6  # Table 8
    assert sum("nfnet_f6" in name for name in names) == 3  # Table 9
    assert sum("beta" in name for name in names) == 2  # Table 10
    assert sum("labeler_view" in name for name in names) == 2  # Table 6
    assert sum("_labeler_" in name and "view" not in name for name in names) == 4  # A.1
