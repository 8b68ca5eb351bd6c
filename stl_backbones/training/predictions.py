"""What a test predicts, kept as files: OpenMMLab's ``--out`` and ``--show-dir``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.registry import METRICS
from mmengine.runner import Runner
from PIL import Image

from stl_backbones.datasets.integrity import image_id
from stl_backbones.errors import InputError

_PICKLES = (".pkl", ".pickle")


def check_places(task: str, *, out: str | Path | None, show_dir: str | Path | None) -> None:
    """Refuse places that `keep_predictions` cannot use, before anything is built.

    Raises:
        InputError: If the task keeps none, or ``out`` is no such file or folder.
    """
    if out is not None:
        if task not in _KEEPERS:
            raise InputError(f"--out: predictions of {task} are kept by no file; leave it out")
        is_pickle = Path(out).suffix in _PICKLES
        if task == "segmentation" and is_pickle:
            raise InputError(f"--out '{out}': a segmentation model's predictions go into a folder")
        if task == "detection" and not is_pickle:
            raise InputError(f"--out '{out}': a detector's predictions go into a .pkl file")
    if show_dir is not None and task not in _KEEPERS:
        raise InputError(f"--show-dir: {task} has nothing to draw; leave it out")


def keep_predictions(
    runner: Runner, task: str, *, out: str | Path | None, show_dir: str | Path | None
) -> None:
    """Have a test keep its predictions.

    Args:
        runner: The built run; its test loop is built.
        task: The task of its model.
        out: For segmentation a folder, of a PNG with the predicted class of each pixel for each
            image; for detection a ``.pkl`` file, mmdet's `DumpDetResults`.
        show_dir: A folder of drawings: truth and prediction side by side, by the library's
            visualizer.

    Raises:
        InputError: If a folder is a file; see `check_places` for the rest.
    """
    if out is not None:
        _KEEPERS[task](runner, Path(out))
    if show_dir is not None:
        runner.register_hook(_PerImage(runner, Path(show_dir), _draw))


class _PerImage(Hook):
    """Writes a file for each tested image, under the image's own name."""

    def __init__(
        self, runner: Runner, folder: Path, write: Callable[[Runner, Any, Path], None]
    ) -> None:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"'{folder}' is a file; expected a folder for a file of each image")
        self.folder, self.write = folder, write
        prefixes = getattr(runner.test_dataloader.dataset, "data_prefix", None) or {}
        self.root = prefixes.get("img_path") or prefixes.get("img")

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Write those of a batch."""
        del batch_idx, data_batch
        for sample in outputs or ():
            path = self.folder / Path(image_id(sample.img_path, self.root)).with_suffix(".png")
            path.parent.mkdir(parents=True, exist_ok=True)
            self.write(runner, sample, path)


def _write_labels(runner: Runner, sample: Any, path: Path) -> None:
    """The class of each pixel; numbered from 1 where the data set's own label 0 is ignored."""
    del runner
    labels = sample.pred_sem_seg.data.squeeze(0).cpu().numpy()
    shift = 1 if getattr(sample, "reduce_zero_label", False) else 0
    Image.fromarray((labels + shift).astype(np.uint8)).save(path)


def _draw(runner: Runner, sample: Any, path: Path) -> None:
    image = cv2.imread(str(sample.img_path))
    if image is None:
        raise InputError(f"'{sample.img_path}' cannot be drawn on: OpenCV does not decode it")
    pixels = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    name = path.stem
    runner.visualizer.add_datasample(name, pixels, data_sample=sample, out_file=str(path))


def _keep_label_maps(runner: Runner, out: Path) -> None:
    runner.register_hook(_PerImage(runner, out, _write_labels))


def _keep_detections(runner: Runner, out: Path) -> None:
    if is_main_process():
        out.parent.mkdir(parents=True, exist_ok=True)
    dump = METRICS.build({"type": "mmdet.DumpDetResults", "out_file_path": str(out)})
    runner.test_evaluator.metrics.append(dump)


_KEEPERS = {"segmentation": _keep_label_maps, "detection": _keep_detections}

__all__ = ["check_places", "keep_predictions"]
