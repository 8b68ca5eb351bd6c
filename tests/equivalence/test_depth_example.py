"""docs/examples/depth, the very files: a task of one's own, swept, resumed and reported."""

import contextlib
import csv
import sys
from unittest import mock

import numpy as np
import pytest
from harness import CORRUPTED, Case, check, spying, sweep, write_config, write_png, write_weights
from mmseg.evaluation import DepthMetric

from stl_backbones.config.bases import BASES
from stl_backbones.corruptions import import_modules
from stl_backbones.records import CLEAN
from stl_backbones.results import CellStore
from stl_backbones.robustness.tasks.registry import TASKS

SCALE = 256  # levels of a depth file per metre
CONFIG = {
    "default_scope": "mmseg",
    "model": {
        "type": "DepthEstimator",
        "data_preprocessor": {
            "type": "SegDataPreProcessor", "mean": [110.0] * 3, "std": [60.0] * 3,
            "bgr_to_rgb": True,
        },
        "backbone": {"type": "ResNet", "depth": 18, "base_channels": 16},
        "decode_head": {
            "type": "VPDDepthHead", "in_channels": [16, 32, 64, 128], "embed_dim": 4,
            "feature_dim": 32, "max_depth": 10.0,
        },
        "test_cfg": {"mode": "whole"},
    },
    "test_evaluator": {"type": "DepthMetric", "min_depth_eval": 0.5, "max_depth_eval": 9.5},
    "test_cfg": {"type": "TestLoop"},
}  # fmt: skip


def write_rooms(folder):
    """Three pictures of 64x64 in NYU's layout; what is far is dark."""
    rng = np.random.default_rng(0)
    for number in range(3):
        across = np.linspace(0, 9, 64)[None] * rng.uniform(0.3, 1)
        depth = across + rng.uniform(0, 1.5, (64, 1))  # some are beyond what counts
        image = 250 - 25 * depth[..., None] + rng.uniform(-20, 20, (64, 64, 3))
        write_png(folder / f"data/images/room_{number}.jpg", image.clip(0, 255).astype(np.uint8))
        levels = (depth * SCALE).astype(np.uint16)
        write_png(folder / f"data/annotations/room_{number}.png", levels)
    dataset = {
        "type": "NYUDataset",
        "data_root": str(folder / "data"),
        "pipeline": [
            {"type": "LoadImageFromFile"},
            {"type": "LoadDepthAnnotation", "depth_rescale_factor": 1 / SCALE},
            {"type": "PackSegInputs"},
        ],
    }
    sampler = {"type": "DefaultSampler", "shuffle": False}
    loader = {"batch_size": 1, "num_workers": 0, "sampler": sampler, "dataset": dataset}
    write_config(folder, {**CONFIG, "test_dataloader": loader})


@pytest.fixture(scope="module")
def example(repo_root):
    """The files' folder; the task is forgotten afterwards."""
    folder = repo_root / "docs/examples/depth"
    with mock.patch.dict(TASKS), mock.patch.dict(BASES):
        import_modules([str(folder / "depth_task.py")])
        yield folder
    sys.modules.pop("depth_task")


@contextlib.contextmanager
def depth_numbers():
    """Yield what `DepthMetric` computes, before it is rounded."""
    found, seen = {}, []
    calc = DepthMetric._calc_all_metrics
    with spying(DepthMetric, "compute_metrics", lambda self, results: seen.extend(results)):
        yield found
    images = [calc(*pair) for pair in seen]
    found |= {name: np.mean([one[name] for one in images]) for name in ("d1", "abs_rel", "rmse")}


def kept_numbers(result):
    assert 0.02 < result.samples["d1"].mean() < 0.98  # else equality would prove little
    return {name: values.mean() for name, values in result.samples.items()}


@pytest.mark.filterwarnings("ignore")
def test_cells_are_what_mmseg_computes(example, tmp_path):
    case = Case(write_rooms, images="data/images")
    check(case, tmp_path, count=depth_numbers, counted=kept_numbers)


@pytest.mark.filterwarnings("ignore")
def test_interrupted_resumed_and_reported(example, tmp_path, run_tool):
    write_rooms(tmp_path)
    write_weights(tmp_path)

    def stop(progress):
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path, tmp_path / "sweep", progress=stop)
    seen = []
    sweep(tmp_path, tmp_path / "sweep", progress=seen.append)
    assert [progress.done for progress in seen] == [2, 3]
    assert seen[-1].metric == "d1"
    store = CellStore(tmp_path / "sweep")
    assert store.provenance().task == "depth"

    module = example / "depth_report.py"
    done = run_tool("report.py", tmp_path / "sweep", "--partial", "--custom-imports", module)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "sweep/report/cells.csv").open(newline="") as file:
        rows = {(row["corruption"], int(row["severity"])): row for row in csv.DictReader(file)}
    for cell in (CLEAN, *CORRUPTED):
        row, kept = rows[cell.corruption, cell.severity], store.read(cell).samples
        assert float(row["d1_fraction"]) == pytest.approx(kept["d1"].mean())
        assert float(row["rmse_m"]) == pytest.approx(kept["rmse"].mean())
