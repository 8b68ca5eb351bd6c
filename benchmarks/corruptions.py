"""Milliseconds and memory per corrupted image: exact and fast mode beside imagecorruptions.

    python benchmarks/corruptions.py                      # both sizes, about 4 minutes
    python benchmarks/corruptions.py --sizes 224x224

One process, one thread, OpenCV threads 1, freed memory kept as in the tools. The three engines take
turns on the same image; every corruption's time is the mean over the severities of the best of the
repeats. Prints one Markdown table per size, with ratios of times measured in this run and the peak
memory a call adds.
"""

from __future__ import annotations

import os

os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1")  # before anything reads them

import argparse
import ctypes
import platform
import time
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from stl_backbones.cli.memory import set_up_memory
from stl_backbones.corruptions import (
    CORRUPTIONS,
    SEVERITIES,
    corrupt,
    get_protocol,
    prepare,
)
from stl_backbones.corruptions.reference import package_version
from stl_backbones.datasets.street_scenes.scene import render_scene

ENGINES = ("reference", "exact", "fast")
LIBC = ctypes.CDLL("libc.so.6")
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main() -> None:
    """Time every corruption at every size."""
    args = parse()
    cv2.setNumThreads(1)
    set_up_memory()  # or every large array of the package is a page fault per 4 KiB
    for mode in ENGINES:
        prepare(args.names, mode=mode)
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, ")
    print(f"OpenCV {cv2.__version__}, numpy {np.__version__}; against {package_version()}")
    for width, height in args.sizes:
        print(f"\n## {width}x{height}, milliseconds per image, mean over the severities\n")
        image = picture(args.image, width, height)
        print_table({name: measure(image, name, args.repeats) for name in args.names})


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", type=size, default=[(2048, 1024), (224, 224)])
    parser.add_argument("--names", nargs="+", default=CORRUPTIONS, metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--image", help="an image file instead of the generated street scene")
    return parser.parse_args()


def size(text: str) -> tuple[int, int]:
    """``'2048x1024'`` -> width, height."""
    width, height = map(int, text.split("x"))
    return width, height


def picture(path: str | None, width: int, height: int) -> np.ndarray:
    """``(height, width, 3)`` uint8 RGB."""
    if path is not None:
        with Image.open(path) as opened:
            return np.array(opened.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    return render_scene(0, height=height, width=width).image


def measure(image: np.ndarray, name: str, repeats: int) -> dict[str, tuple[float, float]]:
    """Engine -> (milliseconds, MiB) of a corruption."""
    times = dict.fromkeys(ENGINES, 0.0)
    memory = dict.fromkeys(ENGINES, 0.0)
    for severity in SEVERITIES:
        best = dict.fromkeys(ENGINES, float("inf"))
        for _ in range(repeats):
            for mode in ENGINES:
                best[mode] = min(best[mode], seconds(image, name, severity, mode))
        for mode in ENGINES:
            times[mode] += 1000 * best[mode] / len(SEVERITIES)
            memory[mode] = max(memory[mode], peak(image, name, severity, mode))
    return {mode: (times[mode], memory[mode]) for mode in ENGINES}


def seconds(image: np.ndarray, name: str, severity: int, mode: str) -> float:
    """One call."""
    start = time.perf_counter()
    corrupt(image, name, severity, key="scene", mode=mode)
    return time.perf_counter() - start


def peak(image: np.ndarray, name: str, severity: int, mode: str) -> float:
    """MiB of memory that a call adds at most, the work arrays that a thread keeps included."""
    from stl_backbones.corruptions.native import release

    release()
    LIBC.malloc_trim(0)  # or memory that was freed earlier would count as there already
    before = resident("VmRSS")
    CLEAR.write_text("5")  # resets the peak, Linux
    corrupt(image, name, severity, key="scene", mode=mode)
    return max(resident("VmHWM") - before, 0.0)


def resident(field: str) -> float:
    """A line of the process's status, in MiB."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) / 1024


def print_table(rows: dict[str, dict[str, tuple[float, float]]]) -> None:
    """A row per corruption, and the sums that the targets are stated for."""
    print("| corruption | package | exact | fast | exact x | fast x | MiB package | exact | fast |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, row in rows.items():
        print_row(name, [row[mode][0] for mode in ENGINES], [row[mode][1] for mode in ENGINES])
    sixteen = get_protocol("stl-cityscapes-c").corruptions
    for label, names in (("Cityscapes-C's 16", sixteen), ("all 19", CORRUPTIONS)):
        if set(names) <= set(rows):
            times = [sum(rows[name][mode][0] for name in names) for mode in ENGINES]
            most = [max(rows[name][mode][1] for name in names) for mode in ENGINES]
            print_row(f"**{label}**", times, most)


def print_row(label: str, times: list[float], memory: list[float]) -> None:
    """Times, ratios, memory."""
    package, exact, fast = times
    cells = [f"{value:.2f}" if value < 10 else f"{value:.0f}" for value in times]
    cells += [f"{package / exact:.1f}", f"{package / fast:.1f}"]
    print(
        f"| {label} | {' | '.join(cells)} | {' | '.join(f'{mib:.0f}' for mib in memory)} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
