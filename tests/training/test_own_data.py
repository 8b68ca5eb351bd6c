"""From raw labels and names of one's own to the table, through the three tools."""

import shutil

import numpy as np
import pytest
from PIL import Image

from stl_backbones.errors import UserError
from stl_backbones.metrics import mean_iou
from stl_backbones.models import read_checkpoint
from stl_backbones.records import CLEAN
from stl_backbones.results import CellStore
from stl_backbones.training.test import evaluate
from stl_backbones.training.train import train

NAMES = tuple("abcdefghijk")
RAW = (3, 7, 20, 30, 40, 50, 60, 70, 80, 90, 100)

SHORT = {"max_iters": 2, "warmup_iters": 1, "val_interval": 2, "batch_size": 2}


@pytest.fixture(scope="module")
def config(repo_root):
    return repo_root / "configs/seg/stl_fan_t_mini.py"


@pytest.fixture(scope="module")
def data(mini_data, tmp_path_factory):
    """The generated scenes under other file names; 19 labels become 11, and raw ones."""
    root = tmp_path_factory.mktemp("own") / "data"
    for path in (mini_data / "cityscapes").rglob("*.png"):
        new = root / path.relative_to(mini_data / "cityscapes")
        new.parent.mkdir(parents=True, exist_ok=True)
        if path.name.endswith("_leftImg8bit.png"):
            shutil.copyfile(path, str(new).replace("_leftImg8bit", ""))
        elif path.name.endswith("_gtFine_labelTrainIds.png"):
            table = np.full(256, 1, np.uint8)  # 1 is no class
            table[:19] = np.resize(RAW, 19)
            raw = Image.fromarray(table[np.asarray(Image.open(path))])
            raw.save(str(new).replace("_gtFine_labelTrainIds", "_label"))
    return root


@pytest.fixture(scope="module")
def own(mini_options):
    return {**mini_options, **SHORT, "classes": NAMES, "label_ids": RAW,
            "img_suffix": ".png", "seg_map_suffix": "_label.png"}  # fmt: skip


@pytest.fixture(scope="module")
def folder(config, data, own, tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("own_run")
    return train(config, work_dir=work_dir, options=own, data_root=data)


def test_the_head_has_as_many_classes(folder):
    weights = read_checkpoint(folder / "iter_2.pth")["state_dict"]
    assert len(weights["decode_head.conv_seg.weight"]) == 11


def test_the_clean_cell_of_the_sweep_is_the_test_tools_score(
    folder, config, data, own, tmp_path, run_tool
):
    path = folder / "iter_2.pth"
    tested = evaluate(config, path, work_dir=tmp_path, options=own, data_root=data)
    words = [f"{name}={str(value).replace(' ', '')}" for name, value in own.items()]
    swept = run_tool("robustness.py", config, path, "--data-root", data, "--work-dir",
                     tmp_path / "sweep", "--corruptions", "fog", "--severities", "1",
                     "--cfg-options", *words)  # fmt: skip
    assert swept.returncode == 0, swept.stderr
    clean = CellStore(tmp_path / "sweep").read(CLEAN).samples["confusion_matrix"].sum(axis=0)
    assert clean.shape == (11, 11)
    assert 100 * mean_iou(clean) == pytest.approx(tested["mIoU"], abs=1e-9)


def test_without_names_the_numbers_are_the_names(config, data, own, tmp_path):
    named = {k: value for k, value in own.items() if k != "classes"}
    folder = train(config, work_dir=tmp_path, options={**named, "num_classes": 11},
                   data_root=data)  # fmt: skip
    meta = read_checkpoint(folder / "iter_2.pth")["meta"]["dataset_meta"]
    assert meta["classes"] == tuple(map(str, range(11)))


def test_the_head_alone_is_refused_with_what_moves_both(config, data, own, tmp_path):
    only = {k: value for k, value in own.items() if k != "classes"}
    message = r"has 11 classes \(decode_head\), the data set 19: .*num_classes=K moves both"
    with pytest.raises(UserError, match=message):
        train(config, work_dir=tmp_path, data_root=data,
              options={**only, "model.decode_head.num_classes": 11})  # fmt: skip
