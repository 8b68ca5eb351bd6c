"""Pretraining through function and tool on the generated crops: whole runs of a few steps."""

import json
import os
import shutil

import pytest
import torch

from stl_backbones.engine.checkpointing import GRADIENTS
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import UserError
from stl_backbones.models import read_checkpoint
from stl_backbones.training.test import evaluate
from stl_backbones.training.train import train as pretrain

SPLITS = ("train", "val", "test")
CHECK_POINT = "default_hooks.checkpoint"
# 10 images, 2 steps of 4 per epoch, 2 epochs.
SHORT = {
    "epochs": 2,
    "warmup_epochs": 1,
    "val_interval": 2,
    "batch_size": 4,
    "num_workers": 0,
    "drop_path_rate": 0.3,
    "default_hooks.logger.interval": 1,
    "log_processor.window_size": 1,  # the loss of a step, not a mean over the last ones
    **{f"{split}_dataloader.dataset.images_per_class": 1 for split in SPLITS},
    **{f"{split}_dataloader.dataset.pipeline.0.size": 32 for split in ("val", "test")},
}
EVERY_STEP = {f"{CHECK_POINT}.by_epoch": False, f"{CHECK_POINT}.interval": 1,
              f"{CHECK_POINT}.max_keep_ckpts": -1, f"{CHECK_POINT}.save_best": None}  # fmt: skip
ONE_VIEW = {"train_dataloader.dataset.pipeline.0.size": 32}
TWO_VIEWS = {"train_dataloader.dataset.pipeline.1.size": 32}


@pytest.fixture(scope="module")
def configs(repo_root):
    return {
        kind: repo_root / f"configs/cls/stl_fan_t_mini_{kind}.py" for kind in ("labeler", "student")
    }


@pytest.fixture(scope="module")
def labeler_options(mini_data):
    return {"data_root": str(mini_data / "imagenet"), **SHORT, **ONE_VIEW}


@pytest.fixture(scope="module")
def labeler(configs, labeler_options, tmp_path_factory):
    """The work folder of a labeler of two epochs."""
    folder = tmp_path_factory.mktemp("labeler")
    return pretrain(configs["labeler"], work_dir=folder, options=labeler_options)


@pytest.fixture(scope="module")
def student_options(mini_data, labeler):
    return {
        "data_root": str(mini_data / "imagenet"),
        "labeler": str(labeler / "epoch_2.pth"),
        **SHORT,
        **TWO_VIEWS,
        **EVERY_STEP,
    }


@pytest.fixture(scope="module")
def student(configs, student_options, tmp_path_factory):
    """The work folder of a student of two epochs with a checkpoint after every step."""
    folder = tmp_path_factory.mktemp("student")
    return pretrain(configs["student"], work_dir=folder, options=student_options)


def read(path):
    install_safe_loaders()
    return read_checkpoint(path)


def scalars(folder):
    """Lines of the newest log of numbers, without times."""
    (path,) = sorted(folder.glob("*/vis_data/scalars.json"))[-1:]
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [
        {k: v for k, v in line.items() if k not in ("time", "data_time", "memory")}
        for line in lines
    ]


def test_validation_names_both_weights_and_both_scorings(labeler):
    metrics = scalars(labeler)[-1]
    names = {
        f"{weights}/{scoring}_top{k}"
        for weights in ("raw", "ema")
        for scoring in ("cls", "cls_plus_max_token")
        for k in (1, 5)
    }
    assert names <= set(metrics)


def test_tensorboard_is_on(labeler):
    assert list(labeler.glob("*/vis_data/events.out.tfevents*"))


def test_learning_rate_warms_up_and_falls(labeler):
    rates = [line["lr"] for line in scalars(labeler) if "loss" in line]
    assert rates[:2] == pytest.approx([1e-6, 5e-4])
    assert rates[3] < rates[2] <= 5e-4


def test_a_checkpoint_says_what_it_is(student, labeler):
    content = read(student / "iter_4.pth")
    card = content["meta"]["stl_backbones"]
    assert (card["model"], card["arch"], card["num_classes"]) == ("STLStudent", "tiny_hybrid", 10)
    assert card["labeler"]["file"] == str(labeler / "epoch_2.pth")
    assert len(card["labeler"]["sha256"]) == 64
    assert len(content["meta"]["dataset_meta"]["classes"]) == 10
    assert not any("labeler" in name for name in content["state_dict"])


def test_a_checkpoint_holds_both_weights(student):
    content = read(student / "iter_4.pth")
    name = "backbone.blocks.0.attn.q.weight"
    averaged, raw = content["state_dict"][name], content["ema_state_dict"][f"module.{name}"]
    assert not torch.equal(averaged, raw)


def test_the_test_tool_scores_the_average(labeler, configs, labeler_options, tmp_path):
    metrics = evaluate(
        configs["labeler"], labeler / "epoch_2.pth", work_dir=tmp_path, options=labeler_options
    )
    logged = scalars(labeler)[-1]
    assert metrics == {name: logged[f"ema/{name}"] for name in metrics}
    assert len(metrics) == 4


@pytest.fixture
def without_a_class(mini_data, tmp_path):
    """The data, with a validation split that lacks the first class; and that class's name."""
    root = shutil.copytree(mini_data / "imagenet", tmp_path / "data")
    first = min(path for path in (root / "val").iterdir())
    shutil.rmtree(first)
    return root, first.name


def test_validation_is_numbered_by_training(without_a_class, configs, labeler_options, tmp_path):
    root, name = without_a_class
    options = {**labeler_options, "data_root": str(root)}
    folder = pretrain(configs["labeler"], work_dir=tmp_path / "run", options=options)
    (log,) = folder.glob("*/*.log")
    assert f"no images of 1 of the 10 classes of training ({name})" in log.read_text()
    classes = read(folder / "epoch_2.pth")["meta"]["dataset_meta"]["classes"]
    assert classes == tuple(sorted(path.name for path in (root / "train").iterdir()))
    (root / "val/zebra").mkdir()
    shutil.copy(next((root / "val").rglob("*.*")), root / "val/zebra")
    with pytest.raises(ValueError, match=r"1 class folders that training has not \(zebra\)"):
        pretrain(configs["labeler"], work_dir=tmp_path / "x", options=options)
    shutil.rmtree(root / "val/zebra")
    (root / f"train/{name}").rename(root / "train/zebra")
    with pytest.raises(ValueError, match=rf"began with other training classes.*{name}, zebra"):
        pretrain(configs["labeler"], work_dir=folder, options=options, resume="auto")


def test_a_tested_split_is_numbered_by_the_checkpoint(
    labeler, configs, labeler_options, without_a_class, tmp_path
):
    options = {**labeler_options, "test_evaluator.topk": (1, 2, 5, 9)}
    checkpoint = labeler / "epoch_2.pth"
    hits = []
    for number, root in enumerate((labeler_options["data_root"], without_a_class[0])):
        scores = evaluate(
            configs["labeler"], checkpoint, work_dir=tmp_path / str(number),
            options={**options, "data_root": str(root)},
        )  # fmt: skip
        images = 10 - number
        hits.append({name: round(score * images / 100) for name, score in scores.items()})
    # The image that is gone was right or wrong; the others are as right as before.
    gone = {name: hits[0][name] - hits[1][name] for name in hits[0]}
    assert set(gone.values()) <= {0, 1}
    assert all(gone[f"cls_top{k}"] <= gone[f"cls_top{m}"] for k, m in ((1, 2), (2, 5), (5, 9)))


@pytest.mark.parametrize("step", [2, 3])
def test_a_resumed_run_equals_an_uninterrupted_one(
    student, configs, student_options, tmp_path, step
):
    """From the end of an epoch and from the middle of one: losses, weights, average, optimizer."""
    pretrain(
        configs["student"],
        work_dir=tmp_path,
        resume=str(student / f"iter_{step}.pth"),
        options=student_options,
    )
    assert_equal_ends(student, tmp_path, step=step)


def test_accumulated_gradients_are_resumed(configs, student_options, tmp_path):
    """Of the two batches of a step one is done when the run is stopped."""
    options = {**student_options, "accumulate": 2}
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    pretrain(configs["student"], work_dir=whole, options=options)
    gathered, stepped = (read(whole / f"iter_{number}.pth") for number in (3, 2))
    assert "backbone.head.weight" in gathered[GRADIENTS]
    assert GRADIENTS not in stepped
    pretrain(
        configs["student"], work_dir=resumed, resume=str(whole / "iter_3.pth"), options=options
    )
    assert_equal_ends(whole, resumed, step=3)


def assert_equal_ends(student, tmp_path, *, step):
    whole, resumed = (read(folder / "iter_4.pth") for folder in (student, tmp_path))
    for part in ("state_dict", "ema_state_dict"):
        assert whole[part].keys() == resumed[part].keys()
        assert all(torch.equal(value, resumed[part][k]) for k, value in whole[part].items())
    for before, after in zip(
        whole["optimizer"]["state"].values(), resumed["optimizer"]["state"].values(), strict=True
    ):
        assert all(torch.equal(before[name], after[name]) for name in before)
    losses, again = (
        [line["loss"] for line in scalars(folder) if "loss" in line]
        for folder in (student, tmp_path)
    )
    assert again == losses[step:]


def test_resume_without_a_name_goes_on_in_the_folder(student, configs, student_options, tmp_path):
    copy = shutil.copytree(student, tmp_path / "copy")
    (copy / "iter_4.pth").unlink()
    pretrain(configs["student"], work_dir=copy, resume="auto", options=student_options)
    assert read(copy / "iter_4.pth")["meta"]["iter"] == 4


def test_resume_with_more_epochs_is_refused(student, configs, student_options, tmp_path):
    """The schedule of the checkpoint would stay: at the lowest rate in all epochs that come."""
    with pytest.raises(UserError, match=r"another training: .*train_cfg\.max_epochs 2 -> 4"):
        pretrain(configs["student"], work_dir=tmp_path, resume=str(student / "iter_2.pth"),
                 options={**student_options, "epochs": 4})  # fmt: skip


def test_starts_from_a_file_of_weights(labeler, configs, student_options, tmp_path):
    """With a rate of nearly nothing the weights stay those of the file."""
    start = labeler / "epoch_2.pth"
    chosen = {**student_options, "epochs": 2, "init": str(start), "lr": 1e-12}
    folder = pretrain(configs["student"], work_dir=tmp_path, options=chosen)
    name = "backbone.blocks.0.attn.q.weight"
    trained = read(folder / "iter_1.pth")["ema_state_dict"][f"module.{name}"]
    assert torch.allclose(trained, read(start)["state_dict"][name], atol=1e-6)
    (log,) = folder.glob("*/*.log")
    assert f"loaded {start}" in log.read_text()


def test_two_runs_within_a_second_have_a_log_each(configs, labeler_options, tmp_path, monkeypatch):
    monkeypatch.setattr("time.strftime", lambda *_: "20260101_000000")  # mmengine's clock
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        pretrain(configs["labeler"], work_dir=folder, options={**labeler_options, "epochs": 2})
    logs = [log.read_text() for folder in folders for log in folder.glob("*/*.log")]
    assert len(logs) == 2
    assert all(text.count("Saving checkpoint at 2 epochs") == 1 for text in logs)


def test_options_of_speed(configs, student_options, tmp_path):
    chosen = {
        **student_options,
        "epochs": 1,
        "warmup_epochs": 0.5,
        "accumulate": 2,
        "model.channels_last": True,
        "model.with_cp": True,
        "auto_scale_lr.enable": True,
    }
    folder = pretrain(configs["student"], work_dir=tmp_path, amp="bfloat16", options=chosen)
    content = read(folder / "iter_2.pth")
    assert content["state_dict"]["backbone.head.weight"].dtype == torch.float32
    assert content["ema_state_dict"]["steps"].item() == 1  # two batches, one step
    (log,) = folder.glob("*/*.log")
    expected = "lr 0.0005 for 1024 images a step becomes 3.90625e-06 for 8: 1 process(es) x 4 x 2"
    assert expected in log.read_text()


FROZEN_NORMS = """
from stl_backbones.pretraining import STLStudent
from stl_backbones.registry import MODELS
from torch.nn.modules.batchnorm import _BatchNorm


@MODELS.register_module()
class FrozenNormStudent(STLStudent):
    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self
"""
# Nothing drawn per process, no statistics per process, and no optimizer that divides by gradients
# that are nearly zero.
COMPARABLE = """
_base_ = ["{base}"]
custom_imports = dict(imports=["own_frozen_norms", "stl_backbones.engine"])
model = dict(
    type="stl_backbones.FrozenNormStudent",
    token_labels="argmax",
    data_preprocessor=dict(erase_prob=0.0, mixup_alpha=0.0, cutmix_alpha=0.0),
)
optim_wrapper = dict(optimizer=dict(_delete_=True, type="SGD", lr=0.1, momentum=0.9))
"""


def test_two_processes_equal_one(
    configs, student_options, tmp_path, monkeypatch, run_tool, torchrun, repo_root
):
    """The same global batch: weights within 1e-6, after steps ten thousand times as long."""
    (tmp_path / "own_frozen_norms.py").write_text(FROZEN_NORMS)
    config = tmp_path / "comparable.py"
    config.write_text(COMPARABLE.format(base=configs["student"]))
    monkeypatch.syspath_prepend(tmp_path)
    chosen = {**student_options, "drop_path_rate": 0.0, "lr": 2.0, "epochs": 4}
    one = pretrain(config, work_dir=tmp_path / "one", options={**chosen, "batch_size": 8})
    done = run_tool(
        "pretrain.py",
        config,
        "--work-dir",
        tmp_path / "two",
        "--cfg-options",
        *(f"{name}={value}" for name, value in chosen.items()),
        launch=torchrun,
        PYTHONPATH=os.pathsep.join((str(tmp_path), str(repo_root))),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("checkpoints and logs") == 1
    before, after, other = (
        read(path)["ema_state_dict"]  # the raw weights
        for path in (one / "iter_1.pth", one / "iter_4.pth", tmp_path / "two/iter_4.pth")
    )
    names = [name for name, value in after.items() if value.is_floating_point()]
    assert max((after[name] - before[name]).abs().max() for name in names) > 1e-2
    for name in names:
        assert torch.allclose(after[name], other[name], rtol=0, atol=1e-6), name
    scores = [
        {name: value for name, value in scalars(folder)[-1].items() if "top" in name}
        for folder in (one, tmp_path / "two")
    ]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 8


def test_two_processes_resume_exactly(configs, labeler_options, tmp_path, run_tool, torchrun):
    """From the middle of an epoch: weights, statistics, average and losses of the main process."""
    chosen = {**labeler_options, **EVERY_STEP, "batch_size": 2, "val_interval": 9}
    words = [f"{name}={value}" for name, value in chosen.items()]
    for folder, resume in (("whole", ()), ("resumed", ("--resume", tmp_path / "whole/iter_3.pth"))):
        done = run_tool(
            "pretrain.py", configs["labeler"], "--work-dir", tmp_path / folder, *resume,
            "--cfg-options", *words, launch=torchrun, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-2000:]
    whole, resumed = (read(tmp_path / folder / "iter_4.pth") for folder in ("whole", "resumed"))
    for part in ("state_dict", "ema_state_dict"):
        assert whole[part].keys() == resumed[part].keys()
        assert all(torch.equal(value, resumed[part][k]) for k, value in whole[part].items())
    losses, again = (
        [line["loss"] for line in scalars(tmp_path / folder) if "loss" in line]
        for folder in ("whole", "resumed")
    )
    assert again == losses[3:]


def test_the_tool_says_errors_in_one_line(run_tool, configs, tmp_path):
    done = run_tool("pretrain.py", configs["student"], "--work-dir", tmp_path, "--amp", "int8")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()[-1:]
    assert line == (
        "pretrain.py: error: unrecognized arguments: int8; --amp takes bfloat16 or float16, see "
        "--help"
    )


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_classes": 9}, r"holds 10 classes, labels 0..9, but the model has 9"),
            ({"num_classes": 11}, r"the model has 11 classes, the data 10; .*num_classes=10"),
            ({"batch_size": 11}, r"not be larger than the data set: expected at most 10"),
            ({"accumulate": 3}, r"expected at most 10 .*, got 12"),
            ({"model.loss_mode": "both"}, r"loss_mode must be one of .*, got 'both'"),
            ({"model.arch": "huge"}, r"unknown FAN arch 'huge'"),
            ({"data_root": "/gone"}, r"image folder '/gone/train' does not exist"),
        ],
    )
    def test_of_a_labeler(self, configs, labeler_options, tmp_path, options, message):
        with pytest.raises(UserError, match=message):
            pretrain(configs["labeler"], work_dir=tmp_path, options={**labeler_options, **options})

    def test_of_going_on_with_other_steps(self, configs, student, student_options, tmp_path):
        with pytest.raises(
            ValueError, match=r"another training: train_dataloader\.batch_size 4 -> 5; .*load_from="
        ):
            pretrain(
                configs["student"],
                work_dir=tmp_path,
                resume=str(student / "iter_2.pth"),
                options={**student_options, "batch_size": 5},
            )

    def test_of_two_ideas_of_the_labelers_view(self, configs, student_options, tmp_path):
        views = {"model.data_preprocessor.labeler_view": ["spatial", "mixup"]}
        with pytest.raises(
            ValueError, match=r"\['spatial'\] in .*TwoViews and .*'mixup'.*same list"
        ):
            pretrain(configs["student"], work_dir=tmp_path, options={**student_options, **views})

    def test_of_a_missing_labeler(self, configs, student_options, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"labeler 'gone.pth' does not exist"):
            pretrain(
                configs["student"],
                work_dir=tmp_path,
                options={**student_options, "labeler": "gone.pth"},
            )

    def test_of_a_labeler_with_other_classes(self, configs, student_options, tmp_path):
        train = "train_dataloader.dataset.classes"
        classes = ["car", "bus", "bicycle", "motorcycle", "person", "traffic_light",
                   "traffic_sign", "train", "tree", "truck"]  # fmt: skip
        with pytest.raises(ValueError, match=r"in another order: class 0 is 'bicycle' there"):
            pretrain(
                configs["student"], work_dir=tmp_path, options={**student_options, train: classes}
            )

    def test_of_another_labeler_after_an_interruption(
        self, student, labeler, configs, student_options, tmp_path
    ):
        other = read(labeler / "epoch_2.pth")
        kept = {name: other["meta"][name] for name in ("dataset_meta", "stl_backbones")}
        torch.save({"state_dict": other["state_dict"], "meta": kept}, tmp_path / "other.pth")
        with pytest.raises(ValueError, match=r"this run began with labeler .*epoch_2.pth"):
            pretrain(
                configs["student"],
                work_dir=tmp_path,
                resume=str(student / "iter_2.pth"),
                options={**student_options, "labeler": str(tmp_path / "other.pth")},
            )

    def test_of_another_architecture(self, labeler, configs, labeler_options, tmp_path):
        chosen = {**labeler_options, "model.arch": "tiny_vit"}
        start = str(labeler / "epoch_2.pth")
        with pytest.raises(ValueError, match="does not fit the config's model"):
            pretrain(configs["labeler"], work_dir=tmp_path, resume=start, options=chosen)
        with pytest.raises(ValueError, match="The file holds a FAN-T-Hybrid"):
            pretrain(configs["labeler"], work_dir=tmp_path, options={**chosen, "init": start})

    def test_of_float16_without_a_gpu(self, configs, labeler_options, tmp_path):
        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
        with pytest.raises(ValueError, match="--amp float16 needs a GPU; take --amp bfloat16"):
            pretrain(configs["labeler"], work_dir=tmp_path, amp="float16", options=labeler_options)

    def test_of_a_loss_that_is_not_finite(self, configs, labeler_options, tmp_path):
        with pytest.raises(ValueError, match=r"the loss is nan in epoch 1, step \d.*\.JPEG, "):
            pretrain(configs["labeler"], work_dir=tmp_path, options={**labeler_options, "lr": 1e30})
