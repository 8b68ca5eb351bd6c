"""Milliseconds per image of the corruptions beside the nineteen.

    python benchmarks/packaged_corruptions.py             # both sizes, about a minute
    python benchmarks/packaged_corruptions.py --names perlin_noise ripple

One process, one thread, OpenCV threads 1; the median of five draws on one scene at the highest
severity. Processor time, which on an idle machine is the time that passes; a busy one adds less to
it. Prints one Markdown table.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")  # before anything reads them

import argparse
import platform
import statistics
import time

import cv2
import numpy as np

from stl_backbones.corruptions.packaged import PACKAGED, PackagedCorruption
from stl_backbones.datasets.street_scenes.scene import render_scene

SIZES = ((224, 224), (2048, 1024))
TARGET = 60  # milliseconds at 2048x1024


def main() -> None:
    """Time every corruption at every size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--names", nargs="+", default=list(PACKAGED), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, ")
    print(f"OpenCV {cv2.__version__}, numpy {np.__version__}\n")
    print(f"| corruption | {' | '.join(f'{width}x{height}' for width, height in SIZES)} |")
    print("|---|--:|--:|")
    images = [picture(width, height) for width, height in SIZES]
    for name in args.names:
        times = [milliseconds(PACKAGED[name], image, args.repeats) for image in images]
        cells = [f"{value:.2f}" if value < 10 else f"{value:.0f}" for value in times]
        mark = "" if times[-1] < TARGET else " (above the target)"
        print(f"| {name} | {' | '.join(cells)}{mark} |", flush=True)


def picture(width: int, height: int) -> np.ndarray:
    """``(height, width, 3)`` uint8 RGB of a generated street scene, or cut out of one."""
    scene = render_scene(0, height=max(height, 512), width=max(width, 1024)).image
    return np.ascontiguousarray(scene[:height, :width])


def milliseconds(corruption: PackagedCorruption, image: np.ndarray, repeats: int) -> float:
    """The median of the repeats, after one that compiles."""
    strengths = next(iter(corruption.levels))
    function, level = corruption.function(), corruption.level(5, strengths)
    depth = np.repeat(
        np.geomspace(300, 5, len(image), dtype=np.float32)[:, None], image.shape[1], 1
    )
    more = (depth,) if corruption.needs_depth else ()
    times = []
    for seed in range(repeats + 1):
        rng = np.random.default_rng(seed)
        start = time.thread_time()
        function(image, level, rng, *more)
        times.append(1000 * (time.thread_time() - start))
    return statistics.median(times[1:])


if __name__ == "__main__":
    main()
