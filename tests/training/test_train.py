"""Training and testing through the tools, on the generated scenes."""

import os
import shutil
from functools import partial

import pytest
import torch

from stl_backbones.engine.checkpointing import find_resume
from stl_backbones.engine.safe_loaders import install_safe_loaders
from stl_backbones.errors import UserError
from stl_backbones.models import read_checkpoint
from stl_backbones.results.lock import HeldError, locked
from stl_backbones.training.test import evaluate
from stl_backbones.training.train import train

SHORT = {
    "max_iters": 2,
    "warmup_iters": 1,
    "val_interval": 2,
    "batch_size": 2,
    "default_hooks.logger.interval": 1,
    "default_hooks.checkpoint.interval": 1,
}


@pytest.fixture(scope="module")
def config(repo_root):
    return repo_root / "configs/seg/stl_fan_t_mini.py"


@pytest.fixture(scope="module")
def options(mini_options):
    return {**mini_options, **SHORT}


@pytest.fixture(scope="module")
def words(mini_option_words):
    return [*mini_option_words, *(f"{name}={value}" for name, value in SHORT.items())]


@pytest.fixture(scope="module")
def trained(config, options, tmp_path_factory):
    return train(config, work_dir=tmp_path_factory.mktemp("train"), options=options)


def weights(path):
    install_safe_loaders()
    return read_checkpoint(path)["state_dict"]


def test_writes_a_checkpoint_that_differs_from_its_start(trained, mini_checkpoint):
    after, before = weights(trained / "iter_2.pth"), weights(mini_checkpoint)
    assert after.keys() == before.keys()
    assert not torch.equal(after["backbone.blocks.0.attn.q.weight"],
                           before["backbone.blocks.0.attn.q.weight"])  # fmt: skip


def test_the_whole_config_is_kept_beside_the_run(trained, options, tmp_path):
    """Whatever part training used: the test tool takes it from there."""
    from stl_backbones.config.reading import load_config

    (kept,) = trained.glob("*.py")
    metrics = evaluate(kept, trained / "iter_2.pth", work_dir=tmp_path, options={"num_workers": 0})
    assert set(metrics) == {"mIoU", "mAcc", "aAcc"}
    assert load_config(tmp_path / kept.name).train_cfg.max_iters == 2


def test_scores_the_checkpoint(trained, config, options, tmp_path):
    metrics = evaluate(config, trained / "iter_2.pth", work_dir=tmp_path, options=options)
    assert set(metrics) == {"mIoU", "mAcc", "aAcc"}
    assert 0 < metrics["aAcc"] <= 100


def test_the_sweeps_clean_cell_is_the_test_tools_miou(trained, config, options, tmp_path):
    from stl_backbones.metrics import mean_iou
    from stl_backbones.records import CLEAN
    from stl_backbones.results import CellStore
    from stl_backbones.robustness.options import SweepOptions
    from stl_backbones.robustness.sources.config import ConfigSource
    from stl_backbones.robustness.sweep import sweep

    metrics = evaluate(config, trained / "iter_2.pth", work_dir=tmp_path, options=options)
    chosen = SweepOptions(corruptions=["brightness"], severities=[1], workers=0)
    source = ConfigSource(config, trained / "iter_2.pth", options=options)
    folder = sweep(source, work_dir=tmp_path / "sweep", options=chosen)
    clean = CellStore(folder).read(CLEAN).samples["confusion_matrix"].sum(axis=0)
    assert 100 * mean_iou(clean) == pytest.approx(metrics["mIoU"], abs=1e-9)


def test_resume_goes_on_in_a_copied_folder(trained, config, options, tmp_path):
    before = (trained / "iter_2.pth").stat()
    copy = shutil.copytree(trained, tmp_path / "copy")
    (copy / "iter_2.pth").unlink()  # which last_checkpoint still names
    train(config, work_dir=copy, resume="auto", options=options)
    assert find_resume(copy) == copy / "iter_2.pth"
    assert (trained / "iter_2.pth").stat() == before


def test_resume_takes_no_other_schedule(trained, config, options, tmp_path):
    with pytest.raises(UserError, match=r"another training: .*train_cfg\.max_iters 2 -> 3"):
        train(config, work_dir=tmp_path, resume=str(trained / "iter_1.pth"),
              options={**options, "max_iters": 3})  # fmt: skip


def test_a_run_stopped_before_its_first_checkpoint_starts_anew(config, options, tmp_path):
    with locked(tmp_path):
        pass  # what such a run leaves
    train(config, work_dir=tmp_path, resume="auto", options=options)
    assert find_resume(tmp_path) == tmp_path / "iter_2.pth"


def test_one_run_at_a_time_in_a_folder(config, options, tmp_path):
    with locked(tmp_path), pytest.raises(HeldError, match="is being written by process"):
        train(config, work_dir=tmp_path, options=options)
    assert not list(tmp_path.glob("*.pth"))


def test_mixed_precision_on_the_cpu(config, options, tmp_path):
    folder = train(config, work_dir=tmp_path, amp="bfloat16", options={**options, "max_iters": 2})
    values = weights(folder / "iter_2.pth")
    assert values["decode_head.conv_seg.weight"].dtype == torch.float32
    assert all(value.isfinite().all() for value in values.values())


def test_two_processes_train_one_model(config, words, tmp_path, run_tool, torchrun):
    done = run_tool(
        "train.py", config, "--work-dir", tmp_path, "--cfg-options", *words, launch=torchrun
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("checkpoints and logs") == 1
    assert (tmp_path / "iter_2.pth").is_file()


def test_the_rate_follows_the_batch_where_asked_to(config, options, tmp_path):
    """The config's 1e-3 is of 4 images a step; a batch of 2 has half of it."""
    folder = train(config, work_dir=tmp_path, options=options, auto_scale_lr=True)
    groups = read_checkpoint(folder / "iter_2.pth")["optimizer"]["param_groups"]
    assert {group["initial_lr"] for group in groups} == {5e-4}


class TestRefusals:
    def test_a_rate_of_no_known_batch(self, config, options, tmp_path):
        unknown = {**options, "auto_scale_lr.base_batch_size": None}
        with pytest.raises(UserError, match=r"give --cfg-options auto_scale_lr.base_batch_size=N"):
            train(config, work_dir=tmp_path, options=unknown, auto_scale_lr=True)

    def test_a_missing_data_root(self, config, options, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"does not exist; give the data set's folder"):
            train(config, work_dir=tmp_path, options={**options, "data_root": "/nowhere"})

    def test_an_unknown_argument(self, config, options, tmp_path):
        with pytest.raises(ValueError, match=r"cannot be built from the config: .*fog"):
            train(config, work_dir=tmp_path, options={**options, "model.backbone.fog": 1})

    def test_nothing_to_resume(self, config, options, tmp_path):
        with pytest.raises(FileNotFoundError, match="nothing to resume"):
            train(config, work_dir=tmp_path, resume="auto", options=options)

    def test_a_work_folder_that_is_a_file(self, config, options, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="exists"):
            train(config, work_dir=tmp_path / "file", options=options)

    def test_a_checkpoint_of_another_architecture(self, trained, config, options, tmp_path):
        other = {
            "model.backbone.arch": "small_hybrid",
            "model.decode_head.in_channels": [128, 256, 384, 384],
        }
        with pytest.raises(ValueError, match="does not fit the config's model"):
            evaluate(
                config, trained / "iter_2.pth", work_dir=tmp_path, options={**options, **other}
            )

    @pytest.mark.parametrize("way", ["resume", "load_from", "pretrained", "test"])
    def test_pickled_code(self, config, options, tmp_path, way):
        class Payload:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "ran"),)

        evil = tmp_path / "evil.pth"
        torch.save({"state_dict": {}, "meta": {}, "x": Payload()}, evil)
        chosen = {**options, **({way: str(evil)} if way in ("load_from", "pretrained") else {})}
        resume = str(evil) if way == "resume" else None
        run = (
            partial(evaluate, config, evil)
            if way == "test"
            else partial(train, config, resume=resume)
        )
        with pytest.raises(ValueError, match="pickled code"):
            run(work_dir=tmp_path, options=chosen)
        assert not (tmp_path / "ran").exists()

    def test_a_truncated_training_image(self, mini_data, config, options, tmp_path):
        data = shutil.copytree(mini_data / "cityscapes", tmp_path / "data")
        first = min((data / "leftImg8bit/train").rglob("*.png"))
        first.write_bytes(first.read_bytes()[:200])
        options = {**options, "data_root": str(data)}
        with pytest.raises(ValueError, match=rf"{first.name}' is truncated"):
            train(config, work_dir=tmp_path / "a", options=options)
        train(config, work_dir=tmp_path / "b", options=options, skip_broken=True)
        assert (tmp_path / "b/iter_2.pth").is_file()


@pytest.fixture
def lightning_file(mini_checkpoint, tmp_path):
    """The weights as another trainer would write them: wrapped twice, under a key of its own."""
    wrapped = {f"model.module.{k}": v + 1e-3 if v.is_floating_point() else v
               for k, v in weights(mini_checkpoint).items()}  # fmt: skip
    torch.save({"epoch": 3, "model_state_dict": wrapped}, tmp_path / "lightning.ckpt")
    plain = {k.removeprefix("model.module."): v for k, v in wrapped.items()}
    torch.save({"state_dict": plain, "meta": {}}, tmp_path / "plain.pth")
    return tmp_path / "lightning.ckpt"


def test_a_run_starts_from_a_wrapped_file(config, options, lightning_file, tmp_path):
    """mmengine itself would load nothing of it, and say so in a warning alone."""
    frozen = {**options, "optim_wrapper.optimizer.lr": 0.0, "val_interval": 9}
    train(config, work_dir=tmp_path / "run", options={**frozen, "load_from": str(lightning_file)})
    after = weights(find_resume(tmp_path / "run"))
    start = weights(tmp_path / "plain.pth")
    learned = [name for name in after if "running" not in name and "num_batches" not in name]
    assert all(torch.equal(after[name], start[name]) for name in learned)


def test_a_wrapped_file_scores_as_the_plain_one(config, options, lightning_file, tmp_path):
    files = (lightning_file, tmp_path / "plain.pth")
    one, other = (evaluate(config, f, work_dir=tmp_path / "w", options=options) for f in files)
    assert one == other


def test_averaged_weights_are_scored_unless_raw_ones_are_asked_for(
    config, options, mini_checkpoint, tmp_path
):
    raw = weights(mini_checkpoint)
    averaged = {k: -v if "conv_seg" in k else v for k, v in raw.items()}
    torch.save({"state_dict": raw, "state_dict_ema": averaged}, tmp_path / "both.pth")
    torch.save({"state_dict": averaged}, tmp_path / "averaged.pth")
    score = partial(evaluate, config, work_dir=tmp_path / "w", options=options)
    assert score(tmp_path / "both.pth") == score(tmp_path / "averaged.pth")
    assert score(tmp_path / "both.pth", ema=False) == score(mini_checkpoint)
    assert score(mini_checkpoint) != score(tmp_path / "averaged.pth")
