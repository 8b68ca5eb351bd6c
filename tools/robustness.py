"""Score a model on clean and corrupted images, cell by cell.

What is finished is kept: the same command goes on where a killed one stopped.
"""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING

from stl_backbones.apis.cli import is_main_process, run_tool
from stl_backbones.apis.robustness_options import make_robustness_parser
from stl_backbones.corruptions import import_modules

if TYPE_CHECKING:
    from stl_backbones.apis.classification_sweep import ClassificationProgress
    from stl_backbones.apis.sweep import SweepProgress

PAUSE = 2.0  # seconds between lines on images


def robustness(args: argparse.Namespace) -> None:
    """Run the sweep."""
    import_modules(args.custom_imports)
    from stl_backbones.apis.robustness import list_presets, run

    if args.list_presets:
        print(list_presets())
        return
    folder = run(args, progress=Printer())
    if is_main_process():
        print(f"cells: {folder}\nnext: python tools/report.py {folder}")


class Printer:
    """Prints a line for a finished cell, or for blocks of images finished since the last line."""

    def __init__(self) -> None:
        self.printed = -PAUSE

    def __call__(self, progress: SweepProgress | ClassificationProgress) -> None:
        """Tell where the sweep is."""
        now, over = time.monotonic(), progress.done == progress.total
        if hasattr(progress, "score"):
            line = describe_cell(progress)
        elif over or now - self.printed >= PAUSE:
            line = describe_images(progress)
        else:
            return
        self.printed = now
        minutes, seconds = divmod(round(progress.remaining), 60)
        print(f"{line}  ETA {minutes}:{seconds:02d}", flush=True)


def describe_cell(progress: SweepProgress) -> str:
    """A cell of a segmentation sweep."""
    took = f"{progress.seconds:6.1f} s" if progress.seconds else "   there"
    return (
        f"[{progress.done:3d}/{progress.total}] {progress.cell.name:<20} "
        f"mIoU {100 * progress.score:5.1f}  {took}"
    )


def describe_images(progress: ClassificationProgress) -> str:
    """The images of a classification sweep, and the accuracies so far."""
    width = len(str(progress.total))
    shares = ((progress.clean, "clean"), (progress.corrupted, "corrupted"))
    scores = [f"{name} {100 * share:4.1f} %" for share, name in shares if not math.isnan(share)]
    return (
        f"[{progress.done:{width}d}/{progress.total}] {progress.dataset}, "
        f"{progress.cells} cell(s)  {'  '.join(scores) or 'there'}"
    )


if __name__ == "__main__":
    kept = "what is finished is kept, the same command goes on"
    parser = make_robustness_parser(__doc__ or "")
    raise SystemExit(run_tool(parser, robustness, after_interrupt=kept))
