"""The robustness sweep of a classifier: block after block of images, each in all cells."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import init_dist

from stl_backbones.apis.blocks import BlockStore, Samples
from stl_backbones.apis.classification_data import (
    ClassificationOptions,
    ImageSet,
    open_image_sets,
)
from stl_backbones.apis.classifiers import Classifier
from stl_backbones.corruptions import prepare
from stl_backbones.datasets.classification_sweep import BlockVariants, load_blocks, split_blocks
from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.engine import Ranks, start_distributed
from stl_backbones.evaluation.classified import check_finite, classify
from stl_backbones.records import Cell, CellResult
from stl_backbones.results import CellStore

Opened = tuple[Classifier, ImageNetFolder]


@dataclass(frozen=True)
class ClassificationProgress:
    """What a sweep tells while it runs.

    Attributes:
        dataset: The data set.
        done: Images finished so far, those of former runs included.
        total: Images.
        cells: Cells that every image is scored in.
        clean: Share of correct clean images among those of this run; NaN if they were there.
        corrupted: Mean of the same over the corrupted cells; NaN without such.
        remaining: Estimated seconds to the end of this data set.
    """

    dataset: str
    done: int
    total: int
    cells: int
    clean: float
    corrupted: float
    remaining: float


def sweep_classifier(
    open_model: Callable[[], Opened],
    *,
    work_dir: str | Path,
    options: ClassificationOptions,
    launcher: str = "none",
    progress: Callable[[ClassificationProgress], None] | None = None,
) -> Path:
    """Score a classifier on every cell of a protocol, and on ImageNet-A and -R where given.

    Finished blocks of images are kept in ``work_dir``; the same call goes on where a killed one
    stopped, and ends with the same files.

    Args:
        open_model: Opens the classifier and its clean images, see `stl_backbones.apis.classifiers`;
            called on every process.
        work_dir: The sweep's folder.
        options: What to sweep.
        launcher: ``'none'``, ``'pytorch'``, ``'slurm'`` or ``'mpi'``.
        progress: Called on the main process after every block.

    Returns:
        ``work_dir``.

    Raises:
        ValueError: If model, data, options or folder do not fit together.
        KeyError: If protocol or corruption are unknown.
        FileNotFoundError: If something named is missing.
    """
    start_distributed(launcher)
    if launcher != "none" and torch.cuda.is_available():
        init_dist(launcher)
    ranks = Ranks()
    options = options.settled()
    options.cells()  # an unknown corruption is told before anything is opened
    classifier, folder = ranks.on_each(open_model)
    sets = ranks.on_main(lambda: open_image_sets(classifier, folder, options))
    tell = progress if ranks.is_main else None
    for image_set in sets:
        _Sweep(classifier, image_set, options, ranks).run(Path(work_dir) / image_set.place, tell)
    return Path(work_dir)


class _Sweep:
    """The scoring of one image set."""

    def __init__(
        self,
        classifier: Classifier,
        image_set: ImageSet,
        options: ClassificationOptions,
        ranks: Ranks,
    ) -> None:
        self.classifier, self.set, self.options, self.ranks = classifier, image_set, options, ranks
        device = next(classifier.network.parameters()).device
        self.labels = torch.from_numpy(image_set.images.labels).to(device)
        self.cut = None if image_set.cut is None else torch.tensor(image_set.cut, device=device)

    def run(self, place: Path, tell: Callable[[ClassificationProgress], None] | None) -> None:
        provenance, images, ranks = self.set.provenance, self.set.images, self.ranks
        store, kept = CellStore(place), BlockStore(place, provenance)
        blocks = split_blocks(len(images), int(self.options.batch_size or 1))
        with ExitStack() as held:
            # An error of the main process ends all of them.
            ranks.on_main(lambda: held.enter_context(store.writing(provenance)))
            finished = ranks.on_main(lambda: store.finished(provenance))
            cells = [cell for cell in self.set.cells if cell not in finished]
            left = ranks.on_main(
                lambda: [block for block in blocks if cells and not kept.has(block, cells)]
            )
            reporter = _Reporter(tell, self.set, cells, left)
            start = time.monotonic()
            for results in self._score(left, cells):
                if ranks.is_main:
                    for block, samples in results:
                        kept.write(block, samples)
                    reporter.finished(results)
            if ranks.is_main:
                resumed = len(left) < len(blocks) or bool(finished)
                seconds = (time.monotonic() - start) / max(len(cells), 1)
                whole = kept.join(blocks, cells) if cells else {}
                for cell, joined in whole.items():
                    store.write(CellResult(cell, provenance, images.keys, joined))
                    store.log_time(cell, seconds, resumed=resumed)
                kept.clear()

    def _score(
        self, blocks: Sequence[range], cells: Sequence[Cell]
    ) -> Iterator[list[tuple[range, dict[Cell, Samples]]]]:
        """Yield finished blocks; of a job's processes each takes every n-th."""
        ranks = self.ranks
        mine = blocks[ranks.rank :: ranks.size]
        batches = self._batches(mine, cells)
        for turn in range(-(-len(blocks) // ranks.size)):
            own = None
            if turn < len(mine):
                own = mine[turn], self._score_block(mine[turn], cells, batches)
            yield [result for result in ranks.gather(own) if result is not None]

    def _batches(self, blocks: Sequence[range], cells: Sequence[Cell]) -> Iterator[Any]:
        rules, names = self.set.rules, {cell.corruption for cell in cells if not cell.is_clean}
        if rules.folders is None and names and blocks:
            prepare(sorted(names), mode=str(self.options.mode))  # once, not in every worker
        dataset = BlockVariants(self.set.images, rules)
        return load_blocks(dataset, blocks, cells, workers=self.options.workers)

    def _score_block(
        self, block: range, cells: Sequence[Cell], batches: Iterator[Any]
    ) -> dict[Cell, Samples]:
        labels = self.labels[block.start : block.stop]
        results = {}
        for cell in cells:
            scores = self.classifier.scores(
                next(batches), self.options.scoring, bfloat16=self.options.amp
            )
            results[cell] = classify(scores if self.cut is None else scores[:, self.cut], labels)
        # Only now, so that an accelerator works on while the next batches are handed over.
        arrays = {
            cell: {name: values.cpu().numpy() for name, values in samples.items()}
            for cell, samples in results.items()
        }
        names = [self.set.images.keys[index] for index in block]
        for samples in arrays.values():
            check_finite(samples["confidence"], names)
        return arrays


class _Reporter:
    """Counts images and estimates what is left."""

    def __init__(
        self,
        tell: Callable[[ClassificationProgress], None] | None,
        image_set: ImageSet,
        cells: Sequence[Cell],
        left: Sequence[range],
    ) -> None:
        self.tell, self.title, self.cells = tell, image_set.title, cells
        self.total = len(image_set.images)
        self.before = self.total - sum(len(block) for block in left)
        self.done = 0
        self.hits = dict.fromkeys(cells, 0)
        self.start = time.monotonic()
        if tell is not None and (not cells or self.before):
            done = self.before if cells else self.total
            tell(ClassificationProgress(
                self.title, done, self.total, len(cells), np.nan, np.nan, 0.0
            ))  # fmt: skip

    def finished(self, results: Sequence[tuple[range, dict[Cell, Samples]]]) -> None:
        """Tell of blocks just scored."""
        for block, by_cell in results:
            self.done += len(block)
            for cell, samples in by_cell.items():
                self.hits[cell] += int((samples["prediction"] == samples["label"]).sum())
        if self.tell is None:
            return
        shares = {cell: hits / self.done for cell, hits in self.hits.items()}
        corrupted = [share for cell, share in shares.items() if not cell.is_clean]
        clean = [share for cell, share in shares.items() if cell.is_clean]
        rate = (time.monotonic() - self.start) / self.done
        done = self.before + self.done
        self.tell(ClassificationProgress(
            dataset=self.title, done=done, total=self.total, cells=len(self.cells),
            clean=clean[0] if clean else np.nan,
            corrupted=float(np.mean(corrupted)) if corrupted else np.nan,
            remaining=rate * (self.total - done),
        ))  # fmt: skip


__all__ = ["ClassificationProgress", "sweep_classifier"]
