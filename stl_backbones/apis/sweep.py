"""The robustness sweep: one model, clean first, then every corruption at every severity."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch.utils.data import DataLoader, Subset

from stl_backbones.apis.config import building, load_config
from stl_backbones.corruptions import check_engine, corrupt, engine_version, get_protocol
from stl_backbones.datasets import drop_broken_pairs, image_id
from stl_backbones.datasets.sweep import SweepDataset, find_corrupted_folders, fingerprint
from stl_backbones.engine import Ranks, load_model_weights, start_distributed
from stl_backbones.evaluation import sample_confusion
from stl_backbones.metrics import IGNORE_INDEX, mean_iou
from stl_backbones.records import Cell, CellResult, Provenance
from stl_backbones.results import CellStore

_PACKAGES = ("torch", "numpy", "opencv-python", "pillow", "scikit-image", "scipy", "numba")


@dataclass(frozen=True)
class SweepProgress:
    """What a sweep tells while it runs.

    Attributes:
        cell: The cell just finished, or found finished.
        done: Cells finished so far.
        total: Cells asked for.
        score: The cell's mIoU, a fraction.
        seconds: Wall time of the cell; 0 if it was there already.
        remaining: Estimated seconds to the end.
    """

    cell: Cell
    done: int
    total: int
    score: float
    seconds: float
    remaining: float


@dataclass(frozen=True)
class SweepOptions:
    """What to sweep, beside model and data.

    Attributes:
        protocol: The protocol's name.
        corruptions: Only these of the protocol's corruptions.
        severities: Only these severities.
        limit: Only the first images of the data set.
        corrupted_root: Read corrupted images from here instead of making them.
        mode: The corruption engine.
        channel_order: What the corruption sees, ``'rgb'`` or ``'bgr'``.
        seed: Another seed, another draw of the benchmark.
        skip_broken: Leave out broken images instead of refusing the data set.
        name: The model's name in tables; default: the config's name.
        workers: Processes that load and corrupt ahead of the model.
    """

    protocol: str = "stl-cityscapes-c"
    corruptions: Sequence[str] | None = None
    severities: Sequence[int] | None = None
    limit: int | None = None
    corrupted_root: str | Path | None = None
    mode: str = "reference"
    channel_order: str = "rgb"
    seed: int = 0
    skip_broken: bool = False
    name: str | None = None
    workers: int = 1


def sweep(
    config_path: str | Path,
    checkpoint: str | Path,
    *,
    work_dir: str | Path,
    sweep_options: SweepOptions,
    options: Mapping[str, Any] | None = None,
    launcher: str = "none",
    progress: Callable[[SweepProgress], None] | None = None,
) -> Path:
    """Score a segmentation model on every cell of a protocol.

    Finished cells are kept in ``work_dir``; the same call goes on where a killed one stopped, and
    ends with the same files.

    Args:
        config_path: The model's config; its ``test_dataloader`` names the data.
        checkpoint: The model's weights.
        work_dir: The sweep's folder.
        sweep_options: What to sweep.
        options: ``--cfg-options``.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        progress: Called on the main process after every cell.

    Returns:
        ``work_dir``.

    Raises:
        ValueError: If config, checkpoint, data or folder do not fit together.
        KeyError: If protocol or corruption are unknown.
        FileNotFoundError: If something named is missing.
    """
    start_distributed(launcher)
    ranks = Ranks()
    cells = get_protocol(sweep_options.protocol).cells(
        corruptions=sweep_options.corruptions, severities=sweep_options.severities
    )
    check_engine(mode=sweep_options.mode, channel_order=sweep_options.channel_order)
    if sweep_options.limit is not None and sweep_options.limit < 1:
        raise ValueError(f"limit must be at least 1, got {sweep_options.limit}")
    config = load_config(config_path, options=options)
    init_default_scope(config.get("default_scope", "mmengine"))
    model = ranks.on_each(lambda: build_model(config, checkpoint))
    data = ranks.on_each(lambda: SweepData.open(config, cells, sweep_options))
    provenance = ranks.on_main(
        lambda: describe(config, config_path, checkpoint, data, sweep_options)
    )
    store = CellStore(work_dir)
    with ExitStack() as held:
        # An error of the main process ends all of them.
        ranks.on_main(lambda: held.enter_context(store.writing(provenance)))
        finished = ranks.on_main(lambda: store.finished(provenance))
        pending = [cell for cell in cells if cell not in finished]
        reporter = _Reporter(progress if ranks.is_main else None, store, cells, finished)
        clock = time.monotonic()
        for cell, confusions in run_cells(model, data, pending, sweep_options, ranks):
            seconds, clock = time.monotonic() - clock, time.monotonic()
            if ranks.is_main:
                samples = {"confusion_matrix": np.stack(confusions)}
                store.write(CellResult(cell, provenance, data.keys, samples))
                store.log_time(cell, seconds, resumed=bool(finished))
                reporter.finished(cell, samples["confusion_matrix"], seconds)
    return Path(work_dir)


def build_model(config: Config, checkpoint: str | Path) -> torch.nn.Module:
    """Build the config's model with a checkpoint's weights, ready to predict.

    Raises:
        FileNotFoundError: If the checkpoint is missing.
        ValueError: If it does not fit, or the config does not build.
    """
    model_config = config.model.copy()
    for part in model_config.values():
        if isinstance(part, dict):
            part.pop("init_cfg", None)  # the checkpoint fills every key
    with building("the model"):
        model = MODELS.build(model_config)
    load_model_weights(model, checkpoint)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return revert_sync_batchnorm(model).to(device).eval()


@dataclass(frozen=True)
class SweepData:
    """The images of a sweep, checked.

    Attributes:
        dataset: The built mmseg data set.
        indices: The images that are scored.
        keys: Their ids.
        image_root: The clean image folder.
        skipped: Ids of broken images left out.
        total: Images before a limit and before leaving out.
        corrupted: Folder per cell of a corrupted copy.
    """

    dataset: Any
    indices: tuple[int, ...]
    keys: tuple[str, ...]
    image_root: str | None
    skipped: tuple[str, ...]
    total: int
    corrupted: Mapping[Cell, Path] | None

    @classmethod
    def open(cls, config: Config, cells: Sequence[Cell], options: SweepOptions) -> SweepData:
        """Build and check the config's test data.

        Raises:
            ValueError: If there is none, or it is broken.
        """
        loader = config.get("test_dataloader")
        if not loader:
            raise ValueError("the config has no test_dataloader, so nothing to score")
        settings = loader.dataset.copy()
        if "skip_broken" in settings or "Checked" in str(settings.get("type")):
            settings.skip_broken = options.skip_broken
        with building("the data set"):
            dataset = DATASETS.build(settings)
        items = [dataset.get_data_info(index) for index in range(len(dataset))]
        root = dataset.data_prefix.get("img_path")
        whole, broken = drop_broken_pairs(items, skip_broken=options.skip_broken)
        broken = {**getattr(dataset, "skipped", {}), **broken}
        indices = tuple(whole[: options.limit])
        keys = tuple(image_id(items[index]["img_path"], root) for index in indices)
        corrupted_cells = [cell for cell in cells if not cell.is_clean]
        corrupted = (
            find_corrupted_folders(options.corrupted_root, corrupted_cells, keys, image_root=root)
            if options.corrupted_root is not None
            else None
        )
        skipped = tuple(image_id(path, root) for path in broken)
        total = len(items) + len(getattr(dataset, "skipped", {}))
        return cls(dataset, indices, keys, root, skipped, total, corrupted)

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names."""
        return tuple(self.dataset.metainfo["classes"])

    def files(self) -> Iterator[tuple[str, Path]]:
        """Images and label maps that are scored, named independently of where they lie."""
        for index, key in zip(self.indices, self.keys, strict=True):
            info = self.dataset.get_data_info(index)
            yield key, Path(info["img_path"])
            yield f"{key} label", Path(info["seg_map_path"])


def run_cells(
    model: torch.nn.Module,
    data: SweepData,
    cells: Sequence[Cell],
    options: SweepOptions,
    ranks: Ranks,
) -> Iterator[tuple[Cell, list[np.ndarray]]]:
    """Yield each cell with the confusion matrix of every image, in the images' order.

    Each process of a job takes every n-th image of each cell.
    """
    images = len(data.indices)
    mine = range(ranks.rank, images, ranks.size)
    dataset = SweepDataset(
        data.dataset,
        indices=data.indices,
        cells=cells,
        image_root=data.image_root,
        mode=options.mode,
        channel_order=options.channel_order,
        seed=options.seed,
        corrupted=data.corrupted,
    )
    items = [cell * images + image for cell in range(len(cells)) for image in mine]
    if any(cell.corruption == "glass_blur" for cell in cells) and data.corrupted is None:
        # Compiles once here instead of once in every worker.
        corrupt(np.zeros((64, 64, 3), np.uint8), "glass_blur", 1, key="", mode=options.mode)
    batches = iter(
        DataLoader(
            Subset(dataset, items),
            batch_size=1,
            num_workers=options.workers,
            collate_fn=pseudo_collate,
            persistent_workers=False,
        )
    )
    for cell in cells:
        own = [_score(model, next(batches), len(data.classes)) for _ in mine]
        shares = ranks.gather(own)
        yield cell, [shares[image % ranks.size][image // ranks.size] for image in range(images)]


def _score(model: torch.nn.Module, batch: Any, num_classes: int) -> np.ndarray:
    with torch.inference_mode():
        (sample,) = model.test_step(batch)
    ignore = getattr(getattr(model, "decode_head", None), "ignore_index", IGNORE_INDEX)
    return sample_confusion(sample, num_classes=num_classes, ignore_index=ignore)


def describe(
    config: Config,
    config_path: str | Path,
    checkpoint: str | Path,
    data: SweepData,
    options: SweepOptions,
) -> Provenance:
    """What the sweep's numbers are measured with."""
    from_files = options.corrupted_root is not None
    return Provenance(
        task="segmentation",
        model=options.name or Path(config_path).stem,
        protocol=options.protocol,
        dataset=type(data.dataset).__name__.removeprefix("Checked"),
        dataset_fingerprint=fingerprint(list(data.files())),
        num_images=len(data.indices),
        num_images_total=data.total,
        skipped=data.skipped,
        classes=data.classes,
        config_sha256=_config_hash(config),
        checkpoint_sha256=_file_hash(checkpoint),
        inference=_inference(config),
        corruption_source=f"folder:{Path(options.corrupted_root).resolve().name}"
        if options.corrupted_root is not None
        else "on-the-fly",
        corruption_mode="files" if from_files else options.mode,
        corruption_package="unknown" if from_files else engine_version(options.mode),
        channel_order="unknown" if from_files else options.channel_order,
        seed=options.seed,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def _config_hash(config: Config) -> str:
    """Hash of what decides predictions: model and test pipeline, not where files lie."""
    model = config.model.to_dict()
    backbone = model.get("backbone")
    if isinstance(backbone, dict):
        backbone.pop("init_cfg", None)  # a path; the checkpoint's own hash says more
    settled = {"model": model, "pipeline": config.test_dataloader.dataset.pipeline}
    text = json.dumps(settled, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _file_hash(path: str | Path) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _inference(config: Config) -> str:
    test_cfg = config.model.get("test_cfg") or {}
    if test_cfg.get("mode") != "slide":
        return str(test_cfg.get("mode", "whole"))
    crop, stride = test_cfg["crop_size"], test_cfg["stride"]
    return f"slide crop={crop[0]}x{crop[1]} stride={stride[0]}x{stride[1]}"


class _Reporter:
    """Counts cells and estimates what is left."""

    def __init__(
        self,
        tell: Callable[[SweepProgress], None] | None,
        store: CellStore,
        cells: Sequence[Cell],
        finished: set[Cell],
    ) -> None:
        self.tell, self.total = tell, len(cells)
        self.done = 0
        self.spent: list[float] = []
        for cell in cells:
            if cell in finished and tell is not None:
                self.done += 1
                confusion = store.read(cell).samples["confusion_matrix"]
                tell(self._progress(cell, confusion, 0.0))

    def finished(self, cell: Cell, confusions: np.ndarray, seconds: float) -> None:
        """Tell of a cell just measured."""
        self.done += 1
        self.spent.append(seconds)
        if self.tell is not None:
            self.tell(self._progress(cell, confusions, seconds))

    def _progress(self, cell: Cell, confusions: Any, seconds: float) -> SweepProgress:
        mean = sum(self.spent) / len(self.spent) if self.spent else 0.0
        score = mean_iou(confusions.sum(axis=0))
        left = (self.total - self.done) * mean
        return SweepProgress(cell, self.done, self.total, score, seconds, left)
