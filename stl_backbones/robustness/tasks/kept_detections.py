"""What is kept of detections, whichever model made them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from stl_backbones.engine.to_host import to_host
from stl_backbones.evaluation.coco_results import decode_image, encode_file
from stl_backbones.evaluation.detection import DetectionMatcher, join_images
from stl_backbones.evaluation.detection_records import PACKED, RecordMaker
from stl_backbones.records import Cell
from stl_backbones.results import CellStore
from stl_backbones.results.atomic import write_atomically
from stl_backbones.results.detections import (
    DETECTIONS_DIGEST,
    detections_path,
    has_its_detections,
)
from stl_backbones.robustness.examined import Box, Boxes
from stl_backbones.robustness.record_pool import RecordPool
from stl_backbones.robustness.tasks.base import Block, Samples, Scored, ScoredSet, Tally, Tick


class DetectionScores(ScoredSet):
    """Detections on images, see `ScoredSet`.

    Attributes:
        matcher: Knows the objects.
        category_ids: The category of each class.
        kinds: ``'bbox'``, ``'segm'`` or both.
    """

    metric, is_share = "detections an image", False
    matcher: DetectionMatcher
    category_ids: tuple[int, ...]
    kinds: tuple[str, ...]

    def score(self, blocks: Sequence[Block], cells: Sequence[Cell], tick: Tick) -> Iterator[Scored]:
        """As every task's, with processes that make records beside those that make versions."""
        make = RecordMaker(self.matcher, category_ids=self.category_ids, kinds=self.kinds)
        workers = self.workers if blocks and cells else 0
        with RecordPool(make, workers=workers) as self._pool:
            yield from super().score(blocks, cells, tick)

    def look(self, image: int, versions: Any) -> tuple[Boxes, Samples]:
        """The boxes on an image."""
        make = RecordMaker(self.matcher, category_ids=self.category_ids, kinds=self.kinds)
        block = range(image, image + 1)
        with RecordPool(make, workers=0) as self._pool:
            samples = self.collect(block, self.score_block(block, versions))
        found = decode_image(samples.pop(PACKED).tobytes())
        del samples[f"{PACKED}_size"]
        number = int(samples["image_number"][0])
        return Boxes(self._boxes(found), self._boxes(self.matcher.objects(number))), samples

    def _boxes(self, entries: Sequence[Mapping[str, Any]]) -> tuple[Box, ...]:
        """Boxes of COCO's dicts; those of categories that are not scored go."""
        classes = {number: label for label, number in enumerate(self.category_ids)}
        return tuple(
            Box((x, y, x + width, y + height), classes[one["category_id"]],
                float(one.get("score", 1)), bool(one.get("iscrowd")))
            for one in entries if one["category_id"] in classes
            for x, y, width, height in [one["bbox"]]
        )  # fmt: skip

    def submit(self, name: str, number: int, instances: Mapping[str, Tensor]) -> Any:
        """Have an image's record made; it is waited for in `collect`.

        Args:
            name: The image's, for errors.
            number: Its id in the annotations.
            instances: As `stl_backbones.evaluation.coco_results.instances_of` gives them.
        """
        arrived = to_host(instances)
        return self._pool.submit(lambda: (name, number, arrived()))

    def collect(self, block: Block, kept: Any) -> Samples:
        """Wait for the records, and join them."""
        del block
        return join_images([record.result() for record in kept])

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
        packed, sizes = samples.pop(PACKED), samples.pop(f"{PACKED}_size")
        parts = np.split(packed, np.cumsum(sizes)[:-1])
        content = encode_file(part.tobytes() for part in parts)
        path = detections_path(store.folder, cell)
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, content)
        digest = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
        return {**samples, DETECTIONS_DIGEST: digest}


__all__ = ["DetectionScores"]
