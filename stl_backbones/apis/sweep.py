"""The robustness sweep: one model, clean first, then every corruption at every severity."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from torch.utils.data import DataLoader, Subset

from stl_backbones.apis.config import building, load_config
from stl_backbones.apis.provenance import describe
from stl_backbones.apis.sweep_data import SweepData, SweepOptions
from stl_backbones.corruptions import prepare
from stl_backbones.datasets.sweep import LoadedImages, SweepDataset
from stl_backbones.engine import Ranks, load_model_weights, start_distributed
from stl_backbones.evaluation import sample_confusion
from stl_backbones.metrics import IGNORE_INDEX, mean_iou
from stl_backbones.records import Cell, CellResult
from stl_backbones.results import CellStore


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
    config = load_config(config_path, options=options)
    # Only now: the config's `custom_imports` may register the protocol.
    sweep_options = sweep_options.settled()
    cells = sweep_options.cells()
    init_default_scope(config.get("default_scope", "mmengine"))
    model = ranks.on_each(lambda: build_model(config, checkpoint))
    data = ranks.on_each(lambda: SweepData.open(config, cells, sweep_options))
    provenance = ranks.on_main(
        lambda: describe(config, config_path, checkpoint, data, sweep_options, cells=cells)
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
        corrupted=data.corrupted,
        **options.engine,
    )
    items = [cell * images + image for cell in range(len(cells)) for image in mine]
    if data.corrupted is None:
        names = dict.fromkeys(cell.corruption for cell in cells if not cell.is_clean)
        prepare(tuple(names), mode=str(options.mode))  # once here, not once in every worker
    samples = _samples(dataset, items, options)
    for cell in cells:
        own = [_score(model, next(samples), len(data.classes)) for _ in mine]
        shares = ranks.gather(own)
        yield cell, [shares[image % ranks.size][image // ranks.size] for image in range(images)]


def _samples(dataset: SweepDataset, items: Sequence[int], options: SweepOptions) -> Iterator[Any]:
    """Yield the items in order; the workers prepare them, up to what needs the model's device."""
    on_device = options.mode == "torch" and dataset.corrupted is None
    loader = DataLoader(
        Subset(LoadedImages(dataset) if on_device else dataset, items),
        batch_size=1,
        num_workers=options.workers,
        collate_fn=_only,
        persistent_workers=False,
    )
    return _one_ahead(map(dataset.finish, items, loader)) if on_device else iter(loader)


def _one_ahead(samples: Iterator[Any]) -> Iterator[Any]:
    """Prepare the next sample in a thread while the model works on this one."""
    end = object()
    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(next, samples, end)
        while (sample := upcoming.result()) is not end:
            upcoming = pool.submit(next, samples, end)
            yield sample


def _only(batch: Sequence[Any]) -> Any:
    (sample,) = batch
    return sample


def _score(model: torch.nn.Module, sample: Any, num_classes: int) -> np.ndarray:
    with torch.inference_mode():
        (sample,) = model.test_step(pseudo_collate([sample]))
    ignore = getattr(getattr(model, "decode_head", None), "ignore_index", IGNORE_INDEX)
    return sample_confusion(sample, num_classes=num_classes, ignore_index=ignore)


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
