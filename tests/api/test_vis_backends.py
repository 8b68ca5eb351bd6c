"""The scores of a sweep in the log, and by mmengine's visualizer wherever it writes."""

import json
from pathlib import Path

import numpy as np
import pytest
from toys import nearest, squares

import stl_backbones as stl
from stl_backbones.errors import InputError, MissingPackageError, UnknownNameError
from stl_backbones.robustness import vis_backends
from stl_backbones.robustness.vis_backends import open_sink
from stl_backbones.run_log import LOG, read_log

pytest.importorskip("mmengine")
CHOSEN = {"corruptions": ["contrast"], "severities": [4, 5], "mode": "fast", "progress": False,
          "workers": 0, "classes": ("ground", "leaf", "brick"), "version": "1"}  # fmt: skip


def labels(images):
    return [nearest(image) for image in images]


def scalars(folder):
    lines = (folder / "vis_data/scalars.json").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_a_sweep_writes_its_scores_to_its_log_and_to_a_visualizer(tmp_path):
    data = [squares(seed) for seed in range(2)]
    result = stl.evaluate(labels, data, work_dir=tmp_path, vis_backends=["LocalVisBackend"],
                          **CHOSEN)  # fmt: skip
    events = read_log(tmp_path / LOG)
    cells = {one["cell"]: one["score"] for one in events if one["event"] == "cell"}
    pytest.importorskip("pandas")
    table = result.cells(resamples=0)
    miou = table[table["metric"] == "miou"].set_index(["corruption", "severity"])["value"]
    assert cells["clean"] == miou["clean", 0] == 1
    assert cells["contrast-5"] == pytest.approx(miou["contrast", 5])
    assert {"mIoU/contrast": cells["contrast-4"], "step": 4} in scalars(tmp_path)
    assert {"progress/clean": 1.0, "step": 2} in scalars(tmp_path)
    assert [one["event"] for one in events][-1] == "end"
    stl.evaluate(labels, data, work_dir=tmp_path, **CHOSEN)  # nothing is left to do
    more = [one["event"] for one in read_log(tmp_path / LOG)[len(events) :]]
    assert (more[0], more[-1], "cell" in more) == ("start", "end", False)


def test_a_config_names_its_backends(tmp_path):
    from mmengine.config import Config

    config = Config({
        "vis_backends": [{"type": "TensorboardVisBackend"}],
        "visualizer": {"type": "Visualizer", "vis_backends": [{"type": "LocalVisBackend"}]},
    })  # fmt: skip
    sink = open_sink(None, tmp_path, config=config)
    sink("cell", {"metric": "top-1", "corruption": "fog", "severity": 3, "score": 0.25})
    sink("cell", {"metric": "top-1", "corruption": "fog", "severity": 2.5, "score": 0.5})
    sink("cell", {"metric": "top-1", "dataset": "val (ours)", "severity": 0, "score": 0.5})
    sink("progress", {"done": 8, "clean": np.nan, "corrupted": 0.5})
    sink("end", {})
    assert scalars(tmp_path) == [
        {"top-1/fog": 0.25, "step": 3},
        {"top-1/fog-2.5": 0.5, "step": 2},
        {"top-1/val _ours_": 0.5, "step": 0},
        {"progress/corrupted": 0.5, "step": 8},
    ]
    assert Path(tmp_path / "vis_data/config.py").is_file()
    assert open_sink(None, tmp_path, config=Config({})) is None


def test_what_cannot_be_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="'Tensorboard'; did you mean TensorboardVisBackend"):
        open_sink(["Tensorboard"], tmp_path, config=None)

    with pytest.raises(InputError, match=r"vis_backends cannot be opened: .*colour"):
        open_sink([{"type": "LocalVisBackend", "colour": 1}], tmp_path, config=None)

    def missing(*_args, **_kwargs):
        raise ImportError('Please run "pip install wandb" to install wandb')

    monkeypatch.setattr(vis_backends.VISUALIZERS, "build", missing)
    with pytest.raises(MissingPackageError, match='vis_backends: Please run "pip install wandb"'):
        open_sink(["LocalVisBackend"], tmp_path, config=None)
