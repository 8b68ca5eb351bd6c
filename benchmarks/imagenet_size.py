"""A sweep's bookkeeping at the size of ImageNet-C: 50,000 images, 76 cells, and no network.

    python benchmarks/imagenet_size.py                       # about five minutes, 1 GB of disk
    python benchmarks/imagenet_size.py --images 5000

The real loop, blocks, cells and report; the answers of a model are drawn. A sweep is stopped at
half, started again, and finished; then a report is made of it. Prints seconds, the process's peak
memory up to there, and the size of the folder. There is no peer: what is asked is that memory does
not grow with the images, that going on takes less than ten seconds, a report less than a minute.
"""

from __future__ import annotations

import argparse
import itertools
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stl_backbones.corruptions import get_protocol
from stl_backbones.engine.distributed import Ranks
from stl_backbones.records import Cell, Provenance
from stl_backbones.report import make_report
from stl_backbones.results import CellStore
from stl_backbones.robustness.options import SweepOptions
from stl_backbones.robustness.runner import find_left, run_blocks, split_blocks
from stl_backbones.robustness.tasks.base import Block, Samples, Scored, ScoredSet, Tick

CLASSES = 1000
BATCH = 16


class Drawn(ScoredSet):
    """A classifier of which nothing is computed."""

    metric = "top-1"
    title = "drawn"
    is_on_the_fly = False

    def __init__(self, images: int) -> None:
        self.keys = tuple(f"val/ILSVRC2012_val_{number:08d}.JPEG" for number in range(images))
        self.cells = get_protocol("imagenet-c").cells()
        self.options = SweepOptions(batch_size=BATCH, workers=0)
        self.labels = np.random.default_rng(0).integers(0, CLASSES, images)
        self.left: int | None = None  # blocks until it is interrupted
        self.provenance = Provenance(
            task="classification", model="drawn", protocol="imagenet-c", dataset="drawn",
            dataset_fingerprint="0" * 32, num_images=images, num_images_total=images, skipped=(),
            classes=tuple(f"class {number}" for number in range(CLASSES)),
            config_sha256="0" * 64, checkpoint_sha256="0" * 64, inference="none",
            corruption_source="on-the-fly", corruption_mode="fast", corruption_package="none",
            channel_order="rgb", seed=0, device="cpu", versions={"numpy": np.__version__},
        )  # fmt: skip

    def score(self, blocks: Sequence[Block], cells: Sequence[Cell], tick: Tick) -> Iterator[Scored]:
        """Draw what a classifier's sweep keeps."""
        for block in itertools.islice(blocks, self.left):
            rng = np.random.default_rng(block[0])
            yield block, {cell: self.draw(block, rng) for cell in cells}
            tick(len(block) * len(cells))
        if self.left is not None:
            raise KeyboardInterrupt

    def draw(self, block: Block, rng: np.random.Generator) -> Samples:
        """Of one cell."""
        labels, count = self.labels[list(block)], len(block)
        right = rng.random(count) < 0.6
        return {
            "label": labels,
            "prediction": np.where(right, labels, (labels + 1) % CLASSES),
            "in_top5": right | (rng.random(count) < 0.5),
            "confidence": rng.random(count, np.float32),
            "nll": rng.exponential(1.0, count).astype(np.float32),
        }

    def score_block(self, block: Block, versions: Any) -> Any:
        """Never called."""
        raise NotImplementedError

    def tally(self, samples: Samples) -> Any:
        """Right answers."""
        return (samples["prediction"] == samples["label"]).sum()

    def score_of(self, tally: Any, images: int) -> float:
        """The accuracy."""
        return float(tally / images)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, help="of the sweep (default: a temporary one)")
    args = parser.parse_args()
    print("| what | seconds | peak, MiB | folder, MiB | files |\n|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as temporary:
        place = (args.folder or Path(temporary)) / "sweep"
        drawn = Drawn(args.images)
        blocks = split_blocks(args.images, BATCH)
        drawn.left = len(blocks) // 2
        with row("the first half, then Ctrl-C", place):
            try:
                run_blocks(drawn, place, Ranks(), None)
            except KeyboardInterrupt:
                drawn.left = None
        with row("what is left to do", place):
            _, left = find_left(drawn, place, blocks)
        assert len(left) == len(blocks) - len(blocks) // 2
        with row("the second half, and the cells", place):
            run_blocks(drawn, place, Ranks(), None)
        with row("a finished sweep started again", place):
            run_blocks(drawn, place, Ranks(), None)
        assert len(CellStore(place).cells()) == 76
        for resamples in (0, 1000):
            with row(f"report, {resamples} resamples", place):
                make_report([place], out=Path(temporary) / f"report-{resamples}",
                            resamples=resamples)  # fmt: skip


class row:  # noqa: N801  reads as a statement
    """Times a block of code, and prints a row."""

    def __init__(self, what: str, place: Path) -> None:
        self.what, self.place = what, place

    def __enter__(self) -> None:
        self.start = time.perf_counter()

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is not None:
            return
        seconds = time.perf_counter() - self.start
        files = [path for path in self.place.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files) / 2**20
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"| {self.what} | {seconds:.1f} | {peak:.0f} | {size:.0f} | {len(files)} |",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
