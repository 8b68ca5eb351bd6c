"""Build and sweep models of mmseg's and mmdet's own configs, with random weights, on tiny images.

    python benchmarks/external_models.py                      # every model
    python benchmarks/external_models.py segformer-b0 detr    # some

Shows that a config goes through the sweep as it is, and how long that takes; the scores mean
nothing. Two images, clean and one corruption. Prints one Markdown table, a row as it is done.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from mmengine.registry import MODELS, init_default_scope
from PIL import Image

from stl_backbones.config.openmmlab import scoring_model_config
from stl_backbones.config.reading import load_config
from stl_backbones.datasets.mini import write_mini_data
from stl_backbones.models.mm_presets import MM_PRESETS
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.sources.config import ConfigSource
from stl_backbones.robustness.sweep import sweep

HEIGHT, WIDTH = 64, 128
CELLS = {"corruptions": ("gaussian_noise",), "severities": (3,)}
ADE_CLASSES = 150

_SMALL = {"test_dataloader.dataset.pipeline.1.scale": (WIDTH, HEIGHT)}
_WINDOW = {
    "model.test_cfg.crop_size": (HEIGHT, HEIGHT),
    "model.test_cfg.stride": (HEIGHT // 2, HEIGHT // 2),
}
# Random class scores lie below the usual threshold, and proposals by the thousand take time.
_ALL_BOXES = {
    "model.test_cfg.rcnn.score_thr": 0.0,
    "model.test_cfg.rcnn.max_per_img": 20,
    "model.test_cfg.rpn.max_per_img": 20,
}


@dataclass(frozen=True)
class Case:
    """A packaged config, and what makes it small.

    Attributes:
        config: ``mmseg::...`` or ``mmdet::...``.
        options: Beside the image size and the data's folder, as ``--cfg-options``.
    """

    config: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def data(self) -> str:
        """Which of the generated data sets it is for."""
        if self.config.startswith("mmdet::"):
            return "coco"
        return "ade" if "ade20k" in self.config else "cityscapes"


CASES: Mapping[str, Case] = MappingProxyType(
    {
        "segformer-b0": Case(MM_PRESETS["segformer-b0"].config, _WINDOW),
        "deeplabv3plus-r50": Case(MM_PRESETS["deeplabv3plus-r50"].config, _WINDOW),
        "pspnet-r50": Case(MM_PRESETS["pspnet"].config),
        "fcn-r50": Case("mmseg::fcn/fcn_r50-d8_4xb2-80k_cityscapes-512x1024.py"),
        "icnet-r50": Case(MM_PRESETS["icnet"].config),
        "setr-l-mla": Case("mmseg::setr/setr_vit-l_mla_8xb1-80k_cityscapes-768x768.py", _WINDOW),
        "swin-t-upernet": Case(
            "mmseg::swin/swin-tiny-patch4-window7-in1k-pre_upernet_8xb2-160k_ade20k-512x512.py"
        ),
        "convnext-t-upernet": Case(
            "mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py", _WINDOW
        ),
        "mask-rcnn-r50": Case("mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py", _ALL_BOXES),
        "cascade-mask-rcnn-r50": Case(MM_PRESETS["cascade-r50"].config, _ALL_BOXES),
        "retinanet-r50": Case(
            "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py", {"model.test_cfg.score_thr": 0.0}
        ),
        "detr-r50": Case("mmdet::detr/detr_r50_8xb2-150e_coco.py"),
        "deformable-detr-r50": Case("mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py"),
        "mask-rcnn-swin-t": Case("mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py", _ALL_BOXES),
        "mask-rcnn-convnext-t": Case(
            "mmdet::convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py", _ALL_BOXES
        ),
        "cascade-mask-rcnn-convnext-t": Case(MM_PRESETS["cascade-convnext-t"].config, _ALL_BOXES),
    }
)


def write_data(folder: Path) -> None:
    """Write two scenes as Cityscapes, ADE20K and COCO, each with all classes of its data set."""
    write_mini_data(folder / "mini", num_train=1, num_val=2, height=HEIGHT, width=WIDTH)
    (folder / "mini/cityscapes").rename(folder / "cityscapes")
    rng = np.random.default_rng(0)
    for image in sorted((folder / "cityscapes/leftImg8bit/val").rglob("*.png")):
        place = folder / "ade/images/validation" / f"{image.stem}.jpg"
        labels = folder / "ade/annotations/validation" / f"{image.stem}.png"
        for path in (place, labels):
            path.parent.mkdir(parents=True, exist_ok=True)
        Image.open(image).convert("RGB").save(place)
        blocks = rng.integers(0, ADE_CLASSES + 1, (HEIGHT // 8, WIDTH // 8), dtype=np.uint8)
        Image.fromarray(blocks.repeat(8, axis=0).repeat(8, axis=1)).save(labels)
    _write_all_categories(folder)


def _write_all_categories(folder: Path) -> None:
    """COCO's 80 categories instead of the generated scenes' few; their annotations stay right."""
    from mmdet.datasets import CocoDataset

    (folder / "mini/coco").rename(folder / "coco")
    path = next((folder / "coco/annotations").glob("*val*.json"))
    content = json.loads(path.read_text(encoding="utf-8"))
    known = {category["name"]: category for category in content["categories"]}
    free = iter(range(1000, 2000))
    content["categories"] = [
        known.get(name) or {"id": next(free), "name": name}
        for name in CocoDataset.METAINFO["classes"]
    ]
    path.write_text(json.dumps(content), encoding="utf-8")


def case_options(case: Case, data: Path) -> dict[str, Any]:
    """What makes a case small and points it at the generated data."""
    root = data / case.data
    options: dict[str, Any] = {"test_dataloader.dataset.data_root": f"{root}/"}
    if case.data == "coco":
        options["test_evaluator.ann_file"] = f"{root}/annotations/instances_val2017.json"
    return {**options, **_SMALL, **case.options}


def write_checkpoint(case: Case, options: Mapping[str, Any], path: Path) -> int:
    """Write random weights of a case's model; returns the number of its parameters."""
    config = load_config(case.config, options=options)
    init_default_scope(config.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(scoring_model_config(config))
    for name, part in model.named_modules():
        if name.endswith("conv_seg"):
            _make_lively(part)
    torch.save({"state_dict": model.state_dict(), "meta": {}}, path)
    return sum(parameter.numel() for parameter in model.parameters())


def _make_lively(classifier: torch.nn.Conv2d) -> None:
    """Weights without a common part for each class: else every pixel is of one class."""
    with torch.no_grad():
        torch.nn.init.zeros_(classifier.bias)
        torch.nn.init.normal_(classifier.weight)
        classifier.weight -= classifier.weight.mean(dim=1, keepdim=True)


def run_case(case: Case, data: Path, folder: Path, **sweep_options: Any) -> tuple[int, CellStore]:
    """Build a case's model and sweep it.

    Returns:
        The number of the model's parameters, and the cells.
    """
    options = case_options(case, data)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "random.pth"
    parameters = write_checkpoint(case, options, checkpoint)
    sweep(
        ConfigSource(case.config, checkpoint, options=options),
        work_dir=folder / "sweep",
        options=SweepOptions(**{**CELLS, "workers": 0, **sweep_options}),
    )
    checkpoint.unlink()
    return parameters, CellStore(folder / "sweep")


def main() -> None:
    """Run the cases asked for and print the table."""
    warnings.simplefilter("ignore")  # of the libraries, on the configs' own settings
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    names = parser.parse_args().names or list(CASES)
    print(
        "| model | config | parameters | inference | cells | seconds |\n|---|---|--:|---|--:|--:|"
    )
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "data"
        write_data(data)
        for name in names:
            start = time.monotonic()
            parameters, store = run_case(CASES[name], data, Path(place) / name)
            seconds = time.monotonic() - start
            print(
                f"| {name} | `{CASES[name].config}` | {parameters / 1e6:.1f} M | "
                f"{store.provenance().inference} | {len(store.cells())} | {seconds:.1f} |",
                flush=True,
            )
            shutil.rmtree(Path(place) / name)


if __name__ == "__main__":
    main()
