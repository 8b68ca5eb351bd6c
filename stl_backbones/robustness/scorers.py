"""Models of mmseg and mmdet on their images, block by block."""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from pycocotools.coco import COCO

from stl_backbones.corruptions import prepare
from stl_backbones.datasets.coco_annotations import read_annotations
from stl_backbones.errors import InputError
from stl_backbones.evaluation.coco_results import encode_file, encode_image, to_coco_results
from stl_backbones.evaluation.detection import DetectionMatcher
from stl_backbones.evaluation.segmentation import sample_confusion
from stl_backbones.metrics import IGNORE_INDEX, mean_iou
from stl_backbones.records import Cell, Provenance
from stl_backbones.results import CellStore
from stl_backbones.results.atomic import write_atomically
from stl_backbones.results.detections import (
    DETECTIONS_DIGEST,
    detections_path,
    has_its_detections,
)
from stl_backbones.robustness.blocks import Samples
from stl_backbones.robustness.provenance import innermost
from stl_backbones.robustness.runner import BlockScorer, Scored, Tally
from stl_backbones.robustness.sweep_data import SweepData, SweepOptions
from stl_backbones.robustness.versions import load_variants

_PACKED = "packed_detections"


class DenseScorer(BlockScorer):
    """What the scorers of mmseg and mmdet share, see `BlockScorer`.

    Args:
        model: A built model, ready to predict.
        data: Its images.
        cells: All cells.
        options: Settled options.
        provenance: What is measured, and how.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        data: SweepData,
        cells: tuple[Cell, ...],
        options: SweepOptions,
        provenance: Provenance,
    ) -> None:
        self.model, self.data, self.options = model, data, options
        self.cells, self.provenance, self.keys = cells, provenance, data.keys
        self.title, self.block_size = provenance.dataset, int(options.batch_size or 1)

    def score(
        self, blocks: Sequence[range], cells: Sequence[Cell], tick: Callable[[int], None]
    ) -> Iterator[Scored]:
        """Yield the samples of each block; a few blocks are worked on in turn, cell by cell."""
        if not blocks or not cells:
            return
        names = tuple(dict.fromkeys(cell.corruption for cell in cells if not cell.is_clean))
        on_the_fly = self.data.corrupted is None
        if on_the_fly and names:
            prepare(names, mode=str(self.options.mode))  # once here, not once in every worker
        groups = list(_group(blocks, multiple_of=self.options.workers))
        versions = load_variants(
            self.data.variants(self.options.engine),
            [[image for block in group for image in block] for group in groups],
            cells,
            workers=self.options.workers,
            in_this_process=self.options.mode == "torch" and on_the_fly,
        )
        for group in groups:
            found: dict[range, dict[Cell, Samples]] = {block: {} for block in group}
            for cell in cells:
                for block in group:
                    own = [next(versions) for _ in block]
                    records = [
                        self.record(image, sample)
                        for image, sample in zip(block, self._predict(own), strict=True)
                    ]
                    found[block][cell] = {
                        name: np.concatenate([record[name] for record in records])
                        for name in records[0]
                    }
                    tick(len(block))
            yield from found.items()

    def _predict(self, versions: Sequence[Any]) -> Iterator[Any]:
        """Predict images of one size together."""
        start = 0
        while start < len(versions):
            size = _size(versions[start])
            stop = start + 1
            while stop < len(versions) and size is not None and _size(versions[stop]) == size:
                stop += 1
            yield from self._predict_batch(versions[start:stop])
            start = stop

    def _predict_batch(self, versions: Sequence[Any]) -> Sequence[Any]:
        with torch.inference_mode(), self._precision(), warnings.catch_warnings():
            # mmdet's mask head, on its own code
            warnings.filterwarnings("ignore", message="To copy construct from a tensor")
            return self.model.test_step(pseudo_collate(versions))

    def _precision(self) -> AbstractContextManager[Any]:
        return _bfloat16(self.model) if self.options.amp else contextlib.nullcontext()

    @abstractmethod
    def record(self, image: int, sample: Any) -> Samples:
        """What is kept of a predicted image."""


class SegmentationScorer(DenseScorer):
    """A segmentation model: one confusion matrix per image."""

    metric = "mIoU"

    def record(self, image: int, sample: Any) -> Samples:
        """``confusion_matrix`` ``(1, K, K)``."""
        del image
        head = getattr(innermost(self.model), "decode_head", None)
        confusion = sample_confusion(
            sample,
            num_classes=len(self.data.classes),
            ignore_index=getattr(head, "ignore_index", IGNORE_INDEX),
        )
        return {"confusion_matrix": confusion[None]}

    def tally(self, samples: Samples) -> Tally:
        """The confusion matrix of all images."""
        return samples["confusion_matrix"].sum(axis=0)

    def score_of(self, tally: Tally, images: int) -> float:
        """The mIoU."""
        del images
        return mean_iou(tally)

    def finish(self, store: CellStore, cell: Cell, samples: Samples) -> Samples:
        """Store counts in the narrowest integers that hold them.

        Raises:
            ValueError: If every pixel is ignored.
        """
        del store
        counts = samples["confusion_matrix"]
        if not counts.any():
            raise InputError(
                f"cell '{cell.name}': no pixel of the {len(counts)} images counts, all labels are "
                "ignored; are these the label maps?"
            )
        return {"confusion_matrix": counts.astype(np.min_scalar_type(counts.max()))}


class DetectionScorer(DenseScorer):
    """A detector: which detections match which objects, and the detections themselves.

    Args:
        kinds: ``'bbox'``, ``'segm'`` or both: what is scored.
        **kwargs: As for `DenseScorer`.
    """

    metric, is_share = "detections an image", False

    def __init__(self, *, kinds: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kinds = tuple(kinds)
        truth = COCO()
        truth.dataset = read_annotations(self.data.dataset.ann_file)
        with contextlib.redirect_stdout(io.StringIO()):
            truth.createIndex()
        self.category_ids = tuple(self.data.dataset.cat_ids)
        self.matcher = DetectionMatcher(truth, category_ids=self.category_ids, kinds=self.kinds)
        self.image_numbers = [int(info["img_id"]) for info in self.data.infos]

    def _precision(self) -> AbstractContextManager[Any]:
        """bfloat16 in backbone and neck alone: boxes need more digits, and so does mmcv's NMS."""
        if not self.options.amp:
            return contextlib.nullcontext()
        detector: Any = innermost(self.model)
        extract = detector.extract_feat

        def in_bfloat16(*args: Any, **kwargs: Any) -> Any:
            with _bfloat16(detector):
                return _as_float32(extract(*args, **kwargs))

        return _shadowed(detector, "extract_feat", in_bfloat16)

    def record(self, image: int, sample: Any) -> Samples:
        """What `DetectionMatcher.match` gives, and the packed detections ``(bytes,)`` uint8."""
        number = self.image_numbers[image]
        try:
            found = to_coco_results(
                sample, category_ids=self.category_ids, kinds=self.kinds, image_number=number
            )
        except ValueError as error:
            raise InputError(f"'{self.keys[image]}': {error}") from error
        packed = np.frombuffer(encode_image(found), np.uint8)
        return {
            **self.matcher.match(number, found),
            _PACKED: packed,
            f"{_PACKED}_size": np.array([len(packed)], np.int64),
        }

    def tally(self, samples: Samples) -> Tally:
        """The number of detections."""
        return samples[f"{self.kinds[0]}_detections"].sum()

    def score_of(self, tally: Tally, images: int) -> float:
        """Detections per image."""
        return float(tally / images)

    def is_kept(self, store: CellStore, cell: Cell) -> bool:
        """Whether the cell's detections are there, as they were written."""
        return has_its_detections(store.read(cell), store.folder)

    def finish(self, store: CellStore, cell: Cell, samples: Samples) -> Samples:
        """Write the cell's detections; the cell remembers the file's hash."""
        packed, sizes = samples.pop(_PACKED), samples.pop(f"{_PACKED}_size")
        parts = np.split(packed, np.cumsum(sizes)[:-1])
        content = encode_file(part.tobytes() for part in parts)
        path = detections_path(store.folder, cell)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, content)
        digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
        return {**samples, DETECTIONS_DIGEST: digest}


@contextlib.contextmanager
def _shadowed(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Shadow a method of one object for a while."""
    setattr(owner, name, value)
    try:
        yield
    finally:
        delattr(owner, name)


def _bfloat16(model: torch.nn.Module) -> torch.autocast:
    return torch.autocast(next(model.parameters()).device.type, torch.bfloat16)


def _as_float32(features: Any) -> Any:
    if isinstance(features, torch.Tensor):
        return features.float() if features.is_floating_point() else features
    if isinstance(features, list | tuple):
        return type(features)(_as_float32(part) for part in features)
    return features


def _group(blocks: Sequence[range], *, multiple_of: int) -> Iterator[Sequence[range]]:
    """Blocks that are worked on in turn: together a multiple of the workers."""
    size = max(map(len, blocks))
    each = math.lcm(size, max(multiple_of, 1)) // size
    for start in range(0, len(blocks), each):
        yield blocks[start : start + each]


def _size(version: Any) -> tuple[int, ...] | None:
    """Shape of a version's tensor; ``None`` where it has several, as for test-time augmentation."""
    inputs = version["inputs"]
    return tuple(inputs.shape) if isinstance(inputs, torch.Tensor) else None


__all__ = [
    "DetectionScorer",
    "SegmentationScorer",
    "detections_path",
]
