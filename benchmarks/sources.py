"""A sweep of a model of each kind beside the model alone.

    python benchmarks/sources.py                           # every kind
    python benchmarks/sources.py module hf --images 32     # some

Generated images, random weights: time does not depend on them. Clean images and one corruption. In
turns, several times over:

a) bare: the model on the same prepared batches, which lie in memory;
b) sweep: what `stl_backbones.evaluate` does once the model is built: data read and checked, the
   first images predicted to try the model, images corrupted and prepared in a worker process,
   results scored, cells written.

Of each the best time counts. Wall time is that of two processes, so it means something on an idle
machine with two cores alone; the processor time of the process that predicts says what the suite
adds to the model there, on any machine. Prints one Markdown table.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision
import transformers

from stl_backbones.api.evaluate import make_source
from stl_backbones.engine.distributed import Ranks
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.predicted.find_model import open_model
from stl_backbones.robustness.predicted.given import Given
from stl_backbones.robustness.predictor import Model
from stl_backbones.robustness.sweep import sweep

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CHOSEN = {"corruptions": ["gaussian_noise"], "severities": [3], "mode": "fast", "workers": 1}
MOST = 1.15


def _scenes(count: int, height: int = 280, width: int = 320) -> list[np.ndarray]:
    """Smooth coloured noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count, 12, 14, 3), np.uint8)
    return [cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in coarse]


def _folders(place: Path, count: int) -> Path:
    """Class folders of JPEG files."""
    for index, image in enumerate(_scenes(count)):
        path = place / f"class{index % 10}" / f"{index:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
    return place


def _label_maps(place: Path, count: int) -> tuple[Path, Path]:
    """Images and label maps of 21 classes."""
    for index, image in enumerate(_scenes(count)):
        for folder, pixels in (("images", image), ("labels", image[..., 0] % 21)):
            (place / folder).mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place / folder / f"{index:04d}.png"), pixels)
    return place / "images", place / "labels"


def _boxes(place: Path, count: int) -> list[tuple[Any, Any]]:
    """Images with two boxes of two of ten classes."""
    del place
    truth = {"boxes": np.array([[20.0, 20, 120, 120], [100, 60, 300, 200]]), "labels": [0, 3]}
    return [(image, truth) for image in _scenes(count)]


def _module(place: Path) -> Model:
    del place
    network = torchvision.models.resnet18(num_classes=10).eval()
    given = Given(task="classification", size=224, mean=MEAN, std=STD)
    return open_model(network, given, SweepOptions())


def _torchvision(place: Path, name: str, task: str, classes: int) -> Model:
    backbone = {} if task == "classification" else {"weights_backbone": None}
    network = torchvision.models.get_model(name, weights=None, num_classes=classes, **backbone)
    torch.save(network.state_dict(), place / "weights.pth")
    names = tuple(map(str, range(classes - 1))) if task == "detection" else None
    given = Given(task=task, checkpoint=place / "weights.pth", classes=names)
    return open_model(f"torchvision:{name}", given, SweepOptions())


def _hf(place: Path) -> Model:
    config = transformers.ViTConfig(
        hidden_size=192, num_hidden_layers=12, num_attention_heads=3, intermediate_size=768,
        num_labels=10,
    )  # fmt: skip
    transformers.ViTForImageClassification(config).save_pretrained(place)
    transformers.ViTImageProcessor().save_pretrained(place)
    return open_model(f"hf:{place}", Given(task="classification"), SweepOptions())


def _onnx(place: Path) -> Model:
    network = torchvision.models.resnet18(num_classes=10).eval()
    torch.onnx.export(
        network, (torch.zeros(1, 3, 224, 224),), place / "model.onnx", dynamo=False,
        input_names=["images"], output_names=["logits"],
        dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
    )  # fmt: skip
    given = Given(task="classification", mean=MEAN, std=STD)
    return open_model(str(place / "model.onnx"), given, SweepOptions())


def _callable(place: Path) -> Model:
    del place
    network = torchvision.models.resnet18(num_classes=10).eval()
    mean, std = 255 * np.array(MEAN, np.float32), 255 * np.array(STD, np.float32)

    def predict(images: list[np.ndarray]) -> np.ndarray:
        crops = np.stack([image[28:252, 48:272] for image in images])
        batch = torch.from_numpy((crops - mean) / std).permute(0, 3, 1, 2).contiguous()
        with torch.inference_mode():
            return network(batch).numpy()

    return open_model(predict, Given(task="classification", version="1"), SweepOptions())


@dataclass(frozen=True)
class Case:
    """A kind of model: what it is, how it is built, its data, and its share of the images."""

    title: str
    build: Callable[[Path], Model]
    data: Callable[[Path, int], Any] = _folders
    share: float = 1.0
    classes: Sequence[str] | None = None


CASES = {
    "module": Case("nn.Module: ResNet-18", _module),
    "torchvision": Case(
        "torchvision: ResNet-18",
        lambda place: _torchvision(place, "resnet18", "classification", 10),
    ),
    "hf": Case("transformers: ViT-Ti/16", _hf),
    "onnx": Case("ONNX Runtime: ResNet-18", _onnx),
    "callable": Case("a function: ResNet-18", _callable),
    "segmentation": Case(
        "torchvision: LR-ASPP, MobileNetV3, 520 px",
        lambda place: _torchvision(place, "lraspp_mobilenet_v3_large", "segmentation", 21),
        _label_maps, 0.25, torchvision.models.segmentation.LRASPP_MobileNet_V3_Large_Weights.DEFAULT
        .meta["categories"],
    ),
    "detection": Case(
        "torchvision: SSDlite, 320 px",
        lambda place: _torchvision(place, "ssdlite320_mobilenet_v3_large", "detection", 11),
        _boxes, 0.25, tuple(map(str, range(10))),
    ),
}  # fmt: skip


def measure(case: Case, place: Path, images: int, turns: int) -> tuple[int, int, Any]:
    """Time both ways.

    Returns:
        Images, images of a batch, and the best wall and processor times of bare and sweep.
    """
    model = case.build(place)
    data = case.data(place / "data", images)
    classes = None if case.classes is None else tuple(case.classes)
    source, more = make_source(model, data, Given(), classes=classes)
    options = SweepOptions(task_options=more, **CHOSEN)
    (scored,) = source.open_sets(options, Ranks())
    size = scored.block_size
    prepared = [
        [scored.versions.make(n, cell)[1] for n in range(start, min(start + size, images))]
        for start in range(0, images, size)
        for cell in scored.cells
    ]
    best = np.full((2, 2), np.inf)
    for turn in range(turns):

        def bare() -> None:
            for batch in prepared:
                model.results(batch)

        def swept(folder: Path = place / f"sweep{turn}") -> None:
            sweep(source, work_dir=folder, options=options)
            shutil.rmtree(folder)

        for way, call in enumerate((bare, swept)):
            start = time.perf_counter(), time.process_time()
            call()
            took = time.perf_counter() - start[0], time.process_time() - start[1]
            best[way] = np.minimum(best[way], took)
    return images, size, best


def main() -> None:
    """Run the cases asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(CASES)}; default: all")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(
        "| model | images | batch | bare, s | sweep, s | wall time, sweep / bare | processor time, "
        "sweep / bare | asked |\n|---|--:|--:|--:|--:|--:|--:|--:|"
    )
    for name in args.names or CASES:
        case = CASES[name]
        with tempfile.TemporaryDirectory() as place:
            count = max(4, int(args.images * case.share))
            images, size, best = measure(case, Path(place), count, args.turns)
        (wall, used), (sweep_wall, sweep_used) = best
        print(
            f"| {case.title} | {images} | {size} | {wall:.2f} | {sweep_wall:.2f} | "
            f"{sweep_wall / wall:.2f} | {sweep_used / used:.2f} | {MOST} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
