"""A training goes on as the same training, or not at all."""

import functools
import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from stl_backbones.config.reading import load_config
from stl_backbones.engine.distributed import Ranks
from stl_backbones.errors import InputError
from stl_backbones.results.lock import locked
from stl_backbones.training.resuming import check_same_training, choose_resume

CONFIGS = {
    "seg": "configs/seg/stl_fan_t_mini.py",
    "det": "configs/det/stl_fan_t_cascade_mask_rcnn_mini.py",
    "cls": "configs/cls/stl_fan_t_mini_classifier.py",
    "student": "configs/cls/stl_fan_t_mini_student.py",
}


def run(config, *, processes=1):
    logger = logging.getLogger("test_resuming")
    return SimpleNamespace(cfg=config, world_size=processes, logger=logger)


def checkpoint(config, **meta):
    return {"meta": {"cfg": config.pretty_text, "epoch": 1, "iter": 2, **meta}}


@pytest.fixture(scope="module")
def read(repo_root):
    @functools.cache
    def as_it_is(task):
        return load_config(repo_root / CONFIGS[task])

    def read(task, **options):
        path = repo_root / CONFIGS[task]
        return load_config(path, options=options) if options else as_it_is(task)

    return read


@pytest.mark.parametrize(
    ("task", "options", "named"),
    [
        ("cls", {"epochs": 8}, r"param_scheduler\.1\.end 40 -> 8, train_cfg\.max_epochs 40 -> 8"),
        ("cls", {"warmup_epochs": 2}, r"param_scheduler\.0\.end 4 -> 2"),
        ("cls", {"lr": 1e-3}, r"optim_wrapper\.optimizer\.lr 0\.0005 -> 0\.001"),
        ("cls", {"batch_size": 7}, r"train_dataloader\.batch_size \d+ -> 7"),
        ("cls", {"accumulate": 2}, r"optim_wrapper\.accumulative_counts 1 -> 2"),
        ("cls", {"custom_hooks.2.decay": 0.5}, r"custom_hooks\.2\.decay 0\.99\d* -> 0\.5"),
        ("cls", {"seed": 3}, r"randomness\.seed 0 -> 3"),
        ("seg", {"max_iters": 2000}, r"train_cfg\.max_iters 1000 -> 2000"),
        ("seg", {"model.decode_head.loss_decode.loss_weight": 2.0}, r"loss_weight 1\.0 -> 2\.0"),
        ("seg", {"param_scheduler.1.type": "PolyLR"}, r"CosineAnnealingLR -> PolyLR"),
        ("seg", {"model.decode_head.loss_decode.class_weight": [1.0] * 19},
         r"class_weight\.0 not stated -> 1\.0"),
        ("det", {"max_epochs": 30}, r"train_cfg\.max_epochs 20 -> 30"),
        ("det", {"milestones": [10, 18]}, r"param_scheduler\.1\.milestones\.0 15 -> 10"),
        ("det", {"optim_wrapper.clip_grad.max_norm": 1.0}, r"clip_grad\.max_norm 5\.0 -> 1\.0"),
    ],
)  # fmt: skip
def test_what_changes_the_curve_is_refused_by_name(read, task, options, named):
    message = rf"'x\.pth' belongs to another training: .*{named}.*load_from=x\.pth"
    with pytest.raises(InputError, match=message):
        check_same_training(run(read(task, **options)), checkpoint(read(task)), "x.pth")


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("cls", {"data_root": "/elsewhere", "num_workers": 7, "val_interval": 1}),
        ("student", {"labeler": "moved.pth"}),
        ("seg", {"data_root": "/elsewhere", "pretrained": "moved.pth", "log_level": "ERROR"}),
        ("seg", {"optim_wrapper.type": "AmpOptimWrapper", "optim_wrapper.dtype": "bfloat16"}),
        ("seg", {"model.decode_head.norm_cfg.type": "BN"}),
        ("seg", {"default_hooks.logger.interval": 1, "model.test_cfg.mode": "whole"}),
        ("det", {"train_ann": "moved.json", "with_cp": True, "work_dir": "/elsewhere"}),
    ],
)
def test_what_does_not_may_change(read, task, options):
    before, now = read(task), read(task, **options)
    assert now.pretty_text != before.pretty_text
    check_same_training(run(now), checkpoint(before), "x.pth")


def test_the_same_in_another_kind_of_file_is_the_same(read, tmp_path):
    """JSON has no tuples."""
    before = read("seg")
    before.dump(tmp_path / "same.json")
    now = Config.fromfile(tmp_path / "same.json", import_custom_modules=False)
    check_same_training(run(now), checkpoint(before), "x.pth")


def test_another_number_of_processes(read):
    config = read("det")
    with pytest.raises(InputError, match=r"processes 1 -> 2"):
        check_same_training(run(config, processes=2), checkpoint(config, processes=1), "x.pth")


def test_a_config_of_any_text_is_read_as_data(read, tmp_path, caplog):
    """What it would run is compared as text; no config at all is said."""
    config = read("seg")
    text = f"import os\nmodel = os.mkdir({str(tmp_path / 'ran')!r})\n"
    with pytest.raises(InputError, match="model"):
        check_same_training(run(config), checkpoint(config, cfg=text), "x.pth")
    assert not (tmp_path / "ran").exists()
    for nothing in (None, "x = = 1"):
        caplog.clear()
        check_same_training(run(config), checkpoint(config, cfg=nothing), "x.pth")
        assert "'x.pth' holds no config" in caplog.text


class TestWhereItBegins:
    def choose(self, folder, option=None, **settings):
        config = Config({"work_dir": str(folder), **settings})
        choose_resume(config, option, Ranks())
        return config.get("load_from")

    def save(self, folder, *names):
        for name in names:
            torch.save({}, folder / name)

    def test_a_fresh_start_beside_earlier_work_is_said(self, tmp_path, capsys):
        assert self.choose(tmp_path) is None
        assert capsys.readouterr().out == ""
        self.save(tmp_path, "epoch_2.pth")
        assert self.choose(tmp_path) is None
        assert "an earlier run (epoch_2.pth); this one begins at 0" in capsys.readouterr().out

    def test_a_run_without_a_checkpoint_yet_begins_at_0_and_says_so(self, tmp_path, capsys):
        with locked(tmp_path):
            pass  # what a run leaves
        assert self.choose(tmp_path, "auto") is None
        assert "stopped before its first checkpoint: it begins at 0" in capsys.readouterr().out

    def test_nor_is_a_best_one_to_go_on_from(self, tmp_path, capsys):
        with locked(tmp_path):
            pass
        self.save(tmp_path, "best_mIoU_iter_2.pth")
        assert self.choose(tmp_path, "auto") is None
        assert "stopped before its first checkpoint: it begins at 0" in capsys.readouterr().out

    @pytest.mark.parametrize("name", ["best_mIoU_iter_2.pth", "epoch_3.pth"])
    def test_work_without_a_whole_checkpoint_is_not_begun_anew(self, tmp_path, name):
        with locked(tmp_path):
            pass
        self.save(tmp_path, name)
        if name.startswith("epoch"):
            (tmp_path / name).write_bytes(b"cut")
        else:  # the run had come to its first checkpoint, which is gone
            (tmp_path / "last_checkpoint").write_text("iter_4.pth")
        with pytest.raises(FileNotFoundError, match=rf"of {name} in .* none is a whole checkp"):
            self.choose(tmp_path, "auto")

    def test_a_config_may_ask_for_it(self, tmp_path):
        """``resume = True`` alone, as OpenMMLab's configs have it: a first run just begins."""
        assert self.choose(tmp_path, resume=True) is None
        with locked(tmp_path):
            pass
        self.save(tmp_path, "iter_4.pth")
        assert self.choose(tmp_path, resume=True) == str(tmp_path / "iter_4.pth")
