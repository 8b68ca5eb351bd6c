"""The robustness sweep of a classifier: block after block of images, each in all cells."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from mmengine.dist import init_dist
from torch import Tensor

from stl_backbones.corruptions import prepare
from stl_backbones.datasets.imagenet import ImageNetFolder
from stl_backbones.engine.distributed import Ranks, start_distributed
from stl_backbones.evaluation.classified import check_finite, classify
from stl_backbones.records import Cell
from stl_backbones.robustness.blocks import Samples
from stl_backbones.robustness.classification_data import (
    ClassificationOptions,
    ImageSet,
    open_image_sets,
)
from stl_backbones.robustness.classification_versions import BlockVariants, load_blocks
from stl_backbones.robustness.classifiers import Classifier
from stl_backbones.robustness.runner import BlockScorer, Scored, Tally, Tell, run_blocks

Opened = tuple[Classifier, ImageNetFolder]


def sweep_classifier(
    open_model: Callable[[], Opened],
    *,
    work_dir: str | Path,
    options: ClassificationOptions,
    launcher: str = "none",
    progress: Tell | None = None,
) -> Path:
    """Score a classifier on every cell of a protocol, and on ImageNet-A and -R where given.

    Finished blocks of images are kept in ``work_dir``; the same call goes on where a killed one
    stopped, and ends with the same files.

    Args:
        open_model: Opens the classifier and its clean images, called on every process; see
            `stl_backbones.robustness.classifiers`.
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
    for image_set in sets:
        scorer = _ClassificationScorer(classifier, image_set, options)
        run_blocks(scorer, Path(work_dir) / image_set.place, ranks, progress)
    return Path(work_dir)


class _ClassificationScorer(BlockScorer):
    """A classifier on one image set, see `BlockScorer`."""

    metric = "top-1"

    def __init__(
        self, classifier: Classifier, image_set: ImageSet, options: ClassificationOptions
    ) -> None:
        self.classifier, self.set, self.options = classifier, image_set, options
        self.title, self.provenance = image_set.title, image_set.provenance
        self.keys, self.cells = image_set.images.keys, image_set.cells
        self.block_size = int(options.batch_size or 1)
        device = next(classifier.network.parameters()).device
        self.labels = torch.from_numpy(image_set.images.labels).to(device)
        self.cut = None if image_set.cut is None else torch.tensor(image_set.cut, device=device)

    def score(
        self, blocks: Sequence[range], cells: Sequence[Cell], tick: Callable[[int], None]
    ) -> Iterator[Scored]:
        """Yield the samples of each block: one batch of the network per cell."""
        rules, names = self.set.rules, {cell.corruption for cell in cells if not cell.is_clean}
        if rules.folders is None and names and blocks:
            prepare(sorted(names), mode=str(self.options.mode))  # once, not in every worker
        dataset = BlockVariants(self.set.images, rules)
        batches = load_blocks(dataset, blocks, cells, workers=self.options.workers)
        for block in blocks:
            yield block, self._score_block(block, cells, batches)
            tick(len(block) * len(cells))

    def _score_block(
        self, block: range, cells: Sequence[Cell], batches: Iterator[Tensor]
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
        names = [self.keys[index] for index in block]
        for samples in arrays.values():
            check_finite(samples["confidence"], names)
        return arrays

    def tally(self, samples: Samples) -> Tally:
        """The number of right answers."""
        return (samples["prediction"] == samples["label"]).sum()

    def score_of(self, tally: Tally, images: int) -> float:
        """The accuracy."""
        return float(tally / images)


__all__ = ["sweep_classifier"]
