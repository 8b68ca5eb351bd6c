"""What a user waits for between the long runs: import, --help, a restart, a report.

    python benchmarks/everyday.py

Measures in processes of their own, best of three: `import stl_backbones`, `--help` of every tool,
the report of 10 models x 96 cells of 500 images and 19 classes (confusion matrices drawn at
random), without and with the bootstrap, and a sweep over the generated scenes that finds all of
its cells finished, beside the import of its libraries alone. Prints one Markdown table, with the
project's targets beside.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from mmengine.registry import MODELS, init_default_scope

from stl_backbones.config.reading import load_config
from stl_backbones.corruptions import get_protocol
from stl_backbones.datasets.mini import write_mini_data
from stl_backbones.records import CellResult, Provenance
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import sweep

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs/seg/stl_fan_t_mini.py"
MODELS_OF_REPORT, IMAGES, CLASSES = 10, 500, 19
TURNS = 3


def main() -> None:
    """Measure, and print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print("| what | seconds | target |\n|---|--:|--:|")
    print_row("import stl_backbones", best("-c", "import stl_backbones"), 0.1)
    for tool in sorted((ROOT / "tools").glob("*.py")):
        print_row(f"tools/{tool.name} --help", best(str(tool), "--help"), 1.5)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        folders = [str(path) for path in write_sweeps(place)]
        report = [str(ROOT / "tools/report.py"), *folders, "--out", f"{place}/report"]
        cells = len(get_protocol("all").cells())
        title = f"report of {MODELS_OF_REPORT} models x {cells} cells, {IMAGES} images"
        print_row(title, best(*report, "--resamples", "0"), 1.5)
        print_row(f"{title}, 1000 resamples", best(*report), None)
        words = finished_sweep(place)
        print_row("restart of a finished sweep of 73 cells", best(*words), 2)
        # Of that, what importing the libraries takes alone, without which no config of mmseg opens.
        print_row("import mmseg.models", best("-c", "import mmseg.models"), None)


def print_row(what: str, seconds: float, target: float | None) -> None:
    """One line of the table."""
    print(f"| {what} | {seconds:.2f} | {'' if target is None else target} |", flush=True)


def best(*words: str) -> float:
    """Wall time of a Python process, best of three."""
    times = []
    for _ in range(TURNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True, cwd=ROOT)
        times.append(time.perf_counter() - start)
    return min(times)


def write_sweeps(place: Path) -> list[Path]:
    """Stores of random confusion matrices."""
    rng = np.random.default_rng(0)
    provenance = Provenance(
        task="segmentation", model="m", protocol="all", dataset="CityscapesDataset",
        dataset_fingerprint="f", num_images=IMAGES, num_images_total=IMAGES, skipped=(),
        classes=tuple(f"class {k}" for k in range(CLASSES)), config_sha256="c",
        checkpoint_sha256="0", inference="whole", corruption_source="on-the-fly",
        corruption_mode="fast", corruption_package="p", channel_order="rgb", seed=0, device="cpu",
        versions={},
    )  # fmt: skip
    ids = tuple(f"{index}.png" for index in range(IMAGES))
    folders = []
    for model in range(MODELS_OF_REPORT):
        own = dataclasses.replace(provenance, model=f"model {model}", checkpoint_sha256=str(model))
        store = CellStore(place / f"model{model}")
        with store.writing(own):
            for cell in get_protocol("all").cells():
                # Most of an image's classes are absent, as in street scenes.
                drawn = rng.poisson(500, (IMAGES, CLASSES, CLASSES))
                matrix = np.where(rng.random(drawn.shape) < 0.3, drawn, 0).astype(np.uint16)
                store.write(CellResult(cell, own, ids, {"confusion_matrix": matrix}))
        folders.append(store.folder)
    return folders


def finished_sweep(place: Path) -> list[str]:
    """Sweep tiny scenes; returns the words that do it again."""
    write_mini_data(place / "mini", num_train=1, num_val=2, height=64, width=128)
    options = {"data_root": f"{place}/mini/cityscapes", "img_scale": (128, 64)}
    config = load_config(CONFIG, options=options)
    init_default_scope("mmseg")
    weights = place / "weights.pth"
    torch.save({"state_dict": MODELS.build(config.model).state_dict()}, weights)
    out = place / "sweep"
    source = ConfigSource(CONFIG, weights, options=options)
    sweep(source, work_dir=out, options=SweepOptions())
    return [
        str(ROOT / "tools/robustness.py"), str(CONFIG), str(weights), "--work-dir", str(out),
        "--cfg-options", f"data_root={options['data_root']}", "img_scale=(128,64)",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
